"""Facts: the findings as tables of text, the same ones for the page and for Markdown.

Knows findings and words. Knows nothing of HTML, Markdown or charts: whoever writes those escapes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kit.analysis.headline import scratch_backtest
from kit.analysis.significance import MIN_SEEDS
from kit.measurement.intervals import shown
from kit.measurement.speed import Speed
from kit.measurement.units import OF_HUNDRED, shown_difference, shown_value
from kit.reporting.formatting import NOTHING, between, difference, p_value, plain, title
from kit.runtime.quantities import duration, megabytes

if TYPE_CHECKING:
    from kit.analysis.comparison import Comparison
    from kit.analysis.findings import CellRow, Findings, Series
    from kit.analysis.points import Point


@dataclass(frozen=True)
class Cell:
    """What stands in one place of a table.

    note: a second, quieter line. key: what a number sorts by. bad: to be noticed.
    """

    text: str
    note: str = ""
    key: float | None = None
    bad: bool = False


@dataclass(frozen=True)
class Column:
    """number: set right-aligned, with figures of one width."""

    name: str
    number: bool = False


@dataclass(frozen=True)
class Table:
    """caption: what it shows, in words. first column: what each row is about."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...] = field(default=())

    def __bool__(self) -> bool:
        return bool(self.rows)


EMPTY = Cell(NOTHING)


def text_cell(text: object, note: str = "", bad: bool = False) -> Cell:
    """A cell of text that people wrote, or that a program said."""
    return Cell(plain(text) or NOTHING, plain(note), bad=bad)


def columns(*names: str) -> tuple[Column, ...]:
    """Columns by name; those that end in `#` hold numbers."""
    return tuple(Column(name.rstrip("#"), name.endswith("#")) for name in names)


def means(findings: Findings) -> Table:
    """Return a row for each method and baseline, a column for each budget: mean, interval, seeds and their spread."""
    return _means(findings, findings.metric, {one.name: one.points for one in findings.series})


def other_means(findings: Findings) -> tuple[Table, ...]:
    """Return the same table for each metric that is shown beside the main one."""
    names = dict.fromkeys(name for one in findings.series for name in one.others)
    return tuple(
        _means(findings, name, {one.name: one.others.get(name, ()) for one in findings.series}) for name in names
    )


def _means(findings: Findings, metric: str, points: Mapping[str, Sequence[Point]]) -> Table:
    budgets = sorted({point.budget for measured in points.values() for point in measured})
    rows = []
    for name, measured in points.items():
        at = {point.budget: point for point in measured}
        rows.append((text_cell(name), *(_mean_cell(metric, at.get(budget)) for budget in budgets)))
    baselines = findings.baselines
    always = " and ".join(f"“{plain(label)}”" for label in baselines.labels) or "no label"
    for name, note, values in (
        ("chance", "a uniform random guess", baselines.chance),
        ("majority", f"always {always}", baselines.majority),
    ):
        if metric in values:
            cell = Cell(shown_value(metric, values[metric]), key=values[metric])
            rows.append((text_cell(name, note), *(cell for _ in budgets)))
    caption = (
        f"{title(metric)} by method and number of labels: mean over seeds, 95 % interval for seeds and test "
        "examples together, number of seeds and their standard deviation."
    )
    return Table(caption, columns("Method", *(f"{budget:,} labels#" for budget in budgets)), tuple(rows))


def _mean_cell(metric: str, point: Point | None) -> Cell:
    if point is None:
        return EMPTY
    spread = "" if point.seed_sd is None else f", sd {shown_difference(metric, point.seed_sd)}"
    count = len(point.runs)
    note = f"{count} seed{'s' if count > 1 else ''}{spread}"
    return Cell(shown(metric, point.estimate), note, point.estimate.value)


def seeds(findings: Findings) -> Table:
    """Every seed behind the means: the numbers of the learning curves."""
    rows = []
    for series in findings.series:
        for point in series.points:
            for run in point.runs:
                rows.append(
                    (
                        text_cell(series.name),
                        Cell(f"{point.budget:,}", key=point.budget),
                        Cell(str(run.seed), key=run.seed),
                        Cell(shown_value(findings.metric, run.value), key=run.value),
                        text_cell(run.flag, bad=bool(run.flag)),
                    )
                )
    names = ("Method", "Labels#", "Seed#", f"{title(findings.metric)}#", "Flagged")
    return Table("Every seed, one dot in the chart each.", columns(*names), tuple(rows))


def comparisons(findings: Findings) -> Table:
    """All pairs of methods, with both tests, most certain first."""
    counts = findings.metric not in OF_HUNDRED  # translations are seldom right or wrong, which McNemar's test counts
    rows = [
        (
            text_cell(f"{comparison.a} against {comparison.b}", comparison.line),
            Cell(f"{comparison.budget:,}", key=comparison.budget),
            Cell(difference(findings.metric, comparison.difference), key=comparison.difference.value),
            _p_cell(comparison, counts),
            Cell(str(comparison.seeds), key=comparison.seeds),
            Cell(comparison.judgement.words),
        )
        for comparison in sorted(
            findings.comparisons, key=lambda comparison: (not comparison.tested, comparison.p_holm)
        )
    ]
    names = ("Pair", "Labels#", "Difference#", "p (Holm)#", "Paired seeds#", "Verdict")
    caption = (
        "Each pair of methods at the largest budget that both have, on the same test examples. A difference counts as "
        "significant by the bootstrap test over seeds and test examples, corrected for all comparisons that are tested "
        f"(Holm). The test needs {MIN_SEEDS} seeds that both have; differences with fewer are not tested."
    )
    if counts:
        caption += " McNemar's test compares the trained models themselves and ignores that other seeds would differ."
    return Table(caption, columns(*names), tuple(rows))


def _p_cell(comparison: Comparison, counts: bool) -> Cell:
    """Return the corrected p value, with the uncorrected ones below; no p value where nothing was tested."""
    mcnemar = f"McNemar {p_value(comparison.p_mcnemar)}" if counts else ""
    if not comparison.tested:
        return Cell(NOTHING, mcnemar)
    notes = [f"bootstrap {p_value(comparison.p_bootstrap)}", mcnemar]
    return Cell(p_value(comparison.p_holm), ", ".join(note for note in notes if note), comparison.p_holm)


def worth(findings: Findings) -> Table:
    """How many times more labels training from scratch would need."""
    rows = []
    for each in findings.worth:
        if each.times is None:
            # A bound below 1 says nothing: with these seeds scratch may be as good.
            found, interval = (f"more than {each.low:.3g}" if each.low >= 1 else "not known"), NOTHING
        else:
            found = f"{each.times:.3g}"
            interval = f"{each.low:.3g} to {each.high:.3g}" if each.high is not None else f"{each.low:.3g} or more"
        rows.append(
            (
                text_cell(each.series),
                Cell(f"{each.budget:,}", key=each.budget),
                Cell(found, key=each.low if each.times is None else each.times),
                Cell(interval, key=each.low),
            )
        )
    caption = "How many times as many labels training from scratch needs to be as good as the pretrained checkpoint."
    if off := scratch_backtest(findings.series):
        caption += f" Found {off} labels, where the truth is known."
    return Table(caption, columns("Method", "Labels#", "Times as many#", "95 % interval#"), tuple(rows))


def ladder(findings: Findings) -> Table:
    """The size of every series, for the size ladder."""
    rows = [
        (
            text_cell(each.name),
            text_cell(each.checkpoint or ""),
            Cell(f"{each.parameters:,}" if each.parameters else NOTHING, key=each.parameters or None),
            _size(each.model_bytes),
            *_largest(each, findings.metric),
        )
        for each in findings.series
    ]
    names = (
        "Method",
        "Checkpoint",
        "Parameters#",
        "Saved model#",
        "Largest budget#",
        f"{title(findings.metric)} there#",
    )
    return Table("Size of each model, and what it reaches with its largest budget.", columns(*names), tuple(rows))


def choices(findings: Findings) -> Table:
    """Every choice with what it costs; those that nothing beats come first."""
    rows = []
    for each in sorted(findings.frontier, key=lambda each: (each.dominated, -each.metric)):
        latency = EMPTY if each.latency_ms is None else Cell(f"{each.latency_ms:.3g} ms", key=each.latency_ms)
        rows.append(
            (
                text_cell(each.series),
                Cell(f"{each.budget:,}", key=each.budget),
                Cell(between(findings.metric, each.metric, each.low, each.high), key=each.metric),
                latency,
                _size(each.model_bytes),
                Cell("yes" if each.dominated else "no"),
            )
        )
    names = (
        "Method",
        "Labels#",
        f"{title(findings.metric)}#",
        "Median latency#",
        "Saved model#",
        "Beaten in everything",
    )
    caption = (
        "What each choice gives and costs. One is beaten in everything if another is at least as good in metric, "
        "latency, size and labels, and better in one of them; latencies count as the same if they are within 5 % or "
        "their intervals overlap."
    )
    return Table(caption, columns(*names), tuple(rows))


def speeds(findings: Findings) -> Table:
    """Latency of one text at a time."""
    timed = [(one.name, one.speed) for one in findings.series if one.speed]
    rows = [
        (
            text_cell(name),
            Cell(f"{speed.p50_ms:.3g} ms [{speed.interval[0]:.3g}, {speed.interval[1]:.3g}]", key=speed.p50_ms),
            Cell(f"{speed.p95_ms:.3g} ms", key=speed.p95_ms),
            text_cell(" / ".join(f"{part.p50_ms:.3g}" for part in speed.by_length)),
            text_cell(speed.hardware + (" (busy)" if speed.warning else "")),
        )
        for name, speed in timed
    ]
    names = ("Method", "Median#", "95th percentile#", "Short / medium / long texts, ms", "Measured on")
    return Table(_speed_caption([speed for _, speed in timed]), columns(*names), tuple(rows))


def _speed_caption(speeds: Sequence[Speed]) -> str:
    """Return how latencies were measured, with a warning if the machine was busy."""
    said = "Latency of one text at a time, all models in turns."
    if speeds and speeds[0].by_length:
        lengths = " / ".join(f"{part.characters:,}" for part in speeds[0].by_length)
        said += (
            f" A random sample of {speeds[0].texts} test texts with the length distribution of all of them, "
            f"{speeds[0].rounds} rounds; short, medium and long texts have {lengths} characters (median). "
            "Brackets: 95 % intervals over rounds and texts."
        )
    return " ".join([said, *(f"Warning: {warning}." for warning in sorted({speed.warning for speed in speeds} - {""}))])


def cells(findings: Findings) -> Table:
    """Every cell of the grid, finished or not."""
    names = (
        "Method", "Labels#", "Seed#", "State", f"{title(findings.metric)}#", "Time#", "Flag or error",
        "How training ended", "Record",
    )  # fmt: skip
    rows = tuple(_cell_row(each, findings.metric) for each in findings.cells)
    return Table("Every cell of the study.", columns(*names), rows)


def data(findings: Findings) -> Table:
    """The data, its audit and its labels."""
    rows = [(text_cell(name), text_cell(value)) for name, value in findings.data]
    if findings.labels:
        count = len(findings.labels)
        # Quoted, so that a label with a comma in it is seen to be one label.
        listed = ", ".join(f"“{plain(label)}”" for label in findings.labels)
        rows.append((text_cell(f"labels ({count})"), text_cell(listed)))
    return Table("Data, and what its audit found.", columns("What", "Value"), tuple(rows))


def environment(findings: Findings) -> Table:
    """Versions and hardware, nested values as dotted names."""
    rows = tuple((text_cell(name), text_cell(value)) for name, value in _flat(findings.environment))
    return Table("Versions and hardware.", columns("What", "Value"), rows)


def _cell_row(row: CellRow, metric: str) -> tuple[Cell, ...]:
    failed = row.state == "failed"
    return (
        text_cell(row.series),
        Cell(f"{row.budget:,}", key=row.budget),
        Cell(str(row.seed), key=row.seed),
        text_cell(row.state, bad=failed),
        Cell(between(metric, row.metric, row.low, row.high), key=row.metric),
        EMPTY if row.seconds is None else Cell(duration(row.seconds), key=row.seconds),
        text_cell(row.error or row.flag, bad=bool(row.error or row.flag)),
        text_cell(row.diagnosis),
        text_cell(row.record),
    )


def _size(model_bytes: int | None) -> Cell:
    return EMPTY if model_bytes is None else Cell(megabytes(model_bytes), key=model_bytes)


def _largest(series: Series, metric: str) -> tuple[Cell, Cell]:
    if not series.points:
        return EMPTY, EMPTY
    last = series.points[-1]
    budget = Cell(f"{last.budget:,}", key=last.budget)
    return budget, Cell(shown(metric, last.estimate), key=last.estimate.value)


def _flat(values: dict[str, Any], before: str = "") -> Iterable[tuple[str, object]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{name}.")
        else:
            listed = isinstance(value, Sequence) and not isinstance(value, str)
            yield f"{before}{name}", ", ".join(str(item) for item in value) if listed else value
