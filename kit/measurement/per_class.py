"""Results per class, with intervals, and the most frequent confusions, from the tally of a classifier's test examples.

Precision and recall are shares of examples and get the Wilson score interval, given the number of predictions or of
examples of the class. F1 is 2 J / (1 + J), with J the share of hits among the examples that have the class or are
predicted as it; its interval is the Wilson interval of J, transformed. Unlike the bootstrap's, these intervals have a
width if all examples of a small class are right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kit.measurement.intervals import Estimate, wilson_interval
from kit.measurement.logits import Floats


@dataclass(frozen=True)
class ClassScores:
    """Results of one class on the test examples.

    Attributes:
        label: Name of the class.
        precision: Share of the predictions of the class that are right; None without a prediction of it.
        recall: Share of the examples of the class that are predicted as it; None without an example of it.
        f1: Harmonic mean of precision and recall; None without an example and a prediction of the class.
        support: Number of examples of the class.
    """

    label: str
    precision: Estimate | None
    recall: Estimate | None
    f1: Estimate | None
    support: int


@dataclass(frozen=True)
class Confusion:
    """Number of test examples with the label `true` that were predicted as `predicted`."""

    true: str
    predicted: str
    count: int


def class_scores(parts: Mapping[str, Floats], labels: Sequence[str]) -> list[ClassScores]:
    """Return the results per class, lowest F1 first; classes without an F1 are last.

    Args:
        parts: Summands (n, K) of n examples, see `metrics.tally`.
        labels: K names of the classes.
    """
    hits, predicted, support = (parts[name].sum(axis=0).astype(int) for name in ("hits", "predicted", "support"))
    rows = [
        ClassScores(
            label,
            precision=_share(hits[index], predicted[index]),
            recall=_share(hits[index], support[index]),
            f1=_f1(hits[index], predicted[index] + support[index] - hits[index]),
            support=int(support[index]),
        )
        for index, label in enumerate(labels)
    ]
    return sorted(rows, key=lambda row: 2.0 if row.f1 is None else row.f1.value)


def confusions(parts: Mapping[str, Floats], labels: Sequence[str]) -> list[Confusion]:
    """Return the pairs of true and predicted class with an error, most frequent first; arguments as `class_scores`.

    Each example must have exactly one label.
    """
    matrix = (parts["support"].T @ parts["predicted"]).astype(int)
    pairs = [
        Confusion(labels[true], labels[predicted], int(matrix[true, predicted]))
        for true, predicted in np.argwhere(matrix)
        if true != predicted
    ]
    return sorted(pairs, key=lambda pair: -pair.count)


def _share(right: int, n: int) -> Estimate | None:
    if n == 0:
        return None
    return Estimate(right / n, *wilson_interval(int(right), int(n)))


def _f1(hits: int, union: int) -> Estimate | None:
    """Return F1 from the hits and the number of examples that have the class or are predicted as it."""
    jaccard = _share(hits, union)
    if jaccard is None:
        return None
    value, low, high = (2 * share / (1 + share) for share in (jaccard.value, jaccard.low, jaccard.high))
    return Estimate(value, low, high)
