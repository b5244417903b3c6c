"""Tables of the cost of models: size, latency, and all choices with their metric."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kit.measurement.intervals import shown
from kit.measurement.speed import Speed
from kit.reporting.formatting import NOTHING, between, title
from kit.reporting.text_tables import EMPTY, Table, TableCell, columns, text_cell
from kit.runtime.quantities import megabytes

if TYPE_CHECKING:
    from kit.analysis.findings import Findings, Series


def ladder(findings: Findings) -> Table:
    """Return the size of each model and its result with the largest budget."""
    rows = [
        (
            text_cell(series.name),
            text_cell(series.checkpoint or ""),
            TableCell(f"{series.parameters:,}" if series.parameters else NOTHING, key=series.parameters or None),
            _size(series.model_bytes),
            *_largest(series, findings.metric),
        )
        for series in findings.series
    ]
    names = (
        "Variant",
        "Checkpoint",
        "Parameters#",
        "Saved model#",
        "Largest budget#",
        f"{title(findings.metric)} at that budget#",
    )
    return Table("Size of each model, and its result with the largest budget.", columns(*names), tuple(rows))


def choices(findings: Findings) -> Table:
    """Return the metric and the cost of every choice, choices that are not dominated first."""
    rows = []
    for choice in sorted(findings.frontier, key=lambda choice: (choice.dominated, -choice.metric)):
        latency = (
            EMPTY if choice.latency_ms is None else TableCell(f"{choice.latency_ms:.3g} ms", key=choice.latency_ms)
        )
        rows.append(
            (
                text_cell(choice.series),
                TableCell(f"{choice.budget:,}", key=choice.budget),
                TableCell(between(findings.metric, choice.metric, choice.low, high=choice.high), key=choice.metric),
                latency,
                _size(choice.model_bytes),
                TableCell("yes" if choice.dominated else "no"),
            )
        )
    names = (
        "Variant",
        "Labels#",
        f"{title(findings.metric)}#",
        "Median latency#",
        "Saved model#",
        "Dominated",
    )
    caption = (
        "Metric and cost of each choice. A choice is dominated if another one is at least as good in metric, latency, "
        "size and labels, and better in one of them; latencies count as equal if they are within 5 % of each other or "
        "their intervals overlap."
    )
    return Table(caption, columns(*names), tuple(rows))


def speeds(findings: Findings) -> Table:
    """Return the latency, throughput and peak memory of each variant that was timed."""
    timed = [(series.name, series.speed) for series in findings.series if series.speed]
    rows = [
        (
            text_cell(name),
            TableCell(f"{speed.p50_ms:.3g} ms [{speed.interval[0]:.3g}, {speed.interval[1]:.3g}]", key=speed.p50_ms),
            TableCell(f"{speed.p95_ms:.3g} ms", key=speed.p95_ms),
            _throughput(speed),
            _size(speed.memory_bytes),
            text_cell(" / ".join(f"{part.p50_ms:.3g}" for part in speed.by_length)),
            text_cell(speed.hardware + (" (busy)" if speed.warning else "")),
        )
        for name, speed in timed
    ]
    names = (
        "Variant", "Median#", "95th percentile#", "Texts per second#", "Peak memory#",
        "Short / medium / long texts, ms", "Measured on",
    )  # fmt: skip
    return Table(_speed_caption([speed for _, speed in timed]), columns(*names), tuple(rows))


def _speed_caption(speeds: Sequence[Speed]) -> str:
    """Return a description of the measurement, with a warning if the machine was busy."""
    description = "Latency of one text at a time, all models in turns."
    if speeds and speeds[0].by_length:
        lengths = " / ".join(f"{part.characters:,}" for part in speeds[0].by_length)
        description += (
            f" Measured on a random sample of {speeds[0].texts} test texts with the length distribution of all of "
            f"them, in {speeds[0].rounds} rounds; short, medium and long texts have a median of {lengths} characters. "
            "Brackets are 95 % intervals over rounds and texts."
        )
    if any(speed.texts_per_second for speed in speeds):
        description += (
            f" Texts per second: in batches of {max(speed.batch or 0 for speed in speeds)}. Peak memory: that of a new "
            "process that loads the model, with its libraries, and predicts such batches."
        )
    warnings = sorted({speed.warning for speed in speeds} - {""})
    return " ".join([description, *(f"Warning: {warning}." for warning in warnings)])


def _throughput(speed: Speed) -> TableCell:
    rate = speed.texts_per_second
    return EMPTY if rate is None else TableCell(f"{rate:,.3g}" if rate < 1_000 else f"{rate:,.0f}", key=rate)


def _size(model_bytes: int | None) -> TableCell:
    return EMPTY if model_bytes is None else TableCell(megabytes(model_bytes), key=model_bytes)


def _largest(series: Series, metric: str) -> tuple[TableCell, TableCell]:
    if not series.points:
        return EMPTY, EMPTY
    last = series.points[-1]
    budget = TableCell(f"{last.budget:,}", key=last.budget)
    return budget, TableCell(shown(metric, last.estimate), key=last.estimate.value)
