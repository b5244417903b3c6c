"""Frontier: the measured choices that no other choice dominates."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kit.analysis.findings import Choice, Series
from kit.analysis.points import Point

_ROWS_AT_ONCE = 256  # comparisons with 5,000 rows then take 1.3 MB per column
_MAXIMISE = (True, False, False, False)  # metric, latency, size, labels
_LATENCY = 1  # column
SAME_LATENCY, SAME_SIZE = 1.05, 1.01  # medians within 5 % and sizes within 1 % count as equal
_WIDER = SAME_LATENCY**0.5  # equal medians overlap once each is widened by this factor


def non_dominated(
    rows: np.ndarray, maximise: Sequence[bool], intervals: tuple[np.ndarray, np.ndarray] | None = None
) -> NDArray[np.bool_]:
    """Return which rows are Pareto-optimal: no other row is as good in every column and better in one.

    Unknown values are neither better nor worse than others, but a row with an unknown value does not dominate a row
    whose value is known in that column. Equal rows do not dominate each other. Values whose intervals overlap count as
    equal.

    Args:
        rows: (n, m) values, NaN if unknown.
        maximise: True for each of the m columns in which more is better.
        intervals: (n, m) lower and (n, m) upper ends of the values; None if the values are exact.

    Returns:
        (n,) booleans, after n^2 m comparisons.

    Raises:
        ValueError: If `maximise` does not have one entry per column.
    """
    values = np.asarray(rows, np.float64)
    if values.ndim != 2 or values.shape[1] != len(maximise):
        raise ValueError(f"rows of the shape {values.shape} need as many directions as columns, not {len(maximise)}")
    known = ~np.isnan(values)
    low, high = intervals or (values, values)
    worst = np.where(known, np.where(maximise, low, -high), -np.inf)
    best = np.where(known, np.where(maximise, high, -low), -np.inf)
    optimal = np.ones(len(values), np.bool_)
    for start in range(0, len(values), _ROWS_AT_ONCE):
        some = slice(start, start + _ROWS_AT_ONCE)
        shape = (len(values[some]), len(values))
        no_worse, better = np.ones(shape, np.bool_), np.zeros(shape, np.bool_)
        for column in range(values.shape[1]):
            no_worse &= best[None, :, column] >= worst[some, column, None]
            better |= (worst[None, :, column] > best[some, column, None]) & known[some, column, None]
        optimal[some] = ~(no_worse & better).any(axis=1)
    return optimal


def frontier(series: Sequence[Series]) -> tuple[Choice, ...]:
    """Return every (series, budget) as a choice, with whether another choice dominates it.

    A choice is dominated if another one has at least the same metric and no more latency, size and labels, and is
    better in one of these. The latency is the median time per text of one model of the series. Latencies count as equal
    if their intervals overlap or they are within 5 %, sizes if they are within 1 % (names in a file differ in length).
    """
    measured = [(one, point) for one in series for point in one.points]
    if not measured:
        return ()
    speeds = [one.speed for one, _ in measured]
    sizes = _steps([point.model_bytes for _, point in measured], SAME_SIZE - 1)
    latencies = [speed.p50_ms if speed else np.nan for speed in speeds]
    metrics, budgets = [point.estimate.value for _, point in measured], [point.budget for _, point in measured]
    rows = np.array(list(zip(metrics, latencies, sizes, budgets, strict=True)), np.float64)
    low, high = rows.copy(), rows.copy()
    low[:, _LATENCY] = [min(s.interval[0], s.p50_ms / _WIDER) if s else np.nan for s in speeds]
    high[:, _LATENCY] = [max(s.interval[1], s.p50_ms * _WIDER) if s else np.nan for s in speeds]
    optimal = non_dominated(rows, _MAXIMISE, (low, high))
    return tuple(
        Choice(
            series=one.name,
            budget=point.budget,
            metric=point.estimate.value,
            low=point.estimate.low,
            high=point.estimate.high,
            latency_ms=None if one.speed is None else one.speed.p50_ms,
            model_bytes=point.model_bytes,
            dominated=not best,
            latency_interval=None if one.speed is None else one.speed.interval,
        )
        for (one, point), best in zip(measured, optimal, strict=True)
    )


def cheapest(choices: Sequence[tuple[Series, Point]]) -> tuple[Series, Point]:
    """Return the choice with the fewest labels, then the lowest latency and size.

    Latencies within 5 % and sizes within 1 % count as equal; of equal choices, the one with the highest metric is
    returned.
    """
    fewest = min(point.budget for _, point in choices)
    left = [(one, point) for one, point in choices if point.budget == fewest]
    for column, tolerance in ((0, SAME_LATENCY), (1, SAME_SIZE)):
        weights = [weight(one.speed.p50_ms if one.speed else None, point.model_bytes)[column] for one, point in left]
        left = [choice for choice, value in zip(left, weights, strict=True) if value <= min(weights) * tolerance]
    return max(left, key=lambda choice: choice[1].estimate.value)


def weight(latency_ms: float | None, model_bytes: int | None) -> tuple[float, float]:
    """Return the sort key of equally good choices, the lightest first: latency, then size; unknown values last."""
    return math.inf if latency_ms is None else latency_ms, math.inf if model_bytes is None else model_bytes


def _steps(values: Sequence[float | None], tolerance: float) -> list[float]:
    """Return values in which each is replaced by the smallest one within the tolerance, and None by NaN."""
    steps = [float("nan")] * len(values)
    known = sorted((value, index) for index, value in enumerate(values) if value is not None)
    level = -1.0
    for value, index in known:
        if level < 0 or value > level * (1 + tolerance):
            level = value
        steps[index] = level
    return steps
