"""Balance of classes in labelled examples."""

from __future__ import annotations

from collections.abc import Sequence

# Unbalanced: the largest class has this many times the examples of the smallest, or this share of all examples.
_UNBALANCED_RATIO, _UNBALANCED_SHARE = 10, 0.7


def is_unbalanced(counts: Sequence[int]) -> bool:
    """Return whether class sizes are so uneven that accuracy hides the small classes. counts: examples per class."""
    present = [count for count in counts if count]
    if len(present) < 2:
        return False
    return max(present) >= _UNBALANCED_RATIO * min(present) or max(present) >= _UNBALANCED_SHARE * sum(present)
