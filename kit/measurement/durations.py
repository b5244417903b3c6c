"""Estimated durations with their spread, from measured durations of the same kind of work."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from kit.runtime.quantities import duration

_LEAST_SPREAD = 1.15  # least factor in either direction by which an estimate may be wrong
_WINDOW = 100  # latest durations that count: a machine that became slower stays slower


@dataclass(frozen=True)
class Span:
    """Estimated duration in seconds with its lower and upper end; `warning` is a reason why it may be far off."""

    seconds: float
    low: float
    high: float
    warning: str = ""

    def __add__(self, other: Span) -> Span:
        warning = self.warning or other.warning
        return Span(self.seconds + other.seconds, self.low + other.low, self.high + other.high, warning=warning)

    def scaled(self, factor: float) -> Span:
        """Return the duration of `factor` times the work."""
        return Span(factor * self.seconds, factor * self.low, factor * self.high, warning=self.warning)

    def less(self, seconds: float) -> Span:
        """Return the rest of the duration after some seconds."""
        left = [max(0.0, value - seconds) for value in (self.seconds, self.low, self.high)]
        return Span(left[0], left[1], left[2], warning=self.warning)

    @property
    def words(self) -> str:
        """Duration for messages: `about 80 s`, `about 2 to 4 min`, `about 50 s to 2 min`."""
        low, high = duration(self.low), duration(self.high)
        if low == high:
            return f"about {high}"
        number, unit = low.split(" ")
        return f"about {number if high.endswith(f' {unit}') else low} to {high}"

    @classmethod
    def fixed(cls, seconds: float) -> Span:
        """Return a known duration, without spread."""
        return cls(seconds, seconds, seconds)

    @classmethod
    def around(cls, seconds: float, low: float, high: float, warning: str = "") -> Span:
        """Return a duration with at least the minimum spread of an estimate."""
        return cls(seconds, min(low, seconds / _LEAST_SPREAD), max(high, seconds * _LEAST_SPREAD), warning)


def total(spans: Iterable[Span]) -> Span:
    """Return the sum of durations."""
    return sum(spans, Span.fixed(0.0))


class Pace:
    """Durations of repeated steps, and an estimate for the remaining ones.

    The first step includes one-off costs (loading, allocation, compilation) and is ignored once there are others.
    """

    def __init__(self) -> None:
        self._first: float | None = None
        self._others: deque[float] = deque(maxlen=_WINDOW)

    def add(self, seconds: float, steps: int = 1) -> None:
        """Record the duration of some steps together."""
        if self._first is None:
            self._first = seconds / steps
        else:
            self._others.append(seconds / steps)

    def left(self, steps: float) -> Span | None:
        """Return the duration of `steps` more steps; None before a second step was recorded."""
        return spread_of(self._others).scaled(steps) if self._others else None

    def left_at_first(self, steps: float) -> Span | None:
        """Return the same as `left`, but estimate from a single step as well."""
        if self._others or self._first is None:
            return self.left(steps)
        return Span.around(self._first, 0.0, self._first).scaled(steps)


def spread_of(seconds: Sequence[float] | deque[float]) -> Span:
    """Return the median of measured durations, with their quartiles as spread."""
    ordered = sorted(seconds)
    quarter = len(ordered) // 4
    return Span.around(median(ordered), ordered[quarter], ordered[-1 - quarter])
