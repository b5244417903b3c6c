"""Rows of the summary table of a Record."""

from __future__ import annotations

from pathlib import Path

from kit.records.checks import recipe_of_record
from kit.records.content import RecordContent, RecordedTraining


def origin_rows(folder: Path, content: RecordContent, method: str) -> list[tuple[str, str]]:
    """Return the rows on the method, the data and the source of a model.

    Args:
        folder: Folder of the Record.
        content: Content of record.json.
        method: Method in words, see `Record.how`.
    """
    settings, sizes = content.settings, content.data.sizes
    rows = [
        ("run", content.id),
        ("method", method),
        ("checkpoint", content.checkpoint_name or "-"),
        ("data", content.data.description),
        ("labels bought", f"{sizes.budget} ({sizes.train} train, {sizes.validation} validation)"),
        ("test examples", str(sizes.test)),
    ]
    if settings.teachers and settings.transfer_set is not None:
        rows += [
            ("teacher", ", ".join(teacher.record or teacher.name for teacher in settings.teachers)),
            ("student", recipe_of_record(folder, content).distill.student.words),
            ("distilled on", f"{settings.transfer_set.texts} texts"),
        ]
    if settings.compression is not None:
        rows.append(("compressed from", settings.compression.source))
    return rows


def training_rows(training: RecordedTraining | None) -> list[tuple[str, str]]:
    """Return the rows on a training run; none for a method without training steps."""
    if training is None:
        return []
    plan = training.plan
    epochs = f"{plan.epochs:g} epoch{'' if plan.epochs == 1 else 's'}"
    settings = f"{plan.steps} steps, {epochs}, rate {plan.learning_rate:g}"
    return [
        ("training", f"{settings}, {training.precision}"),
        ("speed", f"{training.samples_per_second:.1f} samples/s"),
        ("diagnosis", training.diagnosis.line),
    ]
