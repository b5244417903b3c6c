"""Rows: the findings as the rows of numbers that charts draw.

Knows findings. Knows nothing of Altair, colours or pages. Names become values of rows here, never names of fields.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kit.measurement.intervals import shown
from kit.measurement.units import shown_value
from kit.reporting.formatting import between, plain, predicted
from kit.runtime.quantities import megabytes

if TYPE_CHECKING:
    from kit.analysis.findings import Choice, Findings, Series
    from kit.analysis.points import Point

Rows = list[dict[str, Any]]

_STEPS = 40  # points of a drawn curve
_SPREAD = 0.05  # share of an axis over which series are set apart
_GAP = 0.008  # share of an axis between two of them, if there is room
_BESIDE = 1.02


def mean_rows(series: Series, metric: str, aside: float = 1.0) -> Rows:
    """The mean over seeds at each budget. aside: factor by which x is set apart from that of other series."""
    return [_mean_row(series, point, metric) | {"x": point.budget * aside} for point in series.points]


def seed_rows(series: Series, metric: str, aside: float = 1.0) -> Rows:
    """Every run, flagged or not, a little to the right of the mean, whose interval would hide it."""
    return [
        {
            "series": plain(series.name),
            "x": point.budget * aside * _BESIDE,
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
    """The fitted curve as far as it may be asked, `ahead` where it predicts; without one the means, to be connected."""
    fit = series.fit
    if fit is None:
        return [row | {"ahead": False, "fitted": False} for row in mean_rows(series, metric)]
    start, bought, end = float(min(fit.budgets)), float(max(fit.budgets)), float(fit.largest)
    rows: Rows = []
    for first, last, ahead in ((start, bought, False), (bought, end, True)):
        for n in _spaced(first, last):
            found = predicted(fit, n)
            if found is not None:
                rows.append(
                    {
                        "series": plain(series.name),
                        "x": n,
                        "y": found.value,
                        "low": found.low,
                        "high": found.high,
                        "ahead": ahead,
                        "fitted": True,
                        "labels": f"{n:,.0f}",
                        "shown": shown(metric, found),
                    }
                )
    return rows


def ladder_rows(findings: Findings) -> Rows:
    """The mean of every series on a checkpoint at every budget, by size of the model; none for fewer than two sizes.

    Size is the number of parameters, or if one is unknown the bytes of the saved model.
    """
    some = [each for each in findings.series if each.checkpoint and each.points]
    sizes = [each.parameters for each in some]
    if not all(sizes):
        sizes = [each.model_bytes or 0 for each in some]
    if len(set(sizes)) < 2 or not all(sizes):
        return []
    methods = list(dict.fromkeys(each.method for each in some))
    apart = math.log(max(sizes) / min(sizes))
    rows: Rows = []
    for each, size in zip(some, sizes, strict=True):
        aside = math.exp(set_aside(methods.index(each.method), len(methods)) * apart)
        for point in each.points:
            row = _mean_row(each, point, findings.metric)
            rows.append(row | {"x": size * aside, "size": size, "budget": point.budget})
    return rows


def choice_rows(findings: Findings) -> Rows:
    """The choices whose latency is known. weight: labels, or with one budget and known sizes, MB of the saved model."""
    timed = [choice for choice in findings.frontier if choice.latency_ms]
    return [_choice_row(choice, findings.metric, weighs_labels(timed)) for choice in timed]


def weighs_labels(choices: Sequence[Choice]) -> bool:
    """Whether dots are sized by labels: they differ, or sizes are not known."""
    return len({choice.budget for choice in choices}) > 1 or any(choice.model_bytes is None for choice in choices)


def envelope(rows: Rows) -> Rows:
    """The best metric there is within each latency: the corners of a staircase."""
    best = -math.inf
    corners: Rows = []
    for row in sorted(rows, key=lambda row: (row["x"], -row["y"])):
        if row["y"] > best:
            best = row["y"]
            corners.append({"x": row["x"], "y": best})
    return corners


def set_aside(index: int, count: int) -> float:
    """How far, as a share of the axis, series `index` of `count` is moved so that intervals do not hide each other."""
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
        "shown": between(metric, choice.metric, choice.low, choice.high),
        "latency": f"{choice.latency_ms:.3g} ms",
        "saved": "not kept" if size is None else megabytes(size),
        "beaten": choice.dominated,
        "said": "yes" if choice.dominated else "no",
    }


def _spaced(first: float, last: float) -> list[float]:
    """Numbers of labels from first to last, evenly in their logarithm; none if there is no way to go."""
    if last <= first:
        return []
    inner = [first * (last / first) ** (step / (_STEPS - 1)) for step in range(1, _STEPS - 1)]
    return [first, *inner, last]  # the ends exactly: a fit answers not a rounding error beyond its largest
