"""Evidence: how many more seeds or test examples show on which side of a value a mean lies."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.special import stdtrit

from kit.analysis.points import Point, sample_part, seed_freedom, seed_loadings

_MOST_SEEDS, _MOST_TESTS = 50, 20  # seeds, and multiple of the test examples, above which nobody measures more
_ENDLESS = 1e9  # from this many on, a number of seeds or test examples says nothing
_Z = 1.959964


@dataclass(frozen=True)
class _Widths:
    """Half width of an interval by its two sources, which add up in squares.

    Attributes:
        seeds: Number of seeds.
        examples: Number of test examples.
        deviation: Standard deviation over seeds.
        sample: Part of the half width that the test examples cause.
        power: The sample part falls with the number of test examples to the power of 1 / `power`.
    """

    seeds: int
    examples: int
    deviation: float
    sample: float
    power: int

    @classmethod
    def of(cls, point: Point) -> _Widths:
        seeds, sample, power = len(point.runs), _Z * float(sample_part(point.runs).std()), 2
        if sample == 0:  # without an error, the part that errors may still have falls with the number of examples
            sample, power = point.estimate.high - point.estimate.low, 1
        deviation = math.hypot(*seed_loadings(point.runs).values()) * math.sqrt(seeds)
        return cls(seeds, len(point.runs[0].correct), deviation, sample, power)

    def of_seeds(self, seeds: int) -> float:
        """Return the part that this number of seeds causes, by Student's t."""
        return float(stdtrit(seed_freedom(seeds), 0.975)) * self.deviation / math.sqrt(seeds)

    def seeds_for(self, room: float) -> int | None:
        """Return the least number of seeds whose part fits into `room`; None above the most that are suggested."""
        return next((n for n in range(self.seeds + 1, _MOST_SEEDS + 1) if self.of_seeds(n) <= room), None)

    def tests_for(self, room: float) -> float:
        """Return the number of test examples whose part fits into `room`."""
        return self.examples * (self.sample / room) ** self.power if room > 0 else math.inf


def more_evidence(point: Point, goal: float) -> str | None:
    """Return what makes the point's interval end at the goal: more seeds, more test examples, or both.

    None if the numbers are larger than anybody measures; see `endless_evidence`.
    """
    at = f"at {point.budget:,} labels"
    if len(point.runs) == 1:
        return f"4 more seeds {at}: one seed does not show how much seeds differ"
    widths, gap = _Widths.of(point), abs(point.estimate.value - goal)
    count, examples, now = widths.seeds, widths.examples, widths.of_seeds(len(point.runs))
    alone = widths.seeds_for(math.sqrt(gap**2 - widths.sample**2)) if gap > widths.sample else None
    tests = widths.tests_for(math.sqrt(gap**2 - now**2)) if gap > now else math.inf
    if alone is not None and (now > widths.sample or tests > _MOST_TESTS * examples):
        return f"about {alone - count} more seeds {at}: seeds differ most"
    if tests <= _MOST_TESTS * examples:
        return f"about {max(1, round(tests - examples)):,} more test examples: the test set is what limits certainty"
    both, tests = widths.seeds_for(gap / math.sqrt(2)), widths.tests_for(gap / math.sqrt(2))
    if both is not None and tests <= _MOST_TESTS * examples:
        return f"about {both - count} more seeds {at} and {max(1, round(tests - examples)):,} more test examples"
    return None


def endless_evidence(point: Point, goal: float) -> str:
    """Return how many more seeds and test examples it takes where they are more than anybody measures."""
    widths, room = _Widths.of(point), abs(point.estimate.value - goal) / math.sqrt(2)
    seeds = (_Z * widths.deviation / room) ** 2 if room > 0 else math.inf
    tests = widths.tests_for(room)
    if max(seeds, tests) > _ENDLESS:
        return "no number of seeds or test examples would tell"
    more = [(max(0, round(seeds - widths.seeds)), "seeds"), (max(0, round(tests - widths.examples)), "test examples")]
    return f"about {' and '.join(f'{number:,} more {name}' for number, name in more if number)} would be needed"
