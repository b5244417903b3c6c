"""Probabilities and predictions from logits, and the checks of logits and targets."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from scipy.special import softmax as _softmax

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def softmax(logits: ArrayLike) -> Floats:
    """Return class probabilities for logits: (..., K) to (..., K) that sum to 1."""
    return np.asarray(_softmax(np.asarray(logits, np.float64), axis=-1), np.float64)


def sigmoid(logits: ArrayLike) -> Floats:
    """Return an independent probability for each logit."""
    return np.asarray(expit(np.asarray(logits, np.float64)), np.float64)


def multi_label_predictions(logits: ArrayLike) -> NDArray[np.bool_]:
    """Return whether each label is predicted: its probability is above 0.5."""
    return np.asarray(logits) > 0


def decisions(logits: ArrayLike, multi_label: bool) -> NDArray[Any]:
    """Return the predictions for (n, labels) logits: (n, 1) label indices, or (n, labels) booleans if multi-label."""
    values = np.asarray(logits)
    return multi_label_predictions(values) if multi_label else values.argmax(1)[:, None]


def check(logits: ArrayLike, targets: ArrayLike, multi_label: bool) -> tuple[Floats, Ints]:
    """Return logits as float64 (n, K) and targets as int64: (n,) class indices, or (n, K) of 0 and 1.

    Raises:
        ValueError: If an array is empty, not finite, of the wrong shape or out of range.
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


def largest_change(outputs: ArrayLike, expected: ArrayLike) -> float:
    """Return the largest difference of a logit; of a single number, in standard deviations of the expected numbers.

    Args:
        outputs: (n, K) outputs.
        expected: (n, K) outputs of another form of the same model.
    """
    values, others = np.asarray(outputs, np.float64), np.asarray(expected, np.float64)
    change = float(np.abs(values - others).max())
    if others.shape[1] > 1:
        return change
    return change / (float(others.std()) or float(np.abs(others).max()) or 1.0)
