"""Evaluate a Record's saved model again, and compare its predictions with the stored ones."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kit.errors import MAKE_AGAIN, DataError, RecipeError, RecordError, VerificationError
from kit.measurement.intervals import Estimate
from kit.measurement.per_class import ClassScores, Confusion, class_scores, confusions
from kit.recipe.sections.data import TargetKind
from kit.records.record import Record

if TYPE_CHECKING:
    from kit.data import Prepared

TOLERANCE = 1e-3  # of `Task.differences` on other hardware or with other threads; below 1e-5 on the same machine
_ROUNDING = 1e-6  # of a metric computed twice from the same numbers


@dataclass(frozen=True)
class Evaluation:
    """Metrics computed again, and the largest difference of an output from the Record's, see `Task.differences`.

    Attributes:
        record: Record of the run.
        metrics: Metrics by name.
        largest_difference: Largest difference of an output from the stored one.
        classes: Results per class, lowest F1 first; empty unless requested.
        confusions: Most frequent confusions first; empty unless requested, and with several labels per text.
    """

    record: Record
    metrics: dict[str, Estimate]
    largest_difference: float
    classes: list[ClassScores] = field(default_factory=list)
    confusions: list[Confusion] = field(default_factory=list)


def evaluate(
    folder: str | Path, *, trust_remote_code: bool = False, comet: Path | None = None, per_class: bool = False
) -> Evaluation:
    """Predict the test examples of a run again with its saved model, and compare with the stored predictions.

    Args:
        folder: Folder of the run.
        trust_remote_code: Allow the model to run code from its checkpoint.
        comet: A checkpoint of COMET for translations, which adds its score.
        per_class: Also return results per class and confusions.

    Returns:
        The metrics, computed again, and the largest difference of an output.

    Raises:
        RecordError: If the run is damaged.
        DataError: If the test examples changed.
        VerificationError: If a prediction differs from the stored one.
        ModelError: If COMET cannot be run.
        RecipeError: If COMET is requested for a run that does not translate, or results per class without classes.
    """
    from kit.models.load import load_predictor, require_labels
    from kit.tasks import task_for

    record = Record.load(folder)
    if comet is not None:
        _require_comet(record, comet)
    if per_class and record.recipe.rules.targets is not TargetKind.LABELS:
        raise RecipeError(
            f"--per-class: {record.id} has no classes (its task is {record.recipe.task})", "omit --per-class"
        )
    data = prepared_for(record)
    require_labels(record.model_folder, record.labels, record.backend)
    outputs = load_predictor(record.model_folder, trust_remote_code, record.backend).outputs(data.test.texts)
    stored = record.predictions()
    task = task_for(record.recipe, record.labels)
    differences = task.differences(outputs, stored.outputs)
    worst = int(differences.argmax())
    if not differences[worst] <= TOLERANCE:
        raise VerificationError(
            f"{record.id} does not reproduce its stored predictions: "
            + task.describe_difference(f"test example {stored.ids[worst]}", float(differences[worst])),
            "the model or a library changed since; compare record.json's versions with `pip list`",
        )
    require_metrics(record, data)
    targets = task.targets(data.test.labels)
    metrics = task.estimates(outputs, targets)
    if comet is not None:
        from kit.measurement.comet import comet as comet_of

        metrics["comet"] = comet_of([row[0] for row in data.test.texts], list(outputs), list(targets), comet)
    evaluation = Evaluation(record, metrics, float(differences[worst]))
    if not per_class:
        return evaluation
    parts = task.measure.tally(outputs, targets)
    return replace(
        evaluation,
        classes=class_scores(parts, record.labels),
        confusions=[] if task.multi_label else confusions(parts, record.labels),
    )


def _require_comet(record: Record, checkpoint: Path) -> None:
    from kit.measurement.comet import require_comet

    if record.recipe.rules.targets is not TargetKind.REFERENCES:
        raise RecipeError(f"--comet: {record.id} does not translate", "COMET scores translations: omit it")
    require_comet(checkpoint)


def require_metrics(record: Record, data: Prepared) -> None:
    """Raise RecordError if record.json and the stored predictions give different metrics.

    Records of earlier versions have fewer metrics.
    """
    from kit.tasks import task_for

    task = task_for(record.recipe, record.labels)
    for name, computed in task.estimates(record.predictions().outputs, task.targets(data.test.labels)).items():
        recorded = record.metrics.get(name)
        if recorded is not None and not np.allclose(
            (recorded.value, recorded.low, recorded.high),
            (computed.value, computed.low, computed.high),
            rtol=0,
            atol=_ROUNDING,
        ):
            raise RecordError(
                f"{record.folder} is damaged: record.json has {name} {recorded}, its predictions give {computed}",
                MAKE_AGAIN,
            )


def require_same_data(record: Record, data: Prepared) -> None:
    """Raise RecordError if record.json has other labels or text columns than the data."""
    for key, recorded, actual in (
        ("labels", record.labels, data.labels),
        ("data.text_columns", record.content.data.text_columns, data.splits.text_columns),
    ):
        if recorded != actual:
            raise RecordError(
                f"{record.folder} is damaged: record.json has {key} {', '.join(map(str, recorded))}, not "
                f"{', '.join(actual)} as in the data",
                MAKE_AGAIN,
            )


def prepared_for(record: Record) -> Prepared:
    """Return the data of a Record. Raises DataError if its test examples have changed."""
    from kit.data import prepare
    from kit.data.changes import changed_data

    recipe = record.recipe
    data = prepare(recipe.data, recipe.train.seed)
    if data.fingerprints["test"] != record.content.data.fingerprints["test"]:
        changed = changed_data(record.content.data.fingerprints, record.content.data.audit, data)
        raise DataError(
            f"{changed} changed since {record.id} was trained and tested on them",
            "restore them; or start a new run on the new data with `kit finetune`",
        )
    return data
