"""Options of the advice: each series at each number of labels, measured or predicted, and their order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kit.analysis.findings import Findings, Series
from kit.analysis.frontier import SAME_LATENCY, SAME_SIZE, weight
from kit.analysis.wording import joined
from kit.measurement.intervals import Estimate, shown
from kit.measurement.speed import SPEED_FILE, Speed
from kit.measurement.units import shown_difference
from kit.runtime.quantities import megabytes, percent


@dataclass(frozen=True)
class Wish:
    """Target and limits of a user.

    Attributes:
        target: Least value of the main metric; None for the highest possible.
        label_cost: Cost of one label, in any currency.
        max_latency_ms: Largest median time per text, in milliseconds.
        max_size_bytes: Largest size of the saved model.
    """

    target: float | None = None
    label_cost: float | None = None
    max_latency_ms: float | None = None
    max_size_bytes: float | None = None


@dataclass(frozen=True)
class Option:
    """A series at a number of labels.

    Attributes:
        series: Name of the series.
        labels: Number of labels.
        cost: Cost of the labels; None without a cost of one label.
        metric: Main metric, measured or predicted by the learning curve.
        measured: The metric was measured, not predicted.
        probability: Share of the resamples in which the metric reaches the target; None without a target.
        latency_ms: Median time per text; None if it was not measured.
        model_bytes: Size of the saved model; None if unknown. For a prediction it is extrapolated from the two largest
            budgets, an upper bound for TF-IDF models, whose vocabulary grows more and more slowly with the labels.
        seeds: Number of measured seeds.
        backtest: Error of the learning curve at the largest budget; None if the metric was measured.
        latency_doubt: Reason why the latency may be on the other side of the limit; empty if there is none.
        busy: The latency was measured on a busy machine.
        texts_per_second: Throughput in batches; None if it was not measured.
        memory_bytes: Peak memory of a process with the model; None if it was not measured.
    """

    series: str
    labels: int
    metric: Estimate
    measured: bool
    probability: float | None
    latency_ms: float | None
    model_bytes: int | None
    seeds: int
    backtest: float | None = None
    cost: float | None = None
    latency_doubt: str = ""
    busy: bool = False
    texts_per_second: float | None = None
    memory_bytes: int | None = None


def series_of(option: Option, findings: Findings) -> Series:
    """Return the series of an option."""
    return next(series for series in findings.options if series.name == option.series)


def breaks(series: Series, wish: Wish, no_latency: str = "") -> str:
    """Return the limit that a series exceeds, in words; empty if none.

    Unknown latencies and sizes exceed any limit.

    Args:
        series: Series with its points.
        wish: Target and limits.
        no_latency: Reason for a missing latency, if known.
    """
    latency = series.speed
    size = min((point.model_bytes for point in series.points if point.model_bytes is not None), default=None)
    if wish.max_latency_ms is not None and latency is None:
        return no_latency or "its latency is not known"
    if wish.max_latency_ms is not None and latency is not None and latency.p50_ms > wish.max_latency_ms:
        doubt = latency_doubt(latency, wish)
        figure = f"{latency.p50_ms:.1f} ms per text{' if the figure holds' if latency.warning else ''}"
        return f"{figure}, above {wish.max_latency_ms:g} ms{f'; {doubt}' if doubt else ''}"
    if wish.max_size_bytes is not None and size is None:
        return "its size is not known"
    if wish.max_size_bytes is not None and size is not None and size > wish.max_size_bytes:
        return f"{megabytes(size)}, above {wish.max_size_bytes / 1e6:g} MB"
    return ""


def latency_doubt(speed: Speed | None, wish: Wish) -> str:
    """Return that the limit is inside the interval of the latency, in words.

    The result is empty if not, or without a limit.
    """
    if speed is None or wish.max_latency_ms is None:
        return ""
    low, high = speed.interval
    inside = low < wish.max_latency_ms < high
    return f"the limit lies inside its interval [{low:.1f}, {high:.1f}]" if inside else ""


def latency_lines(findings: Findings) -> list[str]:
    """Return a line about latencies of a busy machine or a damaged file of latencies.

    The result is empty if all is well.
    """
    file = f"{findings.runs}/{findings.study}/{SPEED_FILE}"
    if findings.speed_damage:
        again = f"`{findings.study_command}` measures them again"
        return [f"latencies are not known: {file} {findings.speed_damage}; {again}"]
    timed = [series for series in findings.options if series.speed is not None]
    busy = [series.name for series in timed if series.speed and series.speed.warning]
    if not busy:
        return []
    which = "latencies" if len(busy) == len(timed) else f"latencies of {joined(busy)}"
    again = f"`{findings.study_command} --time-again` measures them again"
    return [f"{which} were measured on a busy machine and may be too high; {again}"]


def fits(option: Option, wish: Wish) -> bool:
    """Return whether the model of an option is within the size limit; the size of TF-IDF models grows with labels."""
    return wish.max_size_bytes is None or (option.model_bytes or 0) <= wish.max_size_bytes


def ranked(options: Sequence[Option], wish: Wish) -> list[Option]:
    """Return the options that meet the target, fewest labels first; without a target, highest metric first."""
    if wish.target is None:
        return sorted(options, key=lambda o: (-o.metric.value, o.labels, *weight(o.latency_ms, o.model_bytes)))
    target = wish.target
    # A prediction of exactly the target may be a rounding error below it.
    meets = [o for o in options if o.metric.value >= target - (0 if o.measured else 1e-6)]
    return sorted(
        meets, key=lambda o: (o.labels, not o.measured, -o.metric.value, *weight(o.latency_ms, o.model_bytes))
    )


def named(option: Option) -> str:
    """Return the name of an option: `finetune with 80 labels`."""
    return f"{option.series} with {option.labels:,} labels"


def undone_words(option: Option, findings: Findings) -> str:
    """Return that the gate undid compression steps of an option; empty if not.

    A cell whose steps were all undone has the Record of the model that it was made from.
    """
    rows = {row.seed: row for row in findings.cells if (row.series, row.budget) == (option.series, option.labels)}
    steps = {step.partition(":")[0] for row in rows.values() for step in row.undone}
    if not option.measured or not steps:
        return ""
    source = series_of(option, findings).source
    sources = {row.seed: row.record for row in findings.cells if (row.series, row.budget) == (source, option.labels)}
    count = sum(bool(row.undone) for row in rows.values())
    whole = all(row.record == sources.get(seed) for seed, row in rows.items() if row.undone)
    seeds = f" for {count} of {len(rows)} seeds" if len(rows) > 1 else ""
    all_seeds, some = f": it is the model of {source}, not a compressed one", f", whose model is that of {source}"
    instead = all_seeds if count == len(rows) else some
    return f"the gate undid {joined(sorted(steps))}{seeds}{instead if whole else ''}"


def describe(option: Option, findings: Findings) -> str:
    """Return an option in one line: series, labels and their cost, metric, latency, size, folders of derived runs."""
    metric = findings.metric
    parts = [named(option)]
    if option.cost is not None:
        parts.append(f"{option.cost:,.2f} for labels")
    kind = metric if option.measured else f"predicted {metric}"
    reach = "" if option.probability is None else f" ({percent(option.probability)} of the resamples reach the target)"
    parts.append(f"{kind} {shown(metric, option.metric)}{reach}")
    series = series_of(option, findings)
    if option.measured and (beside := series.beside(option.labels)):
        parts.append(beside)
    if option.backtest is not None:
        parts.append(
            f"such a prediction was off by {shown_difference(metric, option.backtest)} where the truth is known"
        )
    if option.latency_ms is not None:
        doubt = f" ({option.latency_doubt})" if option.latency_doubt else ""
        parts.append(f"{option.latency_ms:.1f} ms per text{doubt}")
    if option.model_bytes is not None:
        parts.append(megabytes(option.model_bytes) if option.measured else f"about {megabytes(option.model_bytes)}")
    if undone := undone_words(option, findings):
        parts.append(undone)
    if any(series is candidate for candidate in findings.candidates):
        parts.append(f"in {_folders(series, option.labels, findings.runs)}")
    return ", ".join(parts)


def _folders(series: Series, labels: int, runs: str) -> str:
    """Return the folder of the first run of an option, and the number of its other runs."""
    point = min(series.points, key=lambda point: abs(point.budget - labels))
    others = f" and {len(point.runs) - 1} more" if len(point.runs) > 1 else ""
    return f"{runs}/{point.runs[0].record}{others}"


def cheapest_line(options: Sequence[Option]) -> list[str]:
    """Return a line on the lightest of several options, or on those with the fewest labels if all weigh the same.

    Returns:
        One line, or none if the options do not differ.
    """
    weights = [weight(option.latency_ms, option.model_bytes) for option in options]
    (quickest, slowest), (smallest, largest) = ((min(column), max(column)) for column in zip(*weights, strict=True))
    if slowest > quickest * SAME_LATENCY or largest > smallest * SAME_SIZE:
        lightest = min(options, key=lambda o: (*weight(o.latency_ms, o.model_bytes), o.labels))
        return [f"lightest of them: {named(lightest)}"]
    least = min(option.labels for option in options)
    fewest = [named(option) for option in options if option.labels == least]
    return [f"needs the fewest labels: {' and '.join(fewest)}"] if len(fewest) < len(options) else []
