"""Temperature scaling: logits are divided so that confidences match shares of right predictions.

The temperature minimizes the log loss on examples that the model was not trained on (Guo et al. 2017,
arXiv:1706.04599); with several labels per example, each label has its own. Two priors keep it in bounds if there are
few examples. Its logarithm has a normal prior around 0. One example is added whose most likely label is wrong, as in
the rule of succession (Laplace 1774): otherwise three examples that are all right would mean certainty. Both priors
were chosen on development splits (benchmarks/LOG.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar
from scipy.special import log_expit, log_softmax

from kit.measurement.logits import Floats, check, sigmoid, softmax

_PRIOR_DEVIATION = 1.0  # of the logarithm of a temperature
_BOUNDS = (-4.0, 4.0)  # of the logarithm
_LEAST_CHANCE = 1e-12  # that a prediction is wrong, where rounding leaves none


def fit_temperature(logits: ArrayLike, targets: ArrayLike, *, multi_label: bool) -> Floats:
    """Return the temperature: an array of shape (1,), or (labels,) if multi-label.

    Args:
        logits: (n, labels) logits of a model that was not trained on these examples; without examples the temperature
            is 1.
        targets: (n,) class indices, or (n, labels) of 0 and 1 if multi-label.
        multi_label: An example can have several labels.

    Raises:
        ValueError: If logits and targets do not match, or logits are not finite.
    """
    values = np.asarray(logits, np.float64)
    if not len(values):
        return np.ones(values.shape[1] if multi_label else 1)
    values, truth = check(values, targets, multi_label)
    if multi_label:
        return np.array([_fit_binary(values[:, k], truth[:, k] == 1) for k in range(values.shape[1])])
    rows = np.arange(len(truth))

    def loss(inverse: float) -> float:
        log_probabilities = np.asarray(log_softmax(values * inverse, axis=1))
        wrong = -np.expm1(log_probabilities.max(axis=1))
        return float(-log_probabilities[rows, truth].sum() + _loss_of_wrong(wrong))

    return np.array([_lowest(loss, _PRIOR_DEVIATION)])


def match_temperature(logits: ArrayLike, wanted: ArrayLike, *, multi_label: bool) -> Floats:
    """Return the temperature that makes a model's probabilities closest to another model's.

    It minimizes the Kullback-Leibler divergence, so no label is needed.

    Args:
        logits: (n, labels) logits of the model; n is at least 1.
        wanted: (n, labels) logits of the model to match.
        multi_label: An example can have several labels.

    Returns:
        As for `fit_temperature`.
    """
    values, others = np.asarray(logits, np.float64), np.asarray(wanted, np.float64)
    if multi_label:
        return np.array([_match_binary(values[:, k], sigmoid(others[:, k])) for k in range(values.shape[1])])
    probabilities = softmax(others)
    return np.array([_lowest(lambda inverse: float(-(probabilities * log_softmax(values * inverse, axis=1)).sum()))])


def _fit_binary(values: Floats, positive: np.ndarray) -> float:
    """Return the temperature of one label, from its (n,) logits and truth."""
    signed, distance = np.where(positive, values, -values), np.abs(values)

    def loss(inverse: float) -> float:
        return float(-log_expit(signed * inverse).sum() + _loss_of_wrong(sigmoid(-distance * inverse)))

    return _lowest(loss, _PRIOR_DEVIATION)


def _match_binary(values: Floats, probabilities: Floats) -> float:
    """Return the temperature of one label that is closest to (n,) probabilities."""
    return _lowest(lambda inverse: float((np.logaddexp(0, values * inverse) - probabilities * values * inverse).sum()))


def _loss_of_wrong(chances: Floats) -> float:
    """Return the mean loss of a wrong prediction, given the chances that predictions are wrong."""
    return float(-np.log(np.maximum(chances, _LEAST_CHANCE)).mean())


def _lowest(loss: Callable[[float], float], prior_deviation: float = math.inf) -> float:
    """Return the temperature with the lowest loss plus penalty of the prior.

    `loss` takes the inverse of the temperature.
    """

    def penalized(log_temperature: float) -> float:
        return loss(math.exp(-log_temperature)) + 0.5 * (log_temperature / prior_deviation) ** 2

    best = minimize_scalar(penalized, bounds=_BOUNDS, method="bounded", options={"xatol": 1e-6})
    return math.exp(best.x)
