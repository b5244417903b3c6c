"""Linear models on fixed features, for the probe, TF-IDF, and the initial head of fine-tuning."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Features = Any  # (n, d) numpy array or scipy sparse matrix


@dataclass(frozen=True)
class Linear:
    """A fitted linear model.

    Args:
        weights: (d, outputs).
        bias: (outputs,).
        C: Inverse regularization strength of the fit.
    """

    weights: np.ndarray
    bias: np.ndarray
    C: float

    def logits(self, features: Features) -> np.ndarray:
        """Return the outputs (n, outputs)."""
        return np.asarray(features @ self.weights + self.bias)


@dataclass(frozen=True)
class LinearFit:
    """Way to fit a linear model.

    Attributes:
        fit: Fits features (n, d) and targets with an inverse regularization strength.
        grid: Inverse regularization strengths to choose from on validation examples, in ascending order.
        default: Strength without validation examples.
        start: Strength for the initial head of fine-tuning. It is more regularized, because a head that fits the
            training examples perfectly leaves no gradient for the encoder.
    """

    fit: Callable[[Features, np.ndarray, float], Linear]
    grid: tuple[float, ...]
    default: float
    start: float

    def choose(self, features: Features, targets: np.ndarray, loss: Callable[[Linear], float]) -> float:
        """Return the strength of the grid whose fit has the lowest loss.

        Args:
            features: (n, d) features of the training examples.
            targets: Targets of the training examples.
            loss: Returns the loss of a fit on the validation examples.
        """
        losses: list[float] = []
        for candidate in self.grid:
            losses.append(loss(self.fit(features, targets, candidate)))
            if len(losses) > 1 and losses[-1] > losses[-2]:  # the loss is unimodal in C: stop after its minimum
                break
        return self.grid[int(np.argmin(losses))]


def logistic_regression(labels: int) -> LinearFit:
    """Return the fit of logistic regressions for this number of labels, see `fit_logistic`."""
    return LinearFit(
        fit=lambda features, targets, C: fit_logistic(features, targets, labels, C=C),  # noqa: N803
        grid=(1.0, 3.0, 10.0, 30.0, 100.0, 300.0),
        default=30.0,  # the usual choice on normalized sentence embeddings
        start=10.0,
    )


def ridge_regression() -> LinearFit:
    """Return the fit of a ridge regression, see `fit_ridge`."""
    return LinearFit(fit=fit_ridge, grid=(0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0), default=1.0, start=1.0)


def fit_ridge(features: Features, targets: np.ndarray, C: float) -> Linear:  # noqa: N803
    """Fit numbers (n,) by least squares with the penalty 1 / C on the squared weights."""
    from sklearn.linear_model import Ridge

    sparse = not isinstance(features, np.ndarray)
    model = Ridge(1 / C, solver="sparse_cg" if sparse else "cholesky", tol=1e-6)
    model.fit(features if sparse else features.astype(np.float64), targets)
    return Linear(model.coef_[:, None], np.array([model.intercept_]), C)


def fit_logistic(features: Features, targets: np.ndarray, labels: int, C: float) -> Linear:  # noqa: N803
    """Fit by L-BFGS: a softmax over labels for targets (n,), or one binary regression per label for (n, labels).

    A label without examples gets a constant logit, so that small budgets do not fail. The same applies to a binary
    regression with only positive examples.
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
    model = _regression(features, targets, C)
    if len(present) == 2:  # scikit-learn fits one column for two labels: split it evenly
        rows = np.concatenate([-model.coef_, model.coef_]) / 2
        intercept = np.concatenate([-model.intercept_, model.intercept_]) / 2
    else:
        rows, intercept = model.coef_, model.intercept_
    weights[:, present] = rows.T
    bias[present] = intercept
    return Linear(weights, bias, C)


def _binary(features: Features, targets: np.ndarray, C: float) -> tuple[np.ndarray, float]:  # noqa: N803
    positives = int(targets.sum())
    if positives in (0, len(targets)):
        return np.zeros(features.shape[1]), 5.0 if positives else -5.0
    model = _regression(features, targets.astype(int), C)
    return model.coef_[0], float(model.intercept_[0])


def _regression(features: Features, targets: np.ndarray, C: float) -> Any:  # noqa: N803
    """Fit scikit-learn's regression; at the limit of iterations, which it warns of, the fit is good enough."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return LogisticRegression(C=C, max_iter=500).fit(features, targets)
