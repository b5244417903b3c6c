"""The confidence above which predictions are right as often as required.

The threshold is chosen on held-out examples. The first tested threshold decides half of them; lower ones follow up to
the first that fails. Tests in a fixed order need no correction (learn then test: Angelopoulos et al. 2021,
arXiv:2110.01052). Each test bounds the share of wrong predictions above the threshold by the binomial distribution
(Clopper & Pearson 1934; for selective classification: Geifman & El-Yaniv 2017, arXiv:1705.08500).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betaincinv

LEVEL = 0.95  # certainty that the required share holds


@dataclass(frozen=True)
class HeldOut:
    """Predictions of a classifier for examples that it was not trained on.

    Attributes:
        confidences: Probability of the predicted label of each example.
        right: Whether the predicted label of each example is right.
    """

    confidences: tuple[float, ...]
    right: tuple[bool, ...]


@dataclass(frozen=True)
class Threshold:
    """Confidence from which predictions are decided.

    Attributes:
        confidence: Least confidence of a decided prediction.
        decided: Share of the held-out examples that are decided.
        right: Share of right predictions among these.
        examples: Number of held-out examples.
    """

    confidence: float
    decided: float
    right: float
    examples: int


def threshold_for(held_out: HeldOut, share: float) -> Threshold | None:
    """Return the lowest confidence above which this share of predictions is right.

    It holds with 95 % certainty.

    Args:
        held_out: Held-out predictions.
        share: Required share of right predictions among the decided ones, above 0 and below 1.

    Returns:
        The threshold; None if the examples cannot show it for any.
    """
    confidences, right = np.asarray(held_out.confidences), np.asarray(held_out.right, bool)
    order = np.argsort(-confidences, kind="stable")
    confidences, wrong = confidences[order], np.cumsum(~right[order])
    counts = np.arange(1, len(order) + 1)
    # Only at the last of equal confidences is everything above the threshold decided.
    ends = np.flatnonzero(np.append(confidences[1:] < confidences[:-1], True)) if len(order) else np.zeros(0, int)
    ends = ends[counts[ends] >= max(fewest_examples(share), len(order) // 2)]
    passed = upper_bound(wrong[ends], counts[ends]) <= 1 - share
    last = int(np.argmin(passed)) if not passed.all() else len(passed)
    if last == 0:
        return None
    end = ends[last - 1]
    count = int(counts[end])
    return Threshold(float(confidences[end]), count / len(order), right=1 - wrong[end] / count, examples=len(order))


def fewest_examples(share: float) -> int:
    """Return the least number of predictions, all right, that shows this share of right ones."""
    return int(np.ceil(np.log(1 - LEVEL) / np.log(share)))


def upper_bound(wrong: ArrayLike, counts: ArrayLike) -> np.ndarray:
    """Return the upper bound (95 %, one-sided) of the share of wrong predictions."""
    failures, number = np.asarray(wrong, np.float64), np.asarray(counts, np.float64)
    bound = betaincinv(failures + 1, np.maximum(number - failures, 1), LEVEL)
    return np.asarray(np.where(failures >= number, 1.0, bound))
