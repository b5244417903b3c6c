"""Scores of probabilities: log loss, Brier score and calibration errors.

Log loss is in nats. The Brier score is the squared distance between probabilities and the true label (Brier 1950,
Monthly Weather Review 78). Expected calibration error compares the confidence in the top label with its accuracy in 15
bins, of equal width (`ece`, Guo et al. 2017, arXiv:1706.04599) or with equal numbers of predictions (`adaptive_ece`,
Nguyen & O'Connor 2015, arXiv:1508.05154).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_softmax

from kit.measurement.logits import Floats, Ints, check

ECE_BINS = 15


def log_loss(logits: ArrayLike, targets: ArrayLike) -> float:
    """Return the mean negative log likelihood of the true class in nats, from (n, K) logits and (n,) indices."""
    values, truth = check(logits, targets, multi_label=False)
    return float(-log_softmax(values, axis=1)[np.arange(len(truth)), truth].mean())


def binary_log_loss(logits: ArrayLike, targets: ArrayLike) -> float:
    """Return the mean negative log likelihood in nats over all (n, K) labels of a multi-label task."""
    values, truth = check(logits, targets, multi_label=True)
    return float((np.logaddexp(0, values) - values * truth).mean())


def brier_score(probabilities: ArrayLike, targets: ArrayLike) -> float:
    """Return the mean squared distance, 0 to 2, of (n, K) probabilities from (n,) true classes."""
    values, truth = check(probabilities, targets, multi_label=False)
    return float(((values - np.eye(values.shape[1])[truth]) ** 2).sum(axis=1).mean())


def binary_brier_score(probabilities: ArrayLike, targets: ArrayLike) -> float:
    """Return the mean squared distance, 0 to 1, of (n, K) probabilities from (n, K) targets."""
    values, truth = check(probabilities, targets, multi_label=True)
    return float(((values - truth) ** 2).mean())


def expected_calibration_error(
    probabilities: ArrayLike, targets: ArrayLike, bins: int = ECE_BINS, *, adaptive: bool = False
) -> float:
    """Return the mean distance, 0 to 1, of confidence from accuracy in bins.

    Args:
        probabilities: (n, K) probabilities.
        targets: (n,) class indices.
        bins: Number of bins.
        adaptive: Bins contain equal numbers of predictions instead of having equal widths.

    Raises:
        ValueError: If the arrays do not match.
    """
    values, truth = check(probabilities, targets, multi_label=False)
    return _calibration(values.max(axis=1), values.argmax(axis=1) == truth, bins, adaptive=adaptive)


def binary_calibration_error(
    probabilities: ArrayLike, targets: ArrayLike, bins: int = ECE_BINS, *, adaptive: bool = False
) -> float:
    """Return the calibration error over all (n, K) predictions of a multi-label task, see the single-label form."""
    values, truth = check(probabilities, targets, multi_label=True)
    confidence = np.maximum(values, 1 - values)
    return _calibration(confidence.ravel(), ((values > 0.5) == truth).ravel(), bins, adaptive=adaptive)


def _calibration(confidence: Floats, right: NDArray[np.bool_], bins: int, *, adaptive: bool) -> float:
    indices = bin_of_equal_size(confidence, bins) if adaptive else bin_of_equal_width(confidence, bins)
    gaps = np.bincount(indices, weights=right - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(right))


def bin_of_equal_width(confidence: Floats, bins: int) -> Ints:
    """Return the index of the bin ((m - 1) / bins, m / bins] that contains each confidence."""
    return np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)


def bin_of_equal_size(confidence: Floats, bins: int) -> Ints:
    """Return the index of each confidence's bin of equal size; equal confidences share a bin."""
    edges = np.quantile(confidence, np.arange(1, bins) / bins)
    return np.asarray(np.searchsorted(edges, confidence, side="right"), np.int64)
