"""Speed, for the card: the formats of an exported folder against what the run was made of, measured in turns.

Knows Records and `kit bench`. Knows nothing of how a card says it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kit.measurement.units import megabytes
from kit.record import Record

if TYPE_CHECKING:
    from kit.measurement.intervals import Estimate

_ROUNDS = 3
_TIMED_TEXTS = 256


def speed_table(record: Record, folders: dict[str, Path], test: Sequence[tuple[str, ...]]) -> list[list[str]]:
    """Rows of a table: the run's teacher or source, if it is still there, and each format, measured in turns."""
    from kit.bench import bench
    from kit.provenance import provenance

    others = {path.name: path for path in _before(record)}
    with tempfile.TemporaryDirectory(prefix="kit-texts-") as scratch:
        texts = Path(scratch) / "texts.txt"
        rows = [" ".join(" ".join(row).split()) for row in test[:_TIMED_TEXTS]]
        texts.write_text("\n".join(row for row in rows if row), "utf-8")
        names = [*others, *folders]
        subjects = bench([*others.values(), *folders.values()], texts=texts, rounds=_ROUNDS, energy=False)
    where = provenance()
    machine = ", ".join(where["gpus"]) or f"{where['cpu']}, threads: {subjects[0].threads}"
    head = ["model", "files", f"one text, median ms ({machine})", "texts a second", "against the first, one text"]
    return [
        head,
        *(
            [
                name,
                megabytes(subject.size_bytes),
                f"{subject.p50_ms:.2f}",
                f"{subject.texts_per_second:,.0f}",
                _times(subject.speedups),
            ]
            for name, subject in zip(names, subjects, strict=True)
        ),
    ]


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
