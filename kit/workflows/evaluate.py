"""Evaluate again: load a Record's model, predict its test examples anew, and compare with the stored predictions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kit.errors import MAKE_AGAIN, DataError, RecipeError, RecordError, VerificationError
from kit.measurement.intervals import Estimate
from kit.records.record import Record

if TYPE_CHECKING:
    from kit.data import Prepared

TOLERANCE = 1e-3  # a logit on other hardware or another number of threads; the same machine gives below 1e-5
_ROUNDING = 1e-6  # of a metric computed twice from the same numbers


@dataclass(frozen=True)
class Evaluation:
    """metrics: computed anew. largest_difference: of any logit, from the Record's."""

    record: Record
    metrics: dict[str, Estimate]
    largest_difference: float


def evaluate(folder: str | Path, *, trust_remote_code: bool = False, comet: Path | None = None) -> Evaluation:
    """Predict the test examples of a run again with its saved model, and compare with the stored predictions.

    Args:
        folder: Folder of the run.
        trust_remote_code: Whether the model may run code that its checkpoint brought along.
        comet: A checkpoint of COMET for translations, whose score is one more metric.

    Returns:
        The metrics, computed again, and the largest difference of a logit.

    Raises:
        RecordError: The run is damaged.
        DataError: The test examples changed.
        VerificationError: A prediction differs from the stored one.
        ModelError: COMET cannot be run.
        RecipeError: COMET is for translations.
    """
    from kit.models.predictor import load_predictor, require_labels
    from kit.tasks import task_for

    record = Record.load(folder)
    if comet is not None:
        _require_comet(record, comet)
    data = prepared_for(record)
    require_labels(record.model_folder, record.labels, record.backend)
    outputs = load_predictor(record.model_folder, trust_remote_code, record.backend).outputs(data.test.texts)
    stored = record.predictions()
    task = task_for(record.recipe, record.labels)
    differences = task.differences(outputs, stored.outputs)
    worst = int(differences.argmax())
    if not differences[worst] <= TOLERANCE:
        raise VerificationError(
            f"{record.id} does not give its stored answers: "
            + task.describe_difference(f"test example {stored.ids[worst]}", float(differences[worst])),
            "the model or a library changed since; compare record.json's versions with `pip list`",
        )
    require_metrics(record, data)
    targets = task.targets(data.test.labels)
    found = task.estimates(outputs, targets)
    if comet is not None:
        from kit.measurement.comet import comet as comet_of

        found["comet"] = comet_of([row[0] for row in data.test.texts], list(outputs), list(targets), comet)
    return Evaluation(record, found, float(differences[worst]))


def _require_comet(record: Record, checkpoint: Path) -> None:
    from kit.measurement.comet import require_comet

    if record.recipe.task != "translation":
        raise RecipeError(f"--comet: {record.id} does not translate", "COMET scores translations: leave it out")
    require_comet(checkpoint)


def require_metrics(record: Record, data: Prepared) -> None:
    """Raise RecordError if record.json says other metrics than the stored answers give."""
    from kit.tasks import task_for

    task = task_for(record.recipe, record.labels)
    for name, found in task.estimates(record.predictions().outputs, task.targets(data.test.labels)).items():
        said = record.metrics.get(name)
        if said is None or not np.allclose(
            (said.value, said.low, said.high), (found.value, found.low, found.high), rtol=0, atol=_ROUNDING
        ):
            raise RecordError(
                f"{record.folder} is damaged: record.json says {name} {said}, its predictions give {found}",
                MAKE_AGAIN,
            )


def require_same_data(record: Record, data: Prepared) -> None:
    """Raise RecordError if record.json names other labels or text columns than the data."""
    for key, recorded, actual in (
        ("labels", record.labels, data.labels),
        ("data.text_columns", tuple(record.content["data"]["text_columns"]), data.splits.text_columns),
    ):
        if recorded != actual:
            raise RecordError(
                f"{record.folder} is damaged: record.json says {key} {', '.join(map(str, recorded))}, not "
                f"{', '.join(actual)} as the data do",
                MAKE_AGAIN,
            )


def prepared_for(record: Record) -> Prepared:
    """Return the data that a Record was made of. Raises DataError if its test examples are no longer those."""
    from kit.data import prepare
    from kit.data.changes import changed_data

    recipe = record.recipe
    data = prepare(recipe.data, recipe.train.seed)
    if data.fingerprints["test"] != record.content["data"]["fingerprints"]["test"]:
        raise DataError(
            f"{changed_data(record.content['data'], data)} changed since {record.id} was made and tested on them",
            "restore them; or make a new run of the new data with `kit finetune`",
        )
    return data
