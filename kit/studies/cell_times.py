"""Remaining time of a study, estimated from the cells that have ended."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median

from kit.measurement.durations import Span, spread_of, total
from kit.studies.grid import Cell, Series

_FIXED_S = 2.0  # part of a cell's time that does not grow with its arithmetic: loading, saving, verification
_OTHER_METHOD = 2.0  # factor in either direction by which the pace of another method may be wrong
_COMPARABLE = 0.2  # least effort of another method's cell, as a share of this cell's
_OTHER_BUDGET = 1.25  # factor in either direction for a line through measured budgets

Kind = tuple[Series, int]


class CellTimes:
    """Durations of ended cells by kind: series and budget.

    Args:
        efforts: Arithmetic of every cell of the study, in any unit.
    """

    def __init__(self, efforts: Mapping[Cell, float]) -> None:
        self._efforts = {(cell.series, cell.budget): effort for cell, effort in efforts.items()}
        self._warm: dict[Kind, list[float]] = {}
        self._cold: dict[Kind, list[float]] = {}

    def add(self, cell: Cell, seconds: float, *, cold: bool) -> None:
        """Record the duration of a cell. cold: It was the first of its process, which loaded libraries and data."""
        times = self._cold if cold else self._warm
        times.setdefault((cell.series, cell.budget), []).append(seconds)

    def left(self, open_cells: Mapping[Kind, int], running: Mapping[Cell, float]) -> Span | None:
        """Return the time of all cells that have not ended, run in sequence.

        The result is None if too little is known.

        Args:
            open_cells: Number of cells of each kind that have not ended.
            running: Seconds since the start of each running cell.
        """
        if not self._warm and any(count for kind, count in open_cells.items() if kind not in self._cold):
            return None  # the only cell that ended has loaded libraries and data
        spans = {kind: self.estimate(kind) for kind, count in open_cells.items() if count}
        known = {kind: span for kind, span in spans.items() if span is not None}
        if len(known) < len(spans):
            return None
        elapsed = [(known[cell.series, cell.budget], seconds) for cell, seconds in running.items()]
        waiting = dict(open_cells)
        for cell in running:
            waiting[cell.series, cell.budget] -= 1
        return total(
            [
                *(known[kind].scaled(count) for kind, count in waiting.items() if count > 0),
                *(span.less(seconds) for span, seconds in elapsed),
            ]
        )

    def estimate(self, kind: Kind) -> Span | None:
        """Return the time of a cell from its kind, its series or its checkpoint, in this order.

        The result is None if unknown.
        """
        if kind in self._warm:
            return spread_of(self._warm[kind])
        if kind in self._cold:
            seconds = median(self._cold[kind])
            return Span.around(seconds, 0.5 * seconds, seconds)
        series = {k: times for k, times in self._warm.items() if k[0] == kind[0]}
        if series:
            return self._from_series(kind, {self._efforts[k]: median(times) for k, times in series.items()})
        first = {k: times for k, times in self._cold.items() if k[0] == kind[0]}
        if first:
            span = self._from_series(kind, {self._efforts[k]: median(times) for k, times in first.items()})
            return Span(span.seconds, 0.5 * span.low, span.high)
        return self._from_checkpoint(kind)

    def _from_series(self, kind: Kind, times: Mapping[float, float]) -> Span:
        """Return an estimate from other budgets. times: Median seconds by effort."""
        effort = self._efforts[kind]
        if len(times) > 1:
            seconds = _on_line(times, effort)
            return Span.around(seconds, seconds / _OTHER_BUDGET, seconds * _OTHER_BUDGET)
        [(measured, seconds)] = times.items()
        ratio = effort / measured if measured else 1.0
        fixed = min(_FIXED_S, seconds)
        ends = sorted((seconds, seconds * ratio))  # no part grows, or every part grows
        return Span.around(fixed + (seconds - fixed) * ratio, ends[0], ends[1])

    def _from_checkpoint(self, kind: Kind) -> Span | None:
        """Return an estimate from other methods on the same checkpoint, whose efforts have the same unit.

        Cells with far less arithmetic are left out: their time is not spent on arithmetic.
        """
        least = _COMPARABLE * self._efforts[kind]
        rates = [
            max(0.0, median(times) - _FIXED_S) / self._efforts[k]
            for k, times in self._warm.items()
            if k[0][1] is not None and k[0][1] == kind[0][1] and self._efforts[k] > least
        ]
        if not rates:
            return None
        seconds = _FIXED_S + median(rates) * self._efforts[kind]
        return Span(seconds, seconds / _OTHER_METHOD, seconds * _OTHER_METHOD)


def _on_line(times: Mapping[float, float], effort: float) -> float:
    """Return the time at an effort on the line through measured times, with slope and time at 0 at least 0."""
    mean_effort, mean_time = (sum(values) / len(times) for values in (times.keys(), times.values()))
    variance = sum((effort - mean_effort) ** 2 for effort in times)
    slope = (
        sum((effort - mean_effort) * (times[effort] - mean_time) for effort in times) / variance if variance else 0.0
    )
    slope = min(max(0.0, slope), mean_time / mean_effort if mean_effort else 0.0)
    return mean_time + slope * (effort - mean_effort)
