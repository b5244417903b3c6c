"""Metrics of classification, from logits and true class indices.

Every score is a function of sums over examples: `tally` returns the summands and `scores` is the function, so that the
scores of all examples and of a thousand resamples share their code.

Definitions: macro averages leave out classes that neither occur nor are predicted, and count an undefined precision or
recall as 0, as scikit-learn does; MCC is the multi-class form (Gorodkin 2004, doi:10.1016/j.compbiolchem.2004.09.006),
0 where undefined. Scores of probabilities are in `kit.measurement.probabilities`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_softmax

from kit.measurement.logits import Floats, Ints, check, multi_label_predictions, sigmoid
from kit.measurement.probabilities import ECE_BINS, bin_of_equal_size, bin_of_equal_width


def confusion_matrix(targets: ArrayLike, predictions: ArrayLike, classes: int) -> Ints:
    """Return (K, K) counts with true classes in rows and predicted classes in columns.

    Args:
        targets: (n,) true class indices below `classes`.
        predictions: (n,) predicted class indices below `classes`.
        classes: Number of classes.

    Raises:
        ValueError: If targets and predictions do not match or are out of range.
    """
    truth, guess = np.asarray(targets, np.int64), np.asarray(predictions, np.int64)
    if truth.size == 0:
        raise ValueError("targets are empty")
    if truth.shape != guess.shape or truth.ndim != 1:
        raise ValueError(f"targets and predictions differ in shape: {truth.shape} and {guess.shape}")
    for name, values in (("targets", truth), ("predictions", guess)):
        if values.min() < 0 or values.max() >= classes:
            raise ValueError(f"{name} must be 0 to {classes - 1}, got {values.min()} to {values.max()}")
    return np.bincount(truth * classes + guess, minlength=classes**2).reshape(classes, classes)


def per_class(confusion: ArrayLike) -> dict[str, NDArray[np.generic]]:
    """Return precision, recall, f1 (0 where undefined) and support per class, each (K,), from (K, K) counts."""
    counts = np.asarray(confusion)
    support = counts.sum(axis=1)
    return {**_by_class(counts.diagonal(), counts.sum(axis=0), support), "support": support}


def multi_label_per_class(logits: ArrayLike, targets: ArrayLike) -> dict[str, NDArray[np.generic]]:
    """Return the scores of `per_class` per label, from (n, K) logits (or predictions of 0 and 1) and (n, K) targets."""
    counts = _label_counts(logits, targets)
    return {**_by_class(*counts), "support": counts[2]}


def accuracy(confusion: ArrayLike) -> float:
    """Return the share of examples on the diagonal of (K, K) counts."""
    counts = np.asarray(confusion)
    return float(counts.trace() / counts.sum())


def macro(confusion: ArrayLike) -> dict[str, float]:
    """Return macro_precision, macro_recall and macro_f1 from (K, K) counts."""
    counts = np.asarray(confusion)
    averages = _macro(counts.diagonal(), counts.sum(axis=0), counts.sum(axis=1))
    return {name: float(value) for name, value in averages.items()}


def matthews(confusion: ArrayLike) -> float:
    """Return the Matthews correlation coefficient from (K, K) counts: 1 is perfect, 0 is chance."""
    counts = np.asarray(confusion)
    return float(_matthews(counts.diagonal(), counts.sum(axis=0), counts.sum(axis=1)))


def mean_absolute_error_of_index(confusion: ArrayLike) -> float:
    """Return the mean distance between the true and the predicted index of ordered classes, from (K, K) counts."""
    counts = np.asarray(confusion)
    index = np.arange(len(counts))
    return float((counts * np.abs(index[:, None] - index)).sum() / counts.sum())


def exact_match(logits: ArrayLike, targets: ArrayLike) -> float:
    """Return the share of rows in which every label is right; arguments as for `multi_label_per_class`."""
    values, truth = check(logits, targets, multi_label=True)
    return float((multi_label_predictions(values) == truth).all(axis=1).mean())


def label_averages(logits: ArrayLike, targets: ArrayLike) -> dict[str, float]:
    """Return micro_f1, macro_precision, macro_recall and macro_f1; arguments as for `multi_label_per_class`."""
    counts = _label_counts(logits, targets)
    averages = {"micro_f1": _micro_f1(*counts), **_macro(*counts)}
    return {name: float(value) for name, value in averages.items()}


def classification_scores(logits: ArrayLike, targets: ArrayLike, ordered: bool = False) -> dict[str, float]:
    """Return every score of a single-label task.

    These are accuracy, macro_*, mcc, those of probabilities, and mae if it applies.

    Args:
        logits: (n, K) logits.
        targets: (n,) class indices.
        ordered: Labels have an order; with more than two labels, mae is the mean distance of their indices.

    Raises:
        ValueError: See `check`.
    """
    return _overall(tally(logits, targets, ordered=ordered))


def multi_label_scores(logits: ArrayLike, targets: ArrayLike) -> dict[str, float]:
    """Return every score of a multi-label task.

    These are exact_match, micro_f1, macro_*, and those of probabilities.

    Args:
        logits: (n, K) logits.
        targets: (n, K) of 0 and 1.

    Raises:
        ValueError: See `check`.
    """
    return _overall(tally(logits, targets, multi_label=True))


def tally(
    logits: ArrayLike, targets: ArrayLike, *, ordered: bool = False, multi_label: bool = False
) -> dict[str, Floats]:
    """Return each example's summands for `scores`: arrays (n, width) by name."""
    values, truth = check(logits, targets, multi_label)
    return _tally_multi_label(values, truth) if multi_label else _tally_single_label(values, truth, ordered)


def scores(sums: Mapping[str, Floats], n: int, whole: Mapping[str, Floats] | None = None) -> dict[str, Floats]:
    """Return scores (...) from sums (..., width) of the summands of `tally`; leading axes stay.

    Args:
        sums: Sums over n examples.
        n: Number of examples.
        whole: Sums over the test set (width,) if `sums` are of its resamples: macro averages then cover the classes of
            the test set, see `_with_all_classes`.
    """
    counts = sums["hits"], sums["predicted"], sums["support"]
    result: dict[str, Floats] = {}
    if "exact" in sums:
        result["exact_match"] = sums["exact"][..., 0] / n
        result["micro_f1"] = _micro_f1(*counts)
    else:
        result["accuracy"] = sums["hits"].sum(axis=-1) / n
    result |= _macro(*counts) if whole is None else _macro_of_resamples(sums, whole)
    if "exact" not in sums:
        result["mcc"] = _matthews(*counts)
    result["log_loss"] = sums["loss"][..., 0] / n
    result["brier"] = sums["brier"][..., 0] / n
    result["ece"] = np.abs(sums["calibration"]).sum(axis=-1) / n
    result["adaptive_ece"] = np.abs(sums["adaptive_calibration"]).sum(axis=-1) / n
    if "distance" in sums:
        result["mae"] = sums["distance"][..., 0] / n
    return result


def _overall(parts: Mapping[str, Floats]) -> dict[str, float]:
    sums = {name: part.sum(axis=0) for name, part in parts.items()}
    return {name: float(value) for name, value in scores(sums, len(parts["loss"])).items()}


def _tally_single_label(values: Floats, truth: Ints, ordered: bool) -> dict[str, Floats]:
    log_probabilities = np.asarray(log_softmax(values, axis=1))
    guess = values.argmax(axis=1)
    right = guess == truth
    confidence, gap = np.exp(log_probabilities.max(axis=1)), np.zeros((len(truth), 1))
    gap[:, 0] = right - confidence
    predicted, support = _one_hot(guess, values.shape[1]), _one_hot(truth, values.shape[1])
    parts = {
        "hits": predicted * support,
        "predicted": predicted,
        "support": support,
        "loss": -log_probabilities[np.arange(len(truth)), truth][:, None],
        "brier": ((np.exp(log_probabilities) - support) ** 2).sum(axis=1)[:, None],
        "calibration": _one_hot(bin_of_equal_width(confidence, ECE_BINS), ECE_BINS) * gap,
        "adaptive_calibration": _one_hot(bin_of_equal_size(confidence, ECE_BINS), ECE_BINS) * gap,
    }
    if ordered and values.shape[1] > 2:
        parts["distance"] = np.abs(guess - truth)[:, None].astype(np.float64)
    return parts


def _tally_multi_label(values: Floats, truth: Ints) -> dict[str, Floats]:
    guess = multi_label_predictions(values)
    confidence = sigmoid(np.abs(values))
    right = guess == truth
    rows = np.arange(len(values))[:, None] * ECE_BINS

    def gaps(bins: Ints) -> Floats:
        sums = np.bincount((rows + bins).ravel(), (right - confidence).ravel(), len(values) * ECE_BINS)
        return np.asarray(sums.reshape(len(values), ECE_BINS) / values.shape[1])

    return {
        "hits": (guess * truth).astype(np.float64),
        "predicted": guess.astype(np.float64),
        "support": truth.astype(np.float64),
        "exact": right.all(axis=1)[:, None].astype(np.float64),
        "loss": (np.logaddexp(0, values) - values * truth).mean(axis=1)[:, None],
        "brier": ((sigmoid(values) - truth) ** 2).mean(axis=1)[:, None],
        "calibration": gaps(bin_of_equal_width(confidence, ECE_BINS)),
        "adaptive_calibration": gaps(bin_of_equal_size(confidence, ECE_BINS)),
    }


def _label_counts(logits: ArrayLike, targets: ArrayLike) -> tuple[Ints, Ints, Ints]:
    values, truth = check(logits, targets, multi_label=True)
    guess = multi_label_predictions(values)
    return (guess * truth).sum(axis=0), guess.sum(axis=0), truth.sum(axis=0)


def _micro_f1(hits: NDArray[Any], predicted: NDArray[Any], support: NDArray[Any]) -> Floats:
    return _ratio(2 * hits.sum(axis=-1), predicted.sum(axis=-1) + support.sum(axis=-1))


def _by_class(hits: NDArray[Any], predicted: NDArray[Any], support: NDArray[Any]) -> dict[str, Floats]:
    return {
        "precision": _ratio(hits, predicted),
        "recall": _ratio(hits, support),
        "f1": _ratio(2 * hits, predicted + support),
    }


def _macro_of_resamples(sums: Mapping[str, Floats], whole: Mapping[str, Floats]) -> dict[str, Floats]:
    present = np.asarray((whole["predicted"] + whole["support"] > 0).sum())
    return _macro(*_with_all_classes(sums, whole), present)


def _with_all_classes(sums: Mapping[str, Floats], whole: Mapping[str, Floats]) -> tuple[Floats, Floats, Floats]:
    """Return hits, predictions and support of resamples, completed by the classes that a resample lacks.

    A resample without the two examples of a rare class contains no information on this class. It gets the class's
    examples of the test set, which is their expected number; leaving the class out would score an easier task.
    """
    absent = (sums["support"] == 0) & (whole["support"] > 0)
    hits = np.where(absent, whole["hits"], sums["hits"])
    predicted = sums["predicted"] + np.where(absent, whole["hits"], 0)
    return hits, predicted, np.where(absent, whole["support"], sums["support"])


def _macro(
    hits: NDArray[Any], predicted: NDArray[Any], support: NDArray[Any], present: NDArray[Any] | None = None
) -> dict[str, Floats]:
    """Return averages over `present` classes; by default, classes that occur or are predicted."""
    if present is None:
        present = (predicted + support > 0).sum(axis=-1)
    return {
        f"macro_{name}": _ratio(values.sum(axis=-1), present)
        for name, values in _by_class(hits, predicted, support).items()
    }


def _matthews(hits: NDArray[Any], predicted: NDArray[Any], support: NDArray[Any]) -> Floats:
    n = support.sum(axis=-1).astype(np.float64)
    right = hits.sum(axis=-1).astype(np.float64)
    guess, truth = predicted.astype(np.float64), support.astype(np.float64)
    spread = (n**2 - (guess**2).sum(axis=-1)) * (n**2 - (truth**2).sum(axis=-1))
    return _ratio(right * n - (guess * truth).sum(axis=-1), np.sqrt(spread))


def _one_hot(indices: Ints, width: int) -> Floats:
    return np.asarray(indices[:, None] == np.arange(width), np.float64)


def _ratio(above: ArrayLike, below: ArrayLike) -> Floats:
    numerator, denominator = np.broadcast_arrays(np.asarray(above, np.float64), np.asarray(below, np.float64))
    return np.where(denominator > 0, numerator / np.where(denominator > 0, denominator, 1), 0.0)
