"""Rows of numbers and text that several figures draw.

Names of users become values of rows, never names of fields.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from kit.measurement.intervals import shown
from kit.measurement.units import shown_value
from kit.reporting.formatting import predicted
from kit.runtime.characters import plain

if TYPE_CHECKING:
    from kit.analysis.findings import Series
    from kit.analysis.points import Point

Rows = list[dict[str, Any]]

_STEPS = 20  # points of a drawn curve, besides the budgets
_SPREAD = 0.05  # share of an axis over which series are set apart
_GAP = 0.008  # share of an axis between neighbouring series, if there is room
_SEED_OFFSET = 1.02  # factor by which dots of seeds are moved to the right of their mean


def mean_rows(label: str, series: Series, metric: str, aside: float = 1.0) -> Rows:
    """Return the mean at each budget. aside: Factor that moves x away from other series."""
    return [
        mean_row(label, series, point, metric=metric) | {"x": rounded(point.budget * aside)} for point in series.points
    ]


def mean_row(label: str, series: Series, point: Point, metric: str) -> dict[str, Any]:
    """Return the mean at one budget with all that its tooltip shows."""
    return {
        "series": label,
        "name": plain(series.name),
        "x": point.budget,
        **interval(point.estimate.value, point.estimate.low, point.estimate.high),
        "labels": f"{point.budget:,}",
        "shown": shown(metric, point.estimate),
        "seeds": str(len(point.runs)),
    }


def seed_rows(label: str, series: Series, metric: str, aside: float = 1.0) -> Rows:
    """Return every run, slightly to the right of the mean so that the interval of the mean does not cover it."""
    return [
        {
            "series": label,
            "x": rounded(point.budget * aside * _SEED_OFFSET),
            "y": rounded(run.value),
            "seed": str(run.seed),
            "shown": shown_value(metric, run.value),
            **({"flag": plain(run.flag)} if run.flag else {}),
        }
        for point in series.points
        for run in point.runs
    ]


def curve_rows(label: str, series: Series, metric: str, banded: bool = True) -> Rows:
    """Return points of the fitted curve up to its limit, `ahead` if predicted; without a curve, return the means.

    Points of a curve have the ends of its band if `banded`.
    """
    fit = series.fit
    if fit is None:
        means = mean_rows(label, series, metric)
        return [{"series": label, "x": row["x"], "y": row["y"], "ahead": False} for row in means]
    start, measured, end = float(min(fit.budgets)), float(max(fit.budgets)), float(fit.largest)
    rows: Rows = []
    for first, last, ahead in ((start, measured, False), (measured, end, True)):
        inside = [float(budget) for budget in fit.budgets if first < budget < last]
        for n in sorted({*_spaced(first, last), *inside}):
            estimate = predicted(fit, n)
            if estimate is not None:
                band = interval(estimate.value, estimate.low, estimate.high)
                values = band if banded else {"y": band["y"]}
                rows.append({"series": label, "x": rounded(n), **values, "ahead": ahead})
    return rows


def envelope(rows: Rows) -> Rows:
    """Return the rows with the best metric within their latency, in ascending order of latency."""
    best = -math.inf
    corners: Rows = []
    for row in sorted(rows, key=lambda row: (row["x"], -row["y"])):
        if row["y"] > best:
            best = row["y"]
            corners.append(row)
    return corners


def set_aside(index: int, count: int) -> float:
    """Return the shift of series `index` of `count` as a share of the axis, which keeps all intervals visible."""
    return (index - (count - 1) / 2) * min(_GAP, _SPREAD / count)


def interval(value: float, low: float, high: float) -> dict[str, float]:
    """Return a value and its interval as the fields y, low and high."""
    return {"y": rounded(value), "low": rounded(low), "high": rounded(high)}


def rounded(value: float) -> float:
    """Return a number with five digits, fewer than a pixel can show, so that the page stays small."""
    return float(f"{value:.5g}")


def _spaced(first: float, last: float) -> list[float]:
    """Return numbers of labels from first to last with equal ratios.

    The result is empty if last is not larger than first.
    """
    if last <= first:
        return []
    inner = [first * (last / first) ** (step / (_STEPS - 1)) for step in range(1, _STEPS - 1)]
    return [first, *inner, last]  # exact ends: a fit refuses a prediction beyond its limit, even by a rounding error
