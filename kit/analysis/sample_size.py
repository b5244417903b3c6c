"""Numbers of seeds and test examples that suffice to show on which side of a value a mean lies."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.special import stdtrit

from kit.analysis.points import Z_95, Point, sample_part, seed_freedom, seed_loadings

_MOST_SEEDS, _MOST_TESTS = 50, 20  # largest number of seeds, and multiple of the test examples, to suggest
_ENDLESS = 1e9  # largest number of seeds or test examples to print


@dataclass(frozen=True)
class _Widths:
    """Half width of an interval by its two sources, which add up in squares.

    Attributes:
        seeds: Number of seeds.
        examples: Number of test examples.
        deviation: Standard deviation over seeds.
        sample: Part of the half width due to the test examples.
        power: The sample part falls with the number of test examples to the power of 1 / `power`.
    """

    seeds: int
    examples: int
    deviation: float
    sample: float
    power: int

    @classmethod
    def of(cls, point: Point) -> _Widths:
        seeds, sample, power = len(point.runs), Z_95 * float(sample_part(point.runs).std()), 2
        if sample == 0:  # without errors, the upper limit of the error rate falls with the number of examples
            sample, power = point.estimate.high - point.estimate.low, 1
        deviation = math.hypot(*seed_loadings(point.runs).values()) * math.sqrt(seeds)
        return cls(seeds, len(point.runs[0].correct), deviation, sample, power)

    def of_seeds(self, seeds: int) -> float:
        """Return the part due to this number of seeds, by Student's t."""
        return float(stdtrit(seed_freedom(seeds), 0.975)) * self.deviation / math.sqrt(seeds)

    def seeds_for(self, room: float) -> int | None:
        """Return the least number of seeds whose part fits into `room`.

        The result is None above the largest number to suggest.
        """
        return next((n for n in range(self.seeds + 1, _MOST_SEEDS + 1) if self.of_seeds(n) <= room), None)

    def tests_for(self, room: float) -> float:
        """Return the number of test examples whose part fits into `room`."""
        return self.examples * (self.sample / room) ** self.power if room > 0 else math.inf


def more_evidence(point: Point, goal: float) -> str | None:
    """Return the seeds, test examples or both that would move the end of the point's interval to the goal.

    None if the numbers are too large to suggest; see `endless_evidence`.
    """
    at = f"at {point.budget:,} labels"
    if len(point.runs) == 1:
        return f"4 more seeds {at}: one seed does not show how much seeds differ"
    widths, gap = _Widths.of(point), abs(point.estimate.value - goal)
    count, examples, seed_part = widths.seeds, widths.examples, widths.of_seeds(len(point.runs))
    seeds_alone = widths.seeds_for(math.sqrt(gap**2 - widths.sample**2)) if gap > widths.sample else None
    tests = widths.tests_for(math.sqrt(gap**2 - seed_part**2)) if gap > seed_part else math.inf
    if seeds_alone is not None and (seed_part > widths.sample or tests > _MOST_TESTS * examples):
        return f"about {seeds_alone - count} more seeds {at}: seeds differ most"
    if tests <= _MOST_TESTS * examples:
        return f"about {max(1, round(tests - examples)):,} more test examples: the test set is what limits certainty"
    both, tests = widths.seeds_for(gap / math.sqrt(2)), widths.tests_for(gap / math.sqrt(2))
    if both is not None and tests <= _MOST_TESTS * examples:
        return f"about {both - count} more seeds {at} and {max(1, round(tests - examples)):,} more test examples"
    return None


def endless_evidence(point: Point, goal: float) -> str:
    """Return the seeds and test examples needed, for numbers too large to suggest."""
    widths, room = _Widths.of(point), abs(point.estimate.value - goal) / math.sqrt(2)
    seeds = (Z_95 * widths.deviation / room) ** 2 if room > 0 else math.inf
    tests = widths.tests_for(room)
    if max(seeds, tests) > _ENDLESS:
        return "no number of seeds or test examples would be enough"
    more = [(max(0, round(seeds - widths.seeds)), "seeds"), (max(0, round(tests - widths.examples)), "test examples")]
    return f"about {' and '.join(f'{number:,} more {name}' for number, name in more if number)} would be needed"
