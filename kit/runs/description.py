"""Description of a run and its results for record.json."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from kit.recipe.section import one_or_all
from kit.records.content import (
    RecordedAudit,
    RecordedCheckpoint,
    RecordedData,
    RecordedDetails,
    RecordedEstimate,
    RecordedRecipe,
    RecordedSeeds,
    RecordedSettings,
    RecordedSizes,
    RecordedTraining,
    RunDescription,
)

if TYPE_CHECKING:
    import numpy as np

    from kit.data import Prepared
    from kit.methods import Fitted, Job
    from kit.models.checkpoints.checkpoint import Checkpoint


def describe(run_id: str, job: Job, fitted: Fitted, outputs: np.ndarray) -> RunDescription:
    """Return the description of a run and its results.

    Args:
        run_id: Id of the run.
        job: What was fitted.
        fitted: The fitted model, its settings and its training.
        outputs: (n, labels) logits, (n, 1) numbers or (n,) translations of the test examples.
    """
    from kit.runtime.versions import provenance

    recipe, task = job.recipe, job.task
    targets = task.targets(job.data.test.labels)
    training = None
    if fitted.training is not None:
        training = RecordedTraining.model_validate(_plain(asdict(fitted.training)))
    estimates = task.estimates(outputs, targets)
    return RunDescription(
        id=run_id,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        method=recipe.method,
        task=recipe.task,
        main_metric=task.main_metric,
        labels=task.labels,
        recipe=RecordedRecipe.model_validate(recipe.model_dump(mode="json")),
        seeds=RecordedSeeds(train=recipe.train.seed, split=recipe.data.split_seed),
        data=_describe_data(job.data, fitted),
        checkpoint=None if job.checkpoint is None else _describe_checkpoint(job.checkpoint),
        settings=RecordedSettings.model_validate(fitted.settings),
        parameters=fitted.predictor.parameters,
        training=training,
        metrics={name: RecordedEstimate(**asdict(estimate)) for name, estimate in estimates.items()},
        details=RecordedDetails.model_validate(task.details(outputs, targets)),
        provenance=provenance(),
    )


def _describe_data(data: Prepared, fitted: Fitted) -> RecordedData:
    sizes = RecordedSizes(
        budget=len(data.train) + len(data.validation),
        train=len(data.train),
        validation=len(data.validation),
        pool=len(data.pool),
        test=len(data.test),
    )
    return RecordedData(
        description=data.splits.description,
        revision=data.splits.revision,
        text_columns=data.splits.text_columns,
        label_column=one_or_all(data.splits.label_columns),
        sizes=sizes,
        fingerprints=data.fingerprints,
        most_frequent_labels=_most_frequent([*data.train.labels, *data.validation.labels]) if data.labels else None,
        audit=RecordedAudit.model_validate(_plain(asdict(data.audit))),
        truncation=fitted.truncation,
    )


def _most_frequent(label_sets: Sequence[tuple[str, ...]]) -> list[str]:
    """Return the most frequent set of labels, in a tie the first in alphabetical order."""
    counts = Counter(tuple(sorted(labels)) for labels in label_sets)
    highest = max(counts.values())
    return list(min(labels for labels, count in counts.items() if count == highest))


def _describe_checkpoint(checkpoint: Checkpoint) -> RecordedCheckpoint:
    return RecordedCheckpoint(
        name=checkpoint.name,
        revision=checkpoint.revision,
        sha256=checkpoint.sha256,
        tokenizer_sha256=checkpoint.tokenizer_sha256,
    )


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
