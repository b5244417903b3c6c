"""Health: which seeds failed to train, and whether the others were trained enough.

Fine-tuning fails on some seeds: the loss never leaves the level of always giving one label (Mosbach et al. 2021, On the
Stability of Fine-tuning BERT, arXiv:2006.04884, who call runs at or below the majority label failed). A flag is shown
beside the mean; it never takes a run out of it, as whoever trains once cannot take it out either.

Knows logits, targets and the Record's evaluations as plain data. Knows nothing of models or files.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kit.analysis.points import Point
from kit.measurement.logits import check, multi_label_predictions
from kit.measurement.metrics import confusion_matrix, matthews
from kit.runtime.quantities import percent

_WEAK = 0.1  # correlation of answers and truth below which answers do not depend on the text
_ALWAYS = 0.99  # share of test examples with the same answer that counts as always
_SAME = 0.3  # share of test examples with the same translation from which a model ignores its source
_GAP = 0.05  # of the metric: smaller differences are no failure, and no sign that others did better
_SCALED_MADS = 5.0
_LEAST_PEERS = 4
_FITNESS = {"still improving": "under-fitted", "converged": "well fitted", "overfitting": "over-fitted"}


def failed_to_train(
    value: float,
    outputs: np.ndarray,
    targets: np.ndarray,
    evaluations: Sequence[Mapping[str, Any]] | None,
    peers: Sequence[float],
) -> str:
    """Why a run looks as if it failed to train, in a few words; empty if it does not.

    value: main metric on the test examples, higher is better. outputs: logits (n, K), or (n,) translations. targets:
    (n,) class indices, (n, K) of 0 and 1, or (n,) references. evaluations: those of the Record's `training`, None for
    methods without. peers: the metric of the other seeds of the same method and budget, this run left out.
    Raises ValueError if outputs and targets do not fit together.
    """
    if outputs.dtype.kind == "O":
        said = _largest_share(np.asarray(outputs, np.str_))
        repeated = f"translates {percent(said)} of the test examples alike" if said > _SAME and len(outputs) > 1 else ""
        return repeated or _far_below(value, peers)
    answers, truth, correlation = _answers(outputs, targets)
    right = float((answers == truth).mean())
    most_frequent = _largest_share(truth)
    # One standard error: a share that is above by luck is not above.
    chance = most_frequent + math.sqrt(most_frequent * (1 - most_frequent) / len(truth))
    if most_frequent < 1 and right <= chance and correlation < _WEAK:  # one label alone cannot tell
        return _at_chance(value, right, most_frequent, evaluations, peers)
    one_answer = _largest_share(answers)
    if one_answer >= _ALWAYS and most_frequent < _ALWAYS - _GAP:
        return f"gives {percent(one_answer, 1)} of the test examples the same answer"
    return _far_below(value, peers)


def fitness(verdict: str) -> str:
    """Return `under-fitted`, `well fitted` or `over-fitted` for a verdict of `training.diagnosis`, else `unknown`."""
    return _FITNESS.get(verdict, "unknown")


def mean_without_flagged(point: Point) -> float | None:
    """The mean over runs that are not flagged; None if none is flagged, or all are."""
    values = [run.value for run in point.runs if not run.flag]
    return sum(values) / len(values) if 0 < len(values) < len(point.runs) else None


def _at_chance(
    value: float,
    right: float,
    most_frequent: float,
    evaluations: Sequence[Mapping[str, Any]] | None,
    peers: Sequence[float],
) -> str:
    """A failed run learns nothing of its training examples either, where other seeds, if there are any, do learn.

    The metrics on training and test examples are compared with each other, as what a constant answer scores depends on
    the metric.
    """
    reached = f"{percent(right, 1)} right, the most frequent label has {percent(most_frequent, 1)}"
    alone = not peers or float(np.median(peers)) > value + _GAP
    if evaluations and alone and evaluations[-1]["train_metric"] <= value + 2 * _GAP:
        return f"failed to train: no better than the most frequent label, on training examples neither ({reached})"
    return f"no better than the most frequent label ({reached})"


def _far_below(value: float, peers: Sequence[float]) -> str:
    if len(peers) < _LEAST_PEERS:
        return ""
    median = float(np.median(peers))
    # 1.4826: makes the median absolute deviation of normal numbers their standard deviation.
    scaled_mad = 1.4826 * float(np.median(np.abs(np.asarray(peers) - median)))
    if median - value > max(_GAP, _SCALED_MADS * scaled_mad):
        return f"{100 * (median - value):.1f} points below the median of the other seeds"
    return ""


def _answers(logits: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """(n,) answers and true answers as comparable numbers, and their correlation (the mean over labels, if several)."""
    multi_label = np.ndim(targets) == 2
    values, truth = check(logits, targets, multi_label)
    if not multi_label:
        answers = values.argmax(axis=1)
        return answers, truth, matthews(confusion_matrix(truth, answers, values.shape[1]))
    held = multi_label_predictions(values).astype(np.int64)
    by_label = [matthews(confusion_matrix(truth[:, k], held[:, k], 2)) for k in range(truth.shape[1])]
    # Every set of labels gets a number of its own.
    numbers = np.unique(np.concatenate([held, truth]), axis=0, return_inverse=True)[1].reshape(2, len(truth))
    return numbers[0], numbers[1], float(np.mean(by_label))


def _largest_share(labels: np.ndarray) -> float:
    return float(np.unique(labels, return_counts=True)[1].max() / len(labels))
