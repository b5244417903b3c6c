"""Rows of numbers and text that the charts draw.

Names of users become values of rows, never names of fields.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kit.measurement.intervals import shown
from kit.measurement.units import shown_value
from kit.reporting.formatting import between, predicted
from kit.runtime.characters import plain
from kit.runtime.quantities import megabytes

if TYPE_CHECKING:
    from kit.analysis.findings import Choice, Findings, Series
    from kit.analysis.points import Point

Rows = list[dict[str, Any]]

_STEPS = 40  # points of a drawn curve
_SPREAD = 0.05  # share of an axis over which series are set apart
_GAP = 0.008  # share of an axis between neighbouring series, if there is room
_SEED_OFFSET = 1.02  # factor by which dots of seeds are moved to the right of their mean


def mean_rows(series: Series, metric: str, aside: float = 1.0) -> Rows:
    """Return the mean over seeds at each budget. aside: Factor that moves x away from other series."""
    return [_mean_row(series, point, metric) | {"x": point.budget * aside} for point in series.points]


def seed_rows(series: Series, metric: str, aside: float = 1.0) -> Rows:
    """Return every run, slightly to the right of the mean so that the interval of the mean does not cover it."""
    return [
        {
            "series": plain(series.name),
            "x": point.budget * aside * _SEED_OFFSET,
            "y": run.value,
            "low": run.value,
            "high": run.value,
            "labels": f"{point.budget:,}",
            "seed": str(run.seed),
            "shown": shown_value(metric, run.value),
            "flagged": bool(run.flag),
            "flag": plain(run.flag),
        }
        for point in series.points
        for run in point.runs
    ]


def curve_rows(series: Series, metric: str) -> Rows:
    """Return points of the fitted curve up to its limit, `ahead` if predicted; without a curve, return the means."""
    fit = series.fit
    if fit is None:
        return [row | {"ahead": False, "fitted": False} for row in mean_rows(series, metric)]
    start, measured, end = float(min(fit.budgets)), float(max(fit.budgets)), float(fit.largest)
    rows: Rows = []
    for first, last, ahead in ((start, measured, False), (measured, end, True)):
        for n in _spaced(first, last):
            estimate = predicted(fit, n)
            if estimate is not None:
                rows.append(
                    {
                        "series": plain(series.name),
                        "x": n,
                        "y": estimate.value,
                        "low": estimate.low,
                        "high": estimate.high,
                        "ahead": ahead,
                        "fitted": True,
                        "labels": f"{n:,.0f}",
                        "shown": shown(metric, estimate),
                    }
                )
    return rows


def ladder_rows(findings: Findings) -> Rows:
    """Return the mean of each series at each budget by size of its checkpoint.

    The result is empty for fewer than two sizes.

    Size is the number of parameters, or the bytes of the saved models if a number is unknown.
    """
    sized = [series for series in findings.series if series.checkpoint and series.points]
    sizes = [series.parameters for series in sized]
    if not all(sizes):
        sizes = [series.model_bytes or 0 for series in sized]
    if len(set(sizes)) < 2 or not all(sizes):
        return []
    methods = list(dict.fromkeys(series.method for series in sized))
    width = math.log(max(sizes) / min(sizes))
    rows: Rows = []
    for series, size in zip(sized, sizes, strict=True):
        aside = math.exp(set_aside(methods.index(series.method), len(methods)) * width)
        for point in series.points:
            row = _mean_row(series, point, findings.metric)
            rows.append(row | {"x": size * aside, "size": size, "budget": point.budget})
    return rows


def choice_rows(findings: Findings) -> Rows:
    """Return the choices with a latency.

    Their weight is the number of labels or the size, see `weighs_labels`.
    """
    timed = [choice for choice in findings.frontier if choice.latency_ms]
    return [_choice_row(choice, findings.metric, weighs_labels(timed)) for choice in timed]


def weighs_labels(choices: Sequence[Choice]) -> bool:
    """Return whether the area of dots shows labels, not MB: the budgets differ, or a size is unknown."""
    return len({choice.budget for choice in choices}) > 1 or any(choice.model_bytes is None for choice in choices)


def envelope(rows: Rows) -> Rows:
    """Return the best metric within each latency, as corners of a staircase."""
    best = -math.inf
    corners: Rows = []
    for row in sorted(rows, key=lambda row: (row["x"], -row["y"])):
        if row["y"] > best:
            best = row["y"]
            corners.append({"x": row["x"], "y": best})
    return corners


def set_aside(index: int, count: int) -> float:
    """Return the shift of series `index` of `count` as a share of the axis, which keeps all intervals visible."""
    return (index - (count - 1) / 2) * min(_GAP, _SPREAD / count)


def _mean_row(series: Series, point: Point, metric: str) -> dict[str, Any]:
    return {
        "series": plain(series.name),
        "method": plain(series.method),
        "checkpoint": plain(series.checkpoint or ""),
        "x": point.budget,
        "y": point.estimate.value,
        "low": point.estimate.low,
        "high": point.estimate.high,
        "labels": f"{point.budget:,}",
        "shown": shown(metric, point.estimate),
        "seeds": str(len(point.runs)),
    }


def _choice_row(choice: Choice, metric: str, by_labels: bool) -> dict[str, Any]:
    size = choice.model_bytes
    return {
        "series": plain(choice.series),
        "x": choice.latency_ms,
        "y": choice.metric,
        "low": choice.low,
        "high": choice.high,
        "weight": choice.budget if by_labels else (size or 0) / 1e6,
        "labels": f"{choice.budget:,}",
        "shown": between(metric, choice.metric, choice.low, high=choice.high),
        "latency": f"{choice.latency_ms:.3g} ms",
        "saved": "not kept" if size is None else megabytes(size),
        "dominated": choice.dominated,
        "verdict": "yes" if choice.dominated else "no",
    }


def _spaced(first: float, last: float) -> list[float]:
    """Return numbers of labels from first to last with equal ratios.

    The result is empty if last is not larger than first.
    """
    if last <= first:
        return []
    inner = [first * (last / first) ** (step / (_STEPS - 1)) for step in range(1, _STEPS - 1)]
    return [first, *inner, last]  # exact ends: a fit refuses a prediction beyond its limit, even by a rounding error
