"""Options: every series at every number of labels that could be chosen, measured or predicted, and their order.

Knows series and numbers. Knows nothing of files, or of what is said of a choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from kit.analysis.curve import CurveRefused
from kit.analysis.findings import Findings, Series
from kit.analysis.frontier import SAME_LATENCY, SAME_SIZE, weight
from kit.analysis.points import Point, metric_of
from kit.measurement.intervals import Estimate, shown
from kit.measurement.speed import Speed
from kit.measurement.units import megabytes, shown_difference


@dataclass(frozen=True)
class Wish:
    """What a user needs.

    target: of the main metric, higher is better; None for the best there is. label_cost: of one label, in any currency.
    max_latency_ms: median of one text. max_size_bytes: of the saved model.
    """

    target: float | None = None
    label_cost: float | None = None
    max_latency_ms: float | None = None
    max_size_bytes: float | None = None


@dataclass(frozen=True)
class Option:
    """A series at a number of labels.

    metric: measured, or predicted by the learning curve, and then `backtest` is the error of such a prediction.
    chance: that the metric is at least the target, None without a target. seeds: that it was measured with.
    model_bytes: of a prediction for a model that grows with its labels, as words that TF-IDF counts do, along the line
    through the two largest budgets, which such growth stays below. latency_doubt: see
    `latency_doubt`.
    """

    series: str
    labels: int
    metric: Estimate
    measured: bool
    chance: float | None
    latency_ms: float | None
    model_bytes: int | None
    seeds: int
    backtest: float | None = None
    latency_doubt: str = ""


def breaks(series: Series, wish: Wish, no_latency: str = "") -> str:
    """Return which limit a series breaks; empty if none. What was not measured cannot be promised.

    no_latency: why a latency is missing, where that is known.
    """
    latency = series.speed
    size = min((point.model_bytes for point in series.points if point.model_bytes is not None), default=None)
    if wish.max_latency_ms is not None and latency is None:
        return no_latency or "its latency was not measured"
    if wish.max_latency_ms is not None and latency is not None and latency.p50_ms > wish.max_latency_ms:
        doubt = latency_doubt(latency, wish)
        return f"{latency.p50_ms:.1f} ms per text, above {wish.max_latency_ms:g} ms{f'; {doubt}' if doubt else ''}"
    if wish.max_size_bytes is not None and size is None:
        return "its size is not known"
    if wish.max_size_bytes is not None and size is not None and size > wish.max_size_bytes:
        return f"{megabytes(size)}, above {wish.max_size_bytes / 1e6:g} MB"
    return ""


def latency_doubt(speed: Speed | None, wish: Wish) -> str:
    """Return why a latency may be on the other side of the limit; empty if there is no limit or no such reason."""
    if speed is None or wish.max_latency_ms is None:
        return ""
    (low, high), reasons = speed.interval, []
    if low < wish.max_latency_ms < high:
        reasons.append(f"the limit lies inside its interval [{low:.1f}, {high:.1f}]")
    if speed.warning:
        reasons.append("measured on a busy machine")
    return ", ".join(reasons)


def fits(option: Option, wish: Wish) -> bool:
    """Whether the model at this budget is small enough: the words that TF-IDF counts grow with it."""
    return wish.max_size_bytes is None or (option.model_bytes or 0) <= wish.max_size_bytes


def options_of(series: Series, wish: Wish) -> list[Option]:
    """Every measured budget, and if none of them reaches the target, the labels with which the curve says it would."""
    options = [_measured(series, point, wish) for point in series.points]
    if wish.target is None or series.fit is None or any(o.metric.value >= wish.target for o in options):
        return options
    needed = series.fit.labels_for(1 - wish.target).value
    if needed is None:
        return options
    labels = int(-(-needed // 1))
    if labels <= options[-1].labels:
        return options  # what was measured there is less, and overrules the curve
    try:
        error = series.fit.predict(labels)
    except CurveRefused:
        return options
    chance = float((1 - series.fit.paths([labels])[:, 0] >= wish.target).mean())
    return [
        *options,
        replace(
            options[-1],
            labels=labels,
            model_bytes=_bytes_at(series, labels),
            metric=metric_of(error),
            measured=False,
            chance=chance,
            backtest=-series.fit.backtest.error,
        ),
    ]


def _bytes_at(series: Series, labels: int) -> int | None:
    """Size of a model at a number of labels that was not measured; None if no size is known."""
    budgets = [point.budget for point in series.points if point.model_bytes is not None]
    sizes = [point.model_bytes for point in series.points if point.model_bytes is not None]
    if not sizes:
        return None
    if labels <= budgets[-1] or len(sizes) == 1:
        return round(float(np.interp(labels, budgets, sizes)))
    growth = max(0.0, (sizes[-1] - sizes[-2]) / (budgets[-1] - budgets[-2]))
    return round(sizes[-1] + growth * (labels - budgets[-1]))


def _measured(series: Series, point: Point, wish: Wish) -> Option:
    chance = None if wish.target is None else float((point.replicates >= wish.target).mean())
    return Option(
        series=series.name,
        labels=point.budget,
        metric=point.estimate,
        measured=True,
        chance=chance,
        latency_ms=series.speed.p50_ms if series.speed else None,
        model_bytes=point.model_bytes,
        seeds=len(point.runs),
        latency_doubt=latency_doubt(series.speed, wish),
    )


def ranked(options: Sequence[Option], wish: Wish) -> list[Option]:
    """Those that meet the target, fewest labels first; without a target, highest metric first."""
    if wish.target is None:
        return sorted(options, key=lambda o: (-o.metric.value, o.labels, *weight(o.latency_ms, o.model_bytes)))
    target = wish.target
    # A prediction of exactly the target may come out a rounding error below it.
    meets = [o for o in options if o.metric.value >= target - (0 if o.measured else 1e-6)]
    return sorted(
        meets, key=lambda o: (o.labels, not o.measured, -o.metric.value, *weight(o.latency_ms, o.model_bytes))
    )


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
    series = next(each for each in findings.options if each.name == option.series)
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
    if series.name in {each.name for each in findings.candidates}:
        parts.append(f"in {_folders(series, option.labels, findings.runs)}")
    return ", ".join(parts)


def _folders(series: Series, labels: int, runs: str) -> str:
    """Return the folder of the first run behind an option, and how many other runs there are."""
    point = min(series.points, key=lambda each: abs(each.budget - labels))
    others = f" and {len(point.runs) - 1} more" if len(point.runs) > 1 else ""
    return f"{runs}/{point.runs[0].record}{others}"


def cheapest_line(options: Sequence[Option]) -> list[str]:
    """Name the lightest of several options, or if they are equally light those that need the fewest labels.

    Returns:
        One line, or none if the options do not differ.
    """
    weights = [weight(each.latency_ms, each.model_bytes) for each in options]
    (quickest, slowest), (smallest, largest) = ((min(column), max(column)) for column in zip(*weights, strict=True))
    if slowest > quickest * SAME_LATENCY or largest > smallest * SAME_SIZE:
        lightest = min(options, key=lambda each: (*weight(each.latency_ms, each.model_bytes), each.labels))
        return [f"lightest of them: {named(lightest)}"]
    fewest = [each for each in options if each.labels == min(each.labels for each in options)]
    return [f"needs the fewest labels: {' and '.join(map(named, fewest))}"] if len(fewest) < len(options) else []
