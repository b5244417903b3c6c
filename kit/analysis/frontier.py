"""The frontier: which measured choices no other choice beats in everything.

Knows numbers with a direction, and series. Knows nothing of how they were measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kit.analysis.findings import Choice, Series

_ROWS_AT_ONCE = 256  # comparisons with 5,000 rows are then 1.3 MB a column
_MAXIMISE = (True, False, False, False)  # metric, latency, size, labels


def non_dominated(rows: np.ndarray, maximise: Sequence[bool]) -> NDArray[np.bool_]:
    """Which rows are Pareto-optimal: no other row is at least as good in every column and better in one.

    rows: (n, m), NaN where unknown. maximise: for each of the m columns, whether more is better. Returns (n,).
    An unknown value is neither better nor worse than another, but a row dominates nothing that is known where it is
    not: it could be worse there. Equal rows do not dominate each other. Takes n^2 m comparisons.
    Raises ValueError if `maximise` does not name every column.
    """
    values = np.asarray(rows, np.float64)
    if values.ndim != 2 or values.shape[1] != len(maximise):
        raise ValueError(f"rows have the shape {values.shape}, and {len(maximise)} columns have a direction")
    known = ~np.isnan(values)
    scores = np.where(known, np.where(maximise, values, -values), -np.inf)
    optimal = np.ones(len(values), np.bool_)
    for start in range(0, len(values), _ROWS_AT_ONCE):
        some = slice(start, start + _ROWS_AT_ONCE)
        shape = (len(scores[some]), len(scores))
        no_worse, better = np.ones(shape, np.bool_), np.zeros(shape, np.bool_)
        for column in range(scores.shape[1]):
            mine, others = scores[some, column, None], scores[None, :, column]
            no_worse &= others >= mine
            better |= (others > mine) & known[some, column, None]
        optimal[some] = ~(no_worse & better).any(axis=1)
    return optimal


def frontier(series: Sequence[Series]) -> tuple[Choice, ...]:
    """Every (series, budget) as a choice, and whether another one has it all: more metric, less latency, size, labels.

    Latency (median of one text) is that of one model of the series. Latencies within 5 % and sizes within 1 % count as
    equal: the former is noise, the latter the length of names in a file.
    """
    found = [(each, point) for each in series for point in each.points]
    if not found:
        return ()
    latency = _steps([each.speed.p50_ms if each.speed else None for each, _ in found], 0.05)
    size = _steps([point.model_bytes for _, point in found], 0.01)
    rows = [(point.estimate.value, latency[index], size[index], point.budget) for index, (_, point) in enumerate(found)]
    optimal = non_dominated(np.array(rows, np.float64), _MAXIMISE)
    return tuple(
        Choice(
            series=each.name,
            budget=point.budget,
            metric=point.estimate.value,
            low=point.estimate.low,
            high=point.estimate.high,
            latency_ms=None if each.speed is None else each.speed.p50_ms,
            model_bytes=point.model_bytes,
            dominated=not best,
        )
        for (each, point), best in zip(found, optimal, strict=True)
    )


def weight(latency_ms: float | None, model_bytes: int | None) -> tuple[float, float]:
    """What equal choices are ordered by, the lightest first: latency, then size; what is not known comes last."""
    return math.inf if latency_ms is None else latency_ms, math.inf if model_bytes is None else model_bytes


def _steps(values: Sequence[float | None], tolerance: float) -> list[float]:
    """Each value, or the smallest one that it is within the tolerance of; NaN where it is not known."""
    found = [float("nan")] * len(values)
    known = sorted((value, index) for index, value in enumerate(values) if value is not None)
    level = -1.0
    for value, index in known:
        if level < 0 or value > level * (1 + tolerance):
            level = value
        found[index] = level
    return found
