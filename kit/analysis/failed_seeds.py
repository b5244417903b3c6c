"""Flags of seeds that failed to train, and the fitness of training for the others.

Fine-tuning fails for some seeds: the loss stays at the level of a constant prediction (Mosbach et al. 2021, On the
Stability of Fine-tuning BERT, arXiv:2006.04884, who call runs at or below the majority label failed). A flag is shown
beside the mean and never removes a run from it, because a user who trains once cannot remove it either.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from kit.measurement.logits import check, multi_label_predictions
from kit.measurement.metrics import confusion_matrix, matthews
from kit.runtime.quantities import percent

_WEAK = 0.1  # correlation of predictions and truth below which predictions do not depend on the text
_ALWAYS = 0.99  # share of test examples with the same prediction that counts as constant
_SAME = 0.3  # share of test examples with the same translation above which a model ignores its source
_FLAT = 0.05  # spread of predicted numbers, relative to the targets, below which a model ignores its text
_GAP = 0.05  # of the metric: smaller differences are not a failure, and do not show that other seeds did better
_SCALED_MADS = 5.0
_LEAST_PEERS = 4
_FITNESS = {"still improving": "under-fitted", "converged": "well fitted", "overfitting": "over-fitted"}


def failed_to_train(
    value: float,
    outputs: np.ndarray,
    targets: np.ndarray,
    train_metric: float | None,
    peers: Sequence[float],
) -> str:
    """Return the symptom of a run that failed to train, in a few words; empty if it did not fail.

    Args:
        value: Main metric on the test examples, where higher is better.
        outputs: (n, K) logits, (n, 1) predicted numbers, or (n,) translations.
        targets: (n,) class indices, (n, K) of 0 and 1, (n,) numbers in floating point, or (n,) references.
        train_metric: Main metric on training examples at the end of training; None for methods without training.
        peers: Metrics of the other seeds of the same method and budget.

    Raises:
        ValueError: If outputs and targets do not match.
    """
    if outputs.dtype.kind == "O":
        share = _largest_share(np.asarray(outputs, np.str_))
        repeated = (
            f"gives {percent(share)} of the test examples the same translation"
            if share > _SAME and len(outputs) > 1
            else ""
        )
        return repeated or _far_below(value, peers)
    if targets.dtype.kind == "f" and targets.ndim == 1:
        if outputs.std() < _FLAT * targets.std():
            return "predicts nearly the same number for all test examples"
        return _far_below(value, peers)
    predictions, truth, correlation = _predictions(outputs, targets)
    right = float((predictions == truth).mean())
    most_frequent = _largest_share(truth)
    # Plus one standard error: a share that is above by chance does not count as above.
    chance = most_frequent + math.sqrt(most_frequent * (1 - most_frequent) / len(truth))
    if most_frequent < 1 and right <= chance and correlation < _WEAK:  # a single label shows nothing
        return _at_chance(value, right, most_frequent, train_metric, peers)
    constant = _largest_share(predictions)
    if constant >= _ALWAYS and most_frequent < _ALWAYS - _GAP:
        return f"predicts the same for {percent(constant, 1)} of the test examples"
    return _far_below(value, peers)


def fitness(verdict: str) -> str:
    """Return `under-fitted`, `well fitted` or `over-fitted` for a verdict of `training.diagnosis`, else `unknown`."""
    return _FITNESS.get(verdict, "unknown")


def _at_chance(
    value: float,
    right: float,
    most_frequent: float,
    train_metric: float | None,
    peers: Sequence[float],
) -> str:
    """Return the symptom of a run that is no better than the most frequent label.

    A failed run does not learn its training examples either, although other seeds, if any, do. Training and test
    metrics are compared with each other, because the score of a constant prediction depends on the metric.
    """
    reached = f"{percent(right, 1)} right, the most frequent label has {percent(most_frequent, 1)}"
    alone = not peers or float(np.median(peers)) > value + _GAP
    if train_metric is not None and alone and train_metric <= value + 2 * _GAP:
        return f"failed to train: no better than the most frequent label, also on training examples ({reached})"
    return f"no better than the most frequent label ({reached})"


def _far_below(value: float, peers: Sequence[float]) -> str:
    if len(peers) < _LEAST_PEERS:
        return ""
    median = float(np.median(peers))
    # The factor 1.4826 makes the median absolute deviation of normal numbers their standard deviation.
    scaled_mad = 1.4826 * float(np.median(np.abs(np.asarray(peers) - median)))
    if median - value > max(_GAP, _SCALED_MADS * scaled_mad):
        return f"{100 * (median - value):.1f} points below the median of the other seeds"
    return ""


def _predictions(logits: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Return (n,) predictions and targets as comparable numbers, with their correlation (mean over several labels)."""
    multi_label = np.ndim(targets) == 2
    values, truth = check(logits, targets, multi_label)
    if not multi_label:
        predictions = values.argmax(axis=1)
        return predictions, truth, matthews(confusion_matrix(truth, predictions, values.shape[1]))
    predicted = multi_label_predictions(values).astype(np.int64)
    by_label = [matthews(confusion_matrix(truth[:, k], predicted[:, k], 2)) for k in range(truth.shape[1])]
    # Number each set of labels.
    numbers = np.unique(np.concatenate([predicted, truth]), axis=0, return_inverse=True)[1].reshape(2, len(truth))
    return numbers[0], numbers[1], float(np.mean(by_label))


def _largest_share(labels: np.ndarray) -> float:
    return float(np.unique(labels, return_counts=True)[1].max() / len(labels))
