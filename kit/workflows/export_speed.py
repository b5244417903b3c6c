"""The speed section of a model card: exported formats against the model that the run was made of, measured in turns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kit.records.record import Record
from kit.runtime.quantities import megabytes

if TYPE_CHECKING:
    from kit.measurement.intervals import Estimate
    from kit.workflows.bench import Subject

_ROUNDS = 3


@dataclass(frozen=True)
class SpeedSection:
    """Rows of a table, the header first, and sentences below it."""

    rows: list[list[str]]
    notes: list[str]


def measure_speed(record: Record, folders: dict[str, Path], test: Sequence[tuple[str, ...]]) -> SpeedSection:
    """Measure the run's teacher or source, if it still exists, and each format, in turns."""
    from kit.runtime.versions import provenance
    from kit.workflows.bench import bench

    others = {path.name: path for path in _before(record)}
    names = [*others, *folders]
    subjects = bench([*others.values(), *folders.values()], texts=test, rounds=_ROUNDS, energy=False)
    where = provenance()
    machine = ", ".join(where["gpus"]) or f"{where['cpu']}, threads: {subjects[0].threads}"
    head = ["model", "files", f"one text, median ms ({machine})", "95th percentile", "texts per second"]
    rows = [_row(name, subject) for name, subject in zip(names, subjects, strict=True)]
    return SpeedSection([[*head, "against the first, one text"], *rows], _notes(names, subjects))


def _row(name: str, subject: Subject) -> list[str]:
    low, high = subject.interval_ms
    return [
        name,
        megabytes(subject.size_bytes),
        f"{subject.p50_ms:.2f} [{low:.2f}, {high:.2f}]",
        f"{subject.p95_ms:.2f}",
        f"{subject.texts_per_second:,.0f}",
        _times(subject.speedups),
    ]


def _notes(names: Sequence[str], subjects: Sequence[Subject]) -> list[str]:
    lengths = ", ".join(f"{third.characters:,}" for third in subjects[0].by_length)
    notes = [
        "Measured on a random sample of the test texts with their length distribution, all models in turns, in "
        "several rounds; brackets: 95 % intervals over rounds and texts.",
        f"Median ms for short, medium and long texts ({lengths} characters): "
        + "; ".join(
            f"{name} {', '.join(f'{third.p50_ms:.2f}' for third in subject.by_length)}"
            for name, subject in zip(names, subjects, strict=True)
        )
        + ".",
    ]
    shared = [name for name, subject in zip(names, subjects, strict=True) if subject.measured_on]
    if shared:
        notes.append(f"Not timed, because another model does the same arithmetic: {', '.join(shared)}.")
    return [*notes, *(f"Warning: {warning}." for warning in sorted({subject.warning for subject in subjects} - {""}))]


def _times(speedups: tuple[Estimate, Estimate] | None) -> str:
    if speedups is None:
        return "1"
    single = speedups[0]
    return f"{single.value:.1f}x as fast [{single.low:.1f}, {single.high:.1f}]"


def _before(record: Record) -> list[Path]:
    """The model that the run was distilled from, or compressed from first, where it still is."""
    settings, runs = record.content["settings"], record.folder.parent
    names = [str(each["record"]) for each in settings.get("teachers", []) if each["record"]][:1]
    if "compression" in settings:
        names = [settings["compression"]["start"]]
    return [runs / name for name in names if (runs / name / "model").is_dir()]
