"""Logistic regression on fixed features: the probe, TF-IDF, and the start of a fine-tuned head.

Knows scikit-learn. Knows nothing of texts, tokenizers or torch.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

Features = Any  # (n, d) numpy array or scipy sparse matrix
GRID = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
DEFAULT_C = 30.0  # without validation examples; the usual choice on normalised sentence embeddings


@dataclass(frozen=True)
class Linear:
    """weights: (d, labels). bias: (labels,). C: the inverse regularisation strength it was fitted with."""

    weights: np.ndarray
    bias: np.ndarray
    C: float

    def logits(self, features: Features) -> np.ndarray:
        """(n, labels)."""
        return np.asarray(features @ self.weights + self.bias)


def fit_linear(features: Features, targets: np.ndarray, labels: int, C: float) -> Linear:  # noqa: N803
    """Fit by L-BFGS: softmax over labels for (n,) targets, one binary regression a label for (n, labels) targets.

    A label without (or with only) positive examples in `targets` gets a constant logit, so that nothing fails
    on a small budget.
    """
    if targets.ndim == 2:
        columns = [_binary(features, targets[:, k], C) for k in range(labels)]
        return Linear(np.stack([c[0] for c in columns], 1), np.array([c[1] for c in columns]), C)
    weights = np.zeros((features.shape[1], labels))
    bias = np.full(labels, -20.0)
    present = np.unique(targets)
    if len(present) == 1:
        bias[present[0]] = 0.0
        return Linear(weights, bias, C)
    model = _regression(C).fit(features, targets)
    if len(present) == 2:  # scikit-learn keeps one column for two labels: split it evenly
        rows = np.concatenate([-model.coef_, model.coef_]) / 2
        intercept = np.concatenate([-model.intercept_, model.intercept_]) / 2
    else:
        rows, intercept = model.coef_, model.intercept_
    weights[:, present] = rows.T
    bias[present] = intercept
    return Linear(weights, bias, C)


def choose_c(fit: Callable[[float], Linear], loss: Callable[[Linear], float]) -> float:
    """The C of the grid whose fit has the lowest loss.

    fit: fits on the training examples. loss: of a fit, on the validation examples.
    """
    losses: list[float] = []
    for candidate in GRID:
        losses.append(loss(fit(candidate)))
        if len(losses) > 1 and losses[-1] > losses[-2]:  # the loss is unimodal in C: past its lowest point, stop
            break
    return GRID[int(np.argmin(losses))]


def _binary(features: Features, targets: np.ndarray, C: float) -> tuple[np.ndarray, float]:  # noqa: N803
    positives = int(targets.sum())
    if positives in (0, len(targets)):
        return np.zeros(features.shape[1]), 5.0 if positives else -5.0
    model = _regression(C).fit(features, targets.astype(int))
    return model.coef_[0], float(model.intercept_[0])


def _regression(C: float) -> _Quiet:  # noqa: N803
    return _Quiet(C=C, max_iter=500)


class _Quiet(LogisticRegression):  # type: ignore[misc]
    """Stopping at the iteration limit is as good a fit as any here: not worth a warning."""

    def fit(self, features: Features, targets: np.ndarray) -> _Quiet:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            super().fit(features, targets)
        return self
