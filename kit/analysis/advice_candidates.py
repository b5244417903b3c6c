"""Candidates of the advice: measured and predicted options of each series."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from kit.analysis.advice_options import Option, Wish, fits, latency_doubt, ranked
from kit.analysis.curve import REACH, CurveRefused
from kit.analysis.findings import Series
from kit.analysis.points import Point, metric_of
from kit.measurement.intervals import percentile_interval
from kit.measurement.units import shown_difference, shown_value

_MULTIPLES = (2, 4, REACH)  # of the largest budget, for which predictions are compared
MAX_BACKTEST_ERROR = 0.05  # of the metric: a curve that was further off at a measured budget predicts nothing


def options_of(series: Series, wish: Wish) -> list[Option]:
    """Return an option per measured budget, and a predicted one if only the learning curve reaches the target."""
    options = [_measured(series, point, wish) for point in series.points]
    if wish.target is None or any(o.metric.value >= wish.target for o in options):
        return options
    needed = None if series.fit is None or refusal_of(series) else series.fit.labels_for(1 - wish.target).value
    if needed is None or math.ceil(needed) <= options[-1].labels:
        return options  # a measurement at this budget is below the target and overrules the curve
    return [*options, *_predicted(series, math.ceil(needed), wish)]


def refusal_of(series: Series) -> str:
    """Return the reason why nothing is predicted for a series, or an empty text.

    Learning curves that fall or do not follow a form are ill-behaved, and extrapolations of them are unreliable
    (Loog & Viering 2022, arXiv:2211.14061; Yan et al. 2025, arXiv:2505.15657).
    """
    if series.fit is None:
        return series.refusal
    if (fall := _fall(series.points)) is not None:
        values = (shown_value(point.metric, point.estimate.value) for point in fall)
        numbers = [f"{value} with {point.budget:,}" for value, point in zip(values, fall, strict=True)]
        return f"its curve falls significantly, from {numbers[0]} to {numbers[1]} labels"
    if series.fit.form == "last":
        return "no curve predicts the largest budget better than the budget before it"
    test, metric = series.fit.backtest, series.points[0].metric
    if abs(test.error) > MAX_BACKTEST_ERROR:
        off, limit = (shown_difference(metric, error) for error in (test.error, MAX_BACKTEST_ERROR))
        return f"its curve was off by {off} at {test.budget:,} labels, where the truth is known (limit: {limit})"
    return ""


def refusals(series: Sequence[Series]) -> tuple[tuple[str, str], ...]:
    """Return (series, reason) of each series without predictions."""
    return tuple((one.name, reason) for one in series if (reason := refusal_of(one)))


def best_by_labels(series: Sequence[Series], options: Sequence[Option], wish: Wish) -> tuple[tuple[int, Option], ...]:
    """Return the option with the highest metric for each number of labels.

    The numbers are the measured budgets, and 2, 4 and 8 times the largest one if a prediction has the highest metric
    there. An option may need fewer labels. Options of equal metric are ordered by labels, latency and size.

    Args:
        series: Series within the limits.
        options: Their measured options within the limits.
        wish: Target and limits.

    Returns:
        Number of labels and option.
    """
    measured = ranked([option for option in options if option.measured], Wish())
    budgets = sorted({option.labels for option in measured})
    rows = [(budget, next(o for o in measured if o.labels <= budget)) for budget in budgets]
    curves = [one for one in series if not refusal_of(one)]
    for factor in _MULTIPLES if measured else ():
        labels = factor * budgets[-1]
        predicted = [option for one in curves for option in _predicted(one, labels, wish) if fits(option, wish)]
        best = ranked([*measured, *predicted], Wish())[0]
        rows += [] if best.measured else [(labels, best)]
    return tuple(rows)


def _fall(points: Sequence[Point]) -> tuple[Point, Point] | None:
    """Return the points with the largest significant fall; None without one."""
    falls = [
        (before.estimate.value - after.estimate.value, before, after)
        for index, before in enumerate(points)
        for after in points[index + 1 :]
        if percentile_interval(after.replicates - before.replicates)[1] < 0
    ]
    return max(falls, key=lambda fall: fall[0])[1:] if falls else None


def _measured(series: Series, point: Point, wish: Wish) -> Option:
    probability = None if wish.target is None else float((point.replicates >= wish.target).mean())
    return Option(
        series=series.name,
        labels=point.budget,
        cost=_cost(point.budget, wish),
        metric=point.estimate,
        measured=True,
        probability=probability,
        latency_ms=series.speed.p50_ms if series.speed else None,
        model_bytes=point.model_bytes,
        seeds=len(point.runs),
        latency_doubt=latency_doubt(series.speed, wish),
        busy=series.speed is not None and bool(series.speed.warning),
        texts_per_second=series.speed.texts_per_second if series.speed else None,
        memory_bytes=series.speed.memory_bytes if series.speed else None,
    )


def _predicted(series: Series, labels: int, wish: Wish) -> list[Option]:
    """Return the predicted option of a series; none beyond the reach of its curve."""
    fit, last = series.fit, series.points[-1]
    if fit is None or labels <= last.budget:
        return []
    try:
        metric = metric_of(fit.predict(labels))
    except CurveRefused:
        return []
    probability = None
    if wish.target is not None:
        probability = float((1 - fit.paths([labels])[:, 0] >= wish.target).mean())
    predicted = replace(
        _measured(series, last, wish),
        labels=labels,
        cost=_cost(labels, wish),
        metric=metric,
        measured=False,
        probability=probability,
        model_bytes=_bytes_at(series, labels),
        backtest=-fit.backtest.error,
    )
    return [predicted]


def _cost(labels: int, wish: Wish) -> float | None:
    return None if wish.label_cost is None else round(labels * wish.label_cost, 6)


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
