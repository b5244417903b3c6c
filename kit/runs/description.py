"""Content of record.json: the description of a run and its results as plain data."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from kit.recipe.section import one_or_all

if TYPE_CHECKING:
    import numpy as np

    from kit.data import Prepared
    from kit.methods import Fitted, Job
    from kit.models.checkpoints.checkpoint import Checkpoint


def describe(job: Job, fitted: Fitted, outputs: np.ndarray) -> dict[str, Any]:
    """Return the content of record.json except id, times, sizes and hashes.

    Args:
        job: What was fitted.
        fitted: The fitted model, its settings and its training.
        outputs: (n, labels) logits or (n,) translations of the test examples.
    """
    from kit.runtime.versions import provenance

    recipe, task, checkpoint = job.recipe, job.task, job.checkpoint
    targets = task.targets(job.data.test.labels)
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "method": recipe.method,
        "task": recipe.task,
        "main_metric": task.main_metric,
        "labels": list(task.labels),
        "recipe": recipe.model_dump(mode="json"),
        "seeds": {"train": recipe.train.seed, "split": recipe.data.split_seed},
        "data": _describe_data(job.data, fitted),
        "checkpoint": checkpoint and _describe_checkpoint(checkpoint),
        "settings": fitted.settings,
        "parameters": fitted.predictor.parameters,
        "training": fitted.training and _plain(asdict(fitted.training)),
        "metrics": {name: asdict(estimate) for name, estimate in task.estimates(outputs, targets).items()},
        "details": task.details(outputs, targets),
        "provenance": provenance(),
    }


def _describe_data(data: Prepared, fitted: Fitted) -> dict[str, Any]:
    sizes = {
        "train": len(data.train),
        "validation": len(data.validation),
        "pool": len(data.pool),
        "test": len(data.test),
    }
    return {
        "description": data.splits.description,
        "revision": data.splits.revision,
        "text_columns": list(data.splits.text_columns),
        "label_column": one_or_all(data.splits.label_columns),
        "sizes": {"budget": sizes["train"] + sizes["validation"], **sizes},
        "fingerprints": data.fingerprints,
        "most_frequent_labels": _most_frequent([*data.train.labels, *data.validation.labels]) if data.labels else None,
        "audit": _plain(asdict(data.audit)),
        "truncation": fitted.truncation,
    }


def _most_frequent(label_sets: Sequence[tuple[str, ...]]) -> list[str]:
    """Return the most frequent set of labels, in a tie the first in alphabetical order."""
    counts = Counter(tuple(sorted(labels)) for labels in label_sets)
    highest = max(counts.values())
    return list(min(labels for labels, count in counts.items() if count == highest))


def _describe_checkpoint(checkpoint: Checkpoint) -> dict[str, Any]:
    return {
        "name": checkpoint.name,
        "revision": checkpoint.revision,
        "sha256": checkpoint.sha256,
        "tokenizer_sha256": checkpoint.tokenizer_sha256,
    }


def _plain(value: Any) -> Any:
    """Convert numpy numbers to Python numbers, and numbers that are not finite to None, for JSON."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
