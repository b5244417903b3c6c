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
from kit.records.content import RecordContent
from kit.records.predictions import PREDICTIONS_FILE
from kit.runtime.file_types import read_types
from kit.runtime.names import plain_name, plain_path

_MAX_NUMBER = 1e100  # for scores in the units of the labels
_MAX_METRIC = 1e6  # for losses and other metrics that are not shares
_TFIDF_FILE = "model/tfidf.json"
_WITHOUT_CHECKPOINT = ("tfidf", "scratch", "distill", "student")


def checked_content(path: Path, content: Mapping[str, Any]) -> RecordContent:
    """Return the content of a record.json. Raises RecordError if it is damaged."""
    checked = read_types(path, content, RecordContent, MAKE_AGAIN)
    _require_metrics(path, checked)
    _require_names(path, checked)
    require_agreement(path, checked, recipe_of_record(path.parent, checked))
    _require_files(path, checked)
    return checked


def recipe_of_record(folder: Path, content: RecordContent) -> ResolvedRecipe:
    """Return the recipe in a record.json. Raises RecordError if it is not valid, e.g. because of an unknown key."""
    try:
        return ResolvedRecipe.model_validate(content.recipe.to_dict())
    except ValueError as error:
        raise RecordError(f"{folder} is damaged: its recipe is not valid", MAKE_AGAIN) from error


def require_agreement(path: Path, content: RecordContent, recipe: Recipe) -> None:
    """Raise RecordError for the first value in a record.json that contradicts its recipe or another value."""
    sizes, seeds = content.data.sizes, content.seeds
    contradictions = {
        f"task is {content.task}, its recipe has {recipe.task}": content.task != recipe.task,
        f"method is {content.method}, its recipe has {recipe.method}": content.method != recipe.method,
        f"main_metric is {content.main_metric}, its recipe has {recipe.main_metric}": (
            content.main_metric != recipe.main_metric
        ),
        "seeds are not those of its recipe": (
            seeds is not None and (seeds.train, seeds.split) != (recipe.train.seed, recipe.data.split_seed)
        ),
        **_contradictions_of_labels(content, recipe),
        "data.sizes.budget is not the sum of train and validation": sizes.budget != sizes.train + sizes.validation,
        **_contradictions_of_model(content),
        **_contradictions_of_origin(content, recipe),
    }
    for problem, holds in contradictions.items():
        if holds:
            raise RecordError(f"{path} is damaged: {problem}", MAKE_AGAIN)


def _contradictions_of_labels(content: RecordContent, recipe: Recipe) -> dict[str, bool]:
    """Return possible problems with the labels, each with True if the Record has it."""
    labels, audit, targets = content.labels, content.data.audit, recipe.rules.targets
    counted_labels = [set(counts) for counts in (audit.labels_train, audit.labels_test) if counts]
    return {
        f"a {recipe.task} has no labels": targets is TargetKind.REFERENCES and bool(labels),
        f"labels: {len(labels)} where at least two are needed": targets is TargetKind.LABELS and len(labels) < 2,
        "labels names a label twice": len(set(labels)) < len(labels),
        "labels are not those that data.audit counts": any(names != set(labels) for names in counted_labels),
    }


def _contradictions_of_model(content: RecordContent) -> dict[str, bool]:
    """Return possible contradictions of the method with files, checkpoint and training, True for those it has."""
    method, compressed = content.method, content.settings.compression is not None
    is_tfidf = _TFIDF_FILE in content.files
    trains = method not in ("tfidf", "probe") and not compressed
    return {
        f"method {method} does not write the files of its model": (
            bool(content.model_files) and is_tfidf != (method == "tfidf")
        ),
        f"method {method} does not start from a checkpoint, and it names one": (
            method == "tfidf" and content.checkpoint is not None
        ),
        f"method {method} starts from a checkpoint, and it names none": (
            method not in _WITHOUT_CHECKPOINT and content.checkpoint is None
        ),
        f"method {method} trains by steps, and it has no training": trains and content.training is None,
        f"method {method} has no training steps, and it has a training": (
            method in ("tfidf", "probe") and not compressed and content.training is not None
        ),
    }


def _contradictions_of_origin(content: RecordContent, recipe: Recipe) -> dict[str, bool]:
    """Return possible problems with the source of a compression or the teachers, True for those it has."""
    compression, teachers = content.settings.compression, content.settings.teachers
    last = recipe.compress.steps[-1].technique if recipe.compress.steps else "none"
    needs_teachers = content.method == "distill" and compression is None
    return {
        f"settings.compression is not {last}, the last step of its recipe": (
            compression is not None and compression.technique != last
        ),
        f"method {content.method} does not fit settings.teachers": needs_teachers != bool(teachers),
        "settings.teachers needs settings.transfer_set": bool(teachers) and content.settings.transfer_set is None,
    }


def _require_metrics(path: Path, content: RecordContent) -> None:
    """Raise RecordError if the main metric is missing or a metric is out of range."""
    if content.main_metric not in content.metrics:
        raise RecordError(f"{path} is damaged: metrics has no {content.main_metric}", MAKE_AGAIN)
    for name, estimate in content.metrics.items():
        limit = 1.0 + 1e-9  # of a share: a mean is rounded
        if name in NUMBER_SCORES:
            limit = _MAX_NUMBER
        elif name in (*NOT_SHARES, *OF_HUNDRED):
            limit = _MAX_METRIC
        if not all(abs(value) <= limit for value in (estimate.value, estimate.low, estimate.high)):
            raise RecordError(f"{path} is damaged: metrics.{name} is out of range", MAKE_AGAIN)


def _require_names(path: Path, content: RecordContent) -> None:
    """Raise RecordError if a run's name, which becomes part of a path, is not a plain file name."""
    plain_name(content.id, f"{path}: id")
    compression, teachers = content.settings.compression, content.settings.teachers
    names = [compression.source, compression.start] if compression is not None else []
    for name in (*names, *(teacher.record for teacher in teachers)):
        if name is not None:
            plain_name(name, f"{path}: settings")


def _require_files(path: Path, content: RecordContent) -> None:
    """Raise RecordError if record.json does not list the files of a Record."""
    if PREDICTIONS_FILE not in content.files:
        raise RecordError(f"{path.parent} is damaged: its files are not listed", MAKE_AGAIN)
    for name in content.files:
        plain_path(name, f"{path}: files")
        if name != PREDICTIONS_FILE and name not in content.model_files:
            raise RecordError(f"{path}: files: {name} is not a file of a Record", MAKE_AGAIN)
