"""Output of `kit bench`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kit.cli.tables import print_table, warn
from kit.runtime.console import echo
from kit.runtime.quantities import megabytes

if TYPE_CHECKING:
    from kit.measurement.intervals import Estimate
    from kit.workflows.bench import Subject


def print_bench(subjects: Sequence[Subject]) -> None:
    """Print a row per measured model, and the notes below the table."""
    generates = any(subject.tokens_per_second is not None for subject in subjects)
    rows = [
        (
            subject.name,
            subject.backend,
            megabytes(subject.size_bytes),
            f"{subject.p50_ms:.2f} [{subject.interval_ms[0]:.2f}, {subject.interval_ms[1]:.2f}]",
            f"{subject.p95_ms:.2f}",
            f"{subject.p99_ms:.2f}",
            f"{subject.texts_per_second:,.0f} ({subject.batch})",
            *(["-" if subject.tokens_per_second is None else f"{subject.tokens_per_second:,.0f}"] if generates else []),
            megabytes(subject.memory_bytes),
            f"{subject.load_seconds:.2f}",
            "-" if subject.joules is None else f"{subject.joules:,.0f}",
            *([_times(ratio) for ratio in subject.speedups] if subject.speedups else ("1", "1")),
        )
        for subject in subjects
    ]
    rates = ["sentences/s (at once)", "tokens/s"] if generates else ["texts/s (at once)"]
    columns = ["model", "backend", "files", "p50 ms", "p95", "p99", *rates, "memory", "load s", "J/1,000"]
    print_table([*columns, "faster, one text", "faster, many"], rows)
    _print_lengths(subjects)
    threads = subjects[0].threads
    echo(f"{threads} thread{'s' if threads > 1 else ''}; memory is the whole process, with its libraries")
    if all(subject.joules is None for subject in subjects):
        echo("energy was not measured: pip install 'kit[energy]' for codecarbon's estimate")
    for warning in sorted({subject.warning for subject in subjects} - {""}):
        warn(warning)
    for subject in subjects:
        if subject.measured_on:
            echo(f"{subject.name}: times of {subject.measured_on}, which has the same arithmetic")
        for kind, ratio in zip(("for one text", "for many"), subject.speedups or (), strict=False):
            if ratio.high < 1:
                echo(f"SLOWER here than {subjects[0].name} {kind}: {subject.name} ({subject.backend})")


def _print_lengths(subjects: Sequence[Subject]) -> None:
    """Print the median time of short, medium and long texts."""
    lengths = " / ".join(f"{third.characters:,}" for third in subjects[0].by_length)
    echo(f"p50 ms of short, medium and long texts ({lengths} characters), from a sample of all lengths:")
    for subject in subjects:
        times = " / ".join(f"{third.p50_ms:.2f}" for third in subject.by_length)
        echo(f"  {subject.name} ({subject.backend}): {times}")


def _times(ratio: Estimate) -> str:
    return f"{ratio.value:.2f}x [{ratio.low:.2f}, {ratio.high:.2f}]"
