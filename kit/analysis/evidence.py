"""Evidence: how many more seeds or test examples would tell on which side of a value a mean lies.

Knows points. Knows nothing of what is decided by it.
"""

from __future__ import annotations

import math

from scipy.special import stdtrit

from kit.analysis.points import Point, sample_part, seed_freedom, seed_loadings

_MOST_SEEDS, _MOST_TESTS = 50, 20  # seeds, and times the test examples, beyond which more are not what is missing
_Z = 1.959964


def more_evidence(point: Point, goal: float) -> str | None:
    """What makes the point's interval end at the goal: more seeds, more test examples, or both.

    The two parts of its half width add up in squares; that of n seeds falls with the root of n, and with the quantile
    of Student's t. None where no number of either is enough.
    """
    count, examples, at = len(point.runs), len(point.runs[0].correct), f"at {point.budget:,} labels"
    if count == 1:
        return f"4 more seeds {at}: one seed does not say how the others do"
    gap = abs(point.estimate.value - goal)
    sample, power = _Z * float(sample_part(point.runs).std()), 2
    if sample == 0:  # not one error: what may be left of them falls with the number of examples, not with its root
        sample, power = point.estimate.high - point.estimate.low, 1
    deviation = math.hypot(*seed_loadings(point.runs).values()) * math.sqrt(count)

    def width(seeds: int) -> float:
        return float(stdtrit(seed_freedom(seeds), 0.975)) * deviation / math.sqrt(seeds)

    def seeds_for(room: float) -> int | None:
        return next((n for n in range(count + 1, _MOST_SEEDS + 1) if width(n) <= room), None)

    def tests_for(room: float) -> float:
        return examples * (sample / room) ** power if room > 0 else math.inf

    alone = seeds_for(math.sqrt(gap**2 - sample**2)) if gap > sample else None
    tests = tests_for(math.sqrt(gap**2 - width(count) ** 2)) if gap > width(count) else math.inf
    if alone is not None and (width(count) > sample or tests > _MOST_TESTS * examples):
        return f"about {alone - count} more seeds {at}: seeds differ most"
    if tests <= _MOST_TESTS * examples:
        return f"about {max(1, round(tests - examples)):,} more test examples: the test set is what limits certainty"
    both, tests = seeds_for(gap / math.sqrt(2)), tests_for(gap / math.sqrt(2))
    if both is not None and tests <= _MOST_TESTS * examples:
        return f"about {both - count} more seeds {at} and {max(1, round(tests - examples)):,} more test examples"
    return None
