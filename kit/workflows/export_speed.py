"""Speed section of a model card: the exported formats and the teacher or source of the run, measured in turns."""

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
    """Rows of the table, the header first, and sentences below the table."""

    rows: list[list[str]]
    notes: list[str]


def measure_speed(record: Record, folders: dict[str, Path], test: Sequence[tuple[str, ...]]) -> SpeedSection:
    """Measure the teacher or source of the run, if its model still exists, and each format, in turns.

    Args:
        record: Exported run.
        folders: Folder of each format by name.
        test: Test texts.
    """
    from kit.runtime.versions import provenance
    from kit.workflows.bench import bench

    others = {path.name: path for path in _predecessor(record)}
    names = [*others, *folders]
    subjects = bench([*others.values(), *folders.values()], texts=test, rounds=_ROUNDS, energy=False)
    hardware = provenance()
    machine = ", ".join(hardware["gpus"]) or f"{hardware['cpu']}, threads: {subjects[0].threads}"
    head = ["model", "files", f"one text, median ms ({machine})", "95th percentile", "texts per second"]
    rows = [_row(name, subject) for name, subject in zip(names, subjects, strict=True)]
    return SpeedSection([[*head, "speed relative to the first row, one text"], *rows], _notes(names, subjects))


def _row(name: str, subject: Subject) -> list[str]:
    low, high = subject.interval_ms
    return [
        name,
        megabytes(subject.size_bytes),
        f"{subject.p50_ms:.2f} [{low:.2f}, {high:.2f}]",
        f"{subject.p95_ms:.2f}",
        f"{subject.texts_per_second:,.0f}",
        _speedup(subject.speedups),
    ]


def _notes(names: Sequence[str], subjects: Sequence[Subject]) -> list[str]:
    lengths = ", ".join(f"{third.characters:,}" for third in subjects[0].by_length)
    notes = [
        "Measured on a random sample of the test texts with the length distribution of all of them, all models in "
        "turns, in several rounds. Brackets are 95 % intervals over rounds and texts.",
        f"Median ms for short, medium and long texts ({lengths} characters): "
        + "; ".join(
            f"{name} {', '.join(f'{third.p50_ms:.2f}' for third in subject.by_length)}"
            for name, subject in zip(names, subjects, strict=True)
        )
        + ".",
    ]
    shared = [name for name, subject in zip(names, subjects, strict=True) if subject.measured_on]
    if shared:
        notes.append(f"Not timed, because another model does the same computation: {', '.join(shared)}.")
    return [*notes, *(f"Warning: {warning}." for warning in sorted({subject.warning for subject in subjects} - {""}))]


def _speedup(speedups: tuple[Estimate, Estimate] | None) -> str:
    if speedups is None:
        return "1"
    single = speedups[0]
    return f"{single.value:.1f}x as fast [{single.low:.1f}, {single.high:.1f}]"


def _predecessor(record: Record) -> list[Path]:
    """Return the folder of the teacher or of the first source of compression; empty if its model no longer exists."""
    settings, runs = record.content.settings, record.folder.parent
    names = [teacher.record for teacher in settings.teachers if teacher.record][:1]
    if settings.compression is not None and settings.compression.start is not None:
        names = [settings.compression.start]
    return [runs / name for name in names if (runs / name / "model").is_dir()]
