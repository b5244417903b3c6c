"""Checks of record.json: types, value ranges and contradictions.

The hash in the file detects changes; these checks detect content that kit cannot use although its hash is right.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kit.errors import MAKE_AGAIN, RecordError
from kit.measurement.units import NOT_SHARES, NUMBER_SCORES, OF_HUNDRED
from kit.recipe import Recipe
from kit.recipe.resolved import ResolvedRecipe
from kit.recipe.sections.data import TargetKind
from kit.runtime.file_types import RecordContent, require_types
from kit.runtime.names import plain_name

_MAX_NUMBER = 1e100  # for scores in the units of the labels
_MAX_METRIC = 1e6  # for losses and other metrics that are not shares
_TFIDF_FILE = "model/tfidf.json"
_WITHOUT_CHECKPOINT = ("tfidf", "scratch", "distill", "student")


def require_content(path: Path, content: dict[str, Any]) -> None:
    """Raise RecordError if the content of a record.json has a wrong type, an impossible value or a contradiction."""
    require_types(path, content, RecordContent, MAKE_AGAIN)
    _require_metrics(path, content)
    _require_names(path, content)
    require_agreement(path, content, recipe_of_record(path.parent, content))


def recipe_of_record(folder: Path, content: Mapping[str, Any]) -> ResolvedRecipe:
    """Return the recipe in a record.json. Raises RecordError if it is not valid, e.g. because of an unknown key."""
    try:
        return ResolvedRecipe.model_validate(content["recipe"])
    except ValueError as error:
        raise RecordError(f"{folder} is damaged: its recipe is not valid", MAKE_AGAIN) from error


def require_agreement(path: Path, content: Mapping[str, Any], recipe: Recipe) -> None:
    """Raise RecordError for the first value in a record.json that contradicts its recipe or another value."""
    labels, sizes, audit = content["labels"], content["data"]["sizes"], content["data"]["audit"]
    seeds = {"train": recipe.train.seed, "split": recipe.data.split_seed}
    contradictions = {
        **{
            f"{key} is {content[key]}, its recipe says {wanted}": content[key] != wanted
            for key, wanted in (("task", recipe.task), ("method", recipe.method), ("main_metric", recipe.main_metric))
        },
        "seeds are not those of its recipe": content.get("seeds", seeds) != seeds,
        **_contradictions_of_labels(labels, audit, recipe),
        "data.sizes.budget is not the sum of train and validation": (
            sizes["budget"] != sizes["train"] + sizes["validation"]
        ),
        **_contradictions_of_model(content),
        **_contradictions_of_origin(content, recipe),
    }
    for problem, holds in contradictions.items():
        if holds:
            raise RecordError(f"{path} is damaged: {problem}", MAKE_AGAIN)


def _contradictions_of_labels(labels: list[str], audit: Mapping[str, Any], recipe: Recipe) -> dict[str, bool]:
    """Return possible problems with the labels, each with True if the Record has it."""
    targets = recipe.rules.targets
    counted_labels = [set(counts) for key in ("labels_train", "labels_test") if (counts := audit.get(key))]
    return {
        f"a {recipe.task} has no labels": targets is TargetKind.REFERENCES and bool(labels),
        f"labels: {len(labels)} where at least two are needed": targets is TargetKind.LABELS and len(labels) < 2,
        "labels names a label twice": len(set(labels)) < len(labels),
        "labels are not those that data.audit counts": any(names != set(labels) for names in counted_labels),
    }


def _contradictions_of_model(content: Mapping[str, Any]) -> dict[str, bool]:
    """Return possible contradictions of the method with files, checkpoint and training, True for those it has."""
    method, compressed = content["method"], "compression" in content["settings"]
    has_model = any(name.startswith("model/") for name in content["files"])
    is_tfidf = _TFIDF_FILE in content["files"]
    trains = method not in ("tfidf", "probe") and not compressed
    return {
        f"method {method} does not write the files of its model": has_model and is_tfidf != (method == "tfidf"),
        f"method {method} does not start from a checkpoint, and it names one": (
            method == "tfidf" and content["checkpoint"] is not None
        ),
        f"method {method} starts from a checkpoint, and it names none": (
            method not in _WITHOUT_CHECKPOINT and content["checkpoint"] is None
        ),
        f"method {method} trains by steps, and it has no training": trains and content["training"] is None,
        f"method {method} has no training steps, and it has a training": (
            method in ("tfidf", "probe") and not compressed and content["training"] is not None
        ),
    }


def _contradictions_of_origin(content: Mapping[str, Any], recipe: Recipe) -> dict[str, bool]:
    """Return possible problems with the source of a compression or the teachers, True for those it has."""
    settings = content["settings"]
    compression, teachers = settings.get("compression"), settings.get("teachers")
    last = recipe.compress.steps[-1].technique if recipe.compress.steps else "none"
    needs_teachers = content["method"] == "distill" and compression is None
    return {
        f"settings.compression is not {last}, the last step of its recipe": (
            compression is not None and compression["technique"] != last
        ),
        f"method {content['method']} does not fit settings.teachers": needs_teachers != bool(teachers),
        "settings.teachers needs settings.transfer_set": bool(teachers) and "transfer_set" not in settings,
    }


def _require_metrics(path: Path, content: dict[str, Any]) -> None:
    """Raise RecordError if the main metric is missing or a metric is out of range."""
    metrics = content["metrics"]
    if content["main_metric"] not in metrics:
        raise RecordError(f"{path} is damaged: metrics has no {content['main_metric']}", MAKE_AGAIN)
    for name, estimate in metrics.items():
        limit = (
            _MAX_NUMBER if name in NUMBER_SCORES else _MAX_METRIC if name in (*NOT_SHARES, *OF_HUNDRED) else 1.0 + 1e-9
        )  # a mean is rounded
        if not all(abs(estimate[key]) <= limit for key in ("value", "low", "high")):
            raise RecordError(f"{path} is damaged: metrics.{name} is out of range", MAKE_AGAIN)


def _require_names(path: Path, content: dict[str, Any]) -> None:
    """Raise RecordError if a run's name, which becomes part of a path, is not a plain file name."""
    plain_name(content["id"], f"{path}: id")
    compression = content["settings"].get("compression", {})
    names = [compression[key] for key in ("source", "start") if key in compression]
    names += [teacher["record"] for teacher in content["settings"].get("teachers", []) if teacher["record"] is not None]
    for name in names:
        plain_name(name, f"{path}: settings")
