"""Metrics: how good predictions are, from logits and true class indices.

Knows numpy arrays. Knows nothing of models, label names, files or of where the predictions come from.

Every score is a function of sums over examples (`tally` gives what is summed, `scores` the function), so
that a score of all examples and a score of a thousand resamples of them are the same code.

Definitions: macro averages leave out classes that neither occur nor are predicted, and count an undefined
precision or recall as 0, as scikit-learn does; MCC is the multi-class form (Gorodkin 2004, doi:10.1016/
j.compbiolchem.2004.09.006), 0 where undefined; log loss is in nats; expected calibration error compares the
confidence in the top label with its accuracy in 15 bins of equal width (Guo et al. 2017, arXiv:1706.04599).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, log_softmax
from scipy.special import softmax as _softmax

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
ECE_BINS = 15


def softmax(logits: ArrayLike) -> Floats:
    """Class probabilities: (..., K) logits to (..., K) probabilities that sum to 1."""
    return np.asarray(_softmax(np.asarray(logits, np.float64), axis=-1), np.float64)


def sigmoid(logits: ArrayLike) -> Floats:
    """Independent probabilities, one for each logit."""
    return np.asarray(expit(np.asarray(logits, np.float64)), np.float64)


def multi_label_predictions(logits: ArrayLike) -> NDArray[np.bool_]:
    """Which labels are predicted: those with a probability above 0.5."""
    return np.asarray(logits) > 0


def decisions(logits: ArrayLike, multi_label: bool) -> NDArray[Any]:
    """What rows of logits (n, labels) decide: (n, 1) indices of labels, or (n, labels) whether each holds."""
    values = np.asarray(logits)
    return multi_label_predictions(values) if multi_label else values.argmax(1)[:, None]


def check(logits: ArrayLike, targets: ArrayLike, multi_label: bool) -> tuple[Floats, Ints]:
    """Logits as float64 (n, K) and targets as int64: (n,) class indices, or (n, K) of 0 and 1.

    Raises ValueError that names what is empty, not finite, of the wrong shape or out of range.
    """
    values, truth = np.asarray(logits, np.float64), np.asarray(targets)
    if values.ndim != 2:
        raise ValueError(f"logits must have the shape (examples, classes), got {values.shape}")
    if values.size == 0:
        raise ValueError(f"logits are empty: shape {values.shape}")
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
        raise ValueError(f"logits are NaN or infinite, first in row {row}")
    expected = values.shape if multi_label else values.shape[:1]
    if truth.shape != expected:
        raise ValueError(f"targets must have the shape {expected}, got {truth.shape}")
    limit = 2 if multi_label else values.shape[1]
    if truth.min() < 0 or truth.max() >= limit:
        raise ValueError(f"targets must be 0 to {limit - 1}, got {truth.min()} to {truth.max()}")
    return values, truth.astype(np.int64)


def confusion_matrix(targets: ArrayLike, predictions: ArrayLike, classes: int) -> Ints:
    """(K, K) counts: row is the true class, column the predicted one.

    targets, predictions: (n,) class indices below `classes`. Raises ValueError if they do not fit.
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
    """precision, recall, f1 (0 where undefined) and support of every class, each (K,), from (K, K) counts."""
    counts = np.asarray(confusion)
    support = counts.sum(axis=1)
    return {**_by_class(counts.diagonal(), counts.sum(axis=0), support), "support": support}


def multi_label_per_class(logits: ArrayLike, targets: ArrayLike) -> dict[str, NDArray[np.generic]]:
    """The same for multi-label: (n, K) logits (or predictions of 0 and 1) and (n, K) targets of 0 and 1."""
    counts = _label_counts(logits, targets)
    return {**_by_class(*counts), "support": counts[2]}


def accuracy(confusion: ArrayLike) -> float:
    """Share of examples on the diagonal of (K, K) counts."""
    counts = np.asarray(confusion)
    return float(counts.trace() / counts.sum())


def macro(confusion: ArrayLike) -> dict[str, float]:
    """macro_precision, macro_recall and macro_f1 from (K, K) counts."""
    counts = np.asarray(confusion)
    averages = _macro(counts.diagonal(), counts.sum(axis=0), counts.sum(axis=1))
    return {name: float(value) for name, value in averages.items()}


def matthews(confusion: ArrayLike) -> float:
    """Matthews correlation coefficient from (K, K) counts: 1 perfect, 0 as good as chance."""
    counts = np.asarray(confusion)
    return float(_matthews(counts.diagonal(), counts.sum(axis=0), counts.sum(axis=1)))


def log_loss(logits: ArrayLike, targets: ArrayLike) -> float:
    """Mean negative log likelihood of the true class in nats, from (n, K) logits and (n,) class indices."""
    values, truth = check(logits, targets, multi_label=False)
    return float(-log_softmax(values, axis=1)[np.arange(len(truth)), truth].mean())


def binary_log_loss(logits: ArrayLike, targets: ArrayLike) -> float:
    """Mean negative log likelihood in nats over all (n, K) decisions of a multi-label task."""
    values, truth = check(logits, targets, multi_label=True)
    return float((np.logaddexp(0, values) - values * truth).mean())


def expected_calibration_error(probabilities: ArrayLike, targets: ArrayLike, bins: int = ECE_BINS) -> float:
    """How far confidence in the top label is from its accuracy, 0 to 1, in bins of equal width.

    probabilities: (n, K); targets: (n,) class indices. Raises ValueError if they do not fit together.
    """
    values, truth = check(probabilities, targets, multi_label=False)
    confidence = values.max(axis=1)
    return _calibration(confidence, values.argmax(axis=1) == truth, bins)


def binary_calibration_error(probabilities: ArrayLike, targets: ArrayLike, bins: int = ECE_BINS) -> float:
    """The same over all (n, K) decisions of a multi-label task, each with the confidence that it is right."""
    values, truth = check(probabilities, targets, multi_label=True)
    confidence = np.maximum(values, 1 - values)
    return _calibration(confidence.ravel(), ((values > 0.5) == truth).ravel(), bins)


def mean_absolute_error_of_index(confusion: ArrayLike) -> float:
    """Mean distance between the true and the predicted index of ordered classes, from (K, K) counts."""
    counts = np.asarray(confusion)
    index = np.arange(len(counts))
    return float((counts * np.abs(index[:, None] - index)).sum() / counts.sum())


def exact_match(logits: ArrayLike, targets: ArrayLike) -> float:
    """Share of rows in which every label is right; arguments as for `multi_label_per_class`."""
    values, truth = check(logits, targets, multi_label=True)
    return float((multi_label_predictions(values) == truth).all(axis=1).mean())


def label_averages(logits: ArrayLike, targets: ArrayLike) -> dict[str, float]:
    """micro_f1, macro_precision, macro_recall, macro_f1; arguments as for `multi_label_per_class`."""
    counts = _label_counts(logits, targets)
    averages = {"micro_f1": _micro_f1(*counts), **_macro(*counts)}
    return {name: float(value) for name, value in averages.items()}


def classification_scores(logits: ArrayLike, targets: ArrayLike, ordered: bool = False) -> dict[str, float]:
    """Every score of a single-label task: accuracy, macro_*, mcc, log_loss, ece, and mae where it means more.

    ordered: the labels have an order; with more than two of them, mae is the mean distance of their indices.
    logits: (n, K); targets: (n,) class indices. Raises ValueError, see `check`.
    """
    return _overall(tally(logits, targets, ordered=ordered))


def multi_label_scores(logits: ArrayLike, targets: ArrayLike) -> dict[str, float]:
    """Every score of a multi-label task: exact_match, micro_f1, macro_*, log_loss, ece.

    logits: (n, K); targets: (n, K) of 0 and 1. Raises ValueError, see `check`.
    """
    return _overall(tally(logits, targets, multi_label=True))


def tally(
    logits: ArrayLike, targets: ArrayLike, *, ordered: bool = False, multi_label: bool = False
) -> dict[str, Floats]:
    """What every example adds to the sums that `scores` takes: arrays (n, width)."""
    values, truth = check(logits, targets, multi_label)
    return _tally_multi_label(values, truth) if multi_label else _tally_single_label(values, truth, ordered)


def scores(sums: Mapping[str, Floats], n: int, whole: Mapping[str, Floats] | None = None) -> dict[str, Floats]:
    """Return scores (...) from sums (..., width) of what `tally` returns; leading axes stay.

    Args:
        sums: Sums over n examples.
        n: Number of examples.
        whole: Sums over the test set (width,) if `sums` are of its resamples: macro averages then have the classes of
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
    result["ece"] = np.abs(sums["calibration"]).sum(axis=-1) / n
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
    confidence = np.exp(log_probabilities.max(axis=1))
    predicted, support = _one_hot(guess, values.shape[1]), _one_hot(truth, values.shape[1])
    parts = {
        "hits": predicted * support,
        "predicted": predicted,
        "support": support,
        "loss": -log_probabilities[np.arange(len(truth)), truth][:, None],
        "calibration": _one_hot(_bin(confidence, ECE_BINS), ECE_BINS) * (right - confidence)[:, None],
    }
    if ordered and values.shape[1] > 2:
        parts["distance"] = np.abs(guess - truth)[:, None].astype(np.float64)
    return parts


def _tally_multi_label(values: Floats, truth: Ints) -> dict[str, Floats]:
    guess = multi_label_predictions(values)
    confidence = sigmoid(np.abs(values))
    right = guess == truth
    rows = np.arange(len(values))[:, None] * ECE_BINS
    gaps = np.bincount(
        (rows + _bin(confidence, ECE_BINS)).ravel(), (right - confidence).ravel(), len(values) * ECE_BINS
    )
    return {
        "hits": (guess * truth).astype(np.float64),
        "predicted": guess.astype(np.float64),
        "support": truth.astype(np.float64),
        "exact": right.all(axis=1)[:, None].astype(np.float64),
        "loss": (np.logaddexp(0, values) - values * truth).mean(axis=1)[:, None],
        "calibration": gaps.reshape(len(values), ECE_BINS) / values.shape[1],
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
    """Return hits, predictions and support of resamples, with the classes that a resample has no example of.

    A resample without the two examples of a rare class says nothing of this class. It takes the class's examples of
    the test set, which is the number that it has on average; leaving the class out would score an easier task.
    """
    absent = (sums["support"] == 0) & (whole["support"] > 0)
    hits = np.where(absent, whole["hits"], sums["hits"])
    predicted = sums["predicted"] + np.where(absent, whole["hits"], 0)
    return hits, predicted, np.where(absent, whole["support"], sums["support"])


def _macro(
    hits: NDArray[Any], predicted: NDArray[Any], support: NDArray[Any], present: NDArray[Any] | None = None
) -> dict[str, Floats]:
    """Return averages over `present` classes: by default those that occur or are predicted."""
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


def _calibration(confidence: Floats, right: NDArray[np.bool_], bins: int) -> float:
    gaps = np.bincount(_bin(confidence, bins), weights=right - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(right))


def _bin(confidence: Floats, bins: int) -> Ints:
    """Index of the bin ((m - 1) / bins, m / bins] that holds each confidence."""
    return np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)


def _one_hot(indices: Ints, width: int) -> Floats:
    return np.asarray(indices[:, None] == np.arange(width), np.float64)


def _ratio(above: ArrayLike, below: ArrayLike) -> Floats:
    numerator, denominator = np.broadcast_arrays(np.asarray(above, np.float64), np.asarray(below, np.float64))
    return np.where(denominator > 0, numerator / np.where(denominator > 0, denominator, 1), 0.0)
