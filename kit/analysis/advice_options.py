"""Options of the advice: each series at each number of labels, measured or predicted, and their order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from kit.analysis.curve import CurveRefused
from kit.analysis.findings import Findings, Series
from kit.analysis.frontier import SAME_LATENCY, SAME_SIZE, weight
from kit.analysis.points import Point, metric_of
from kit.analysis.wording import joined
from kit.measurement.intervals import Estimate, shown
from kit.measurement.speed import SPEED_FILE, Speed
from kit.measurement.units import shown_difference
from kit.runtime.quantities import megabytes


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
    latency_doubt: str = ""
    busy: bool = False


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
    again = f"to measure again, delete {file} and start the study again"
    return [f"{which} were measured on a busy machine and may be too high; {again}"]


def fits(option: Option, wish: Wish) -> bool:
    """Return whether the model of an option is within the size limit; the size of TF-IDF models grows with labels."""
    return wish.max_size_bytes is None or (option.model_bytes or 0) <= wish.max_size_bytes


def options_of(series: Series, wish: Wish) -> list[Option]:
    """Return an option per measured budget, and a predicted one if only the learning curve reaches the target."""
    options = [_measured(series, point, wish) for point in series.points]
    if wish.target is None or series.fit is None or any(o.metric.value >= wish.target for o in options):
        return options
    needed = series.fit.labels_for(1 - wish.target).value
    if needed is None:
        return options
    labels = int(-(-needed // 1))
    if labels <= options[-1].labels:
        return options  # the measurement at this budget is below the target and overrules the curve
    try:
        error = series.fit.predict(labels)
    except CurveRefused:
        return options
    probability = float((1 - series.fit.paths([labels])[:, 0] >= wish.target).mean())
    return [
        *options,
        replace(
            options[-1],
            labels=labels,
            model_bytes=_bytes_at(series, labels),
            metric=metric_of(error),
            measured=False,
            probability=probability,
            backtest=-series.fit.backtest.error,
        ),
    ]


def _bytes_at(series: Series, labels: int) -> int | None:
    """Return the size of a model at an unmeasured number of labels; None if no size is known."""
    budgets = [point.budget for point in series.points if point.model_bytes is not None]
    sizes = [point.model_bytes for point in series.points if point.model_bytes is not None]
    if not sizes:
        return None
    if labels <= budgets[-1] or len(sizes) == 1:
        return round(float(np.interp(labels, budgets, sizes)))
    growth = max(0.0, (sizes[-1] - sizes[-2]) / (budgets[-1] - budgets[-2]))
    return round(sizes[-1] + growth * (labels - budgets[-1]))


def _measured(series: Series, point: Point, wish: Wish) -> Option:
    probability = None if wish.target is None else float((point.replicates >= wish.target).mean())
    return Option(
        series=series.name,
        labels=point.budget,
        metric=point.estimate,
        measured=True,
        probability=probability,
        latency_ms=series.speed.p50_ms if series.speed else None,
        model_bytes=point.model_bytes,
        seeds=len(point.runs),
        latency_doubt=latency_doubt(series.speed, wish),
        busy=series.speed is not None and bool(series.speed.warning),
    )


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


def best_by_labels(options: Sequence[Option]) -> tuple[tuple[int, Option], ...]:
    """Return the measured option with the highest metric for each number of labels that can be bought.

    An option may need fewer labels. Options of equal metric are ordered by labels, latency and size.

    Args:
        options: Options within the limits.

    Returns:
        Number of labels and option, for each measured budget.
    """
    measured = ranked([option for option in options if option.measured], Wish())
    budgets = sorted({option.labels for option in measured})
    return tuple((budget, next(o for o in measured if o.labels <= budget)) for budget in budgets)


def named(option: Option) -> str:
    """Return the name of an option: `finetune with 80 labels`."""
    return f"{option.series} with {option.labels:,} labels"


def describe(option: Option, findings: Findings, wish: Wish) -> str:
    """Return an option in one line: series, labels and their cost, metric, latency, size, folders of derived runs."""
    metric = findings.metric
    parts = [named(option)]
    if wish.label_cost is not None:
        parts.append(f"{option.labels * wish.label_cost:,.2f} for labels")
    kind = metric if option.measured else f"predicted {metric}"
    parts.append(f"{kind} {shown(metric, option.metric)}")
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
