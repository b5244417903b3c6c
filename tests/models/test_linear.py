"""Logistic regression on fixed features."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from kit.models.linear import Linear, LinearFit, fit_logistic

RANDOM = np.random.default_rng(0)
FEATURES = RANDOM.normal(size=(200, 8))
TARGETS = (FEATURES[:, :3] + RANDOM.normal(size=(200, 3))).argmax(1)


@pytest.mark.parametrize("labels", [2, 3])
def test_probabilities_equal_those_of_scikit_learn(labels) -> None:
    targets = TARGETS % labels
    linear = fit_logistic(FEATURES, targets, labels, 3.0)
    logits = linear.logits(FEATURES)
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    expected = LogisticRegression(C=3.0, max_iter=500).fit(FEATURES, targets).predict_proba(FEATURES)
    assert np.abs(probabilities - expected).max() < 1e-3


def test_class_without_examples_is_never_predicted() -> None:
    linear = fit_logistic(FEATURES, np.where(TARGETS == 1, 2, TARGETS), 3, 3.0)
    assert 1 not in linear.logits(FEATURES).argmax(1)
    constant = fit_logistic(FEATURES, np.zeros(200, int), 3, 3.0)
    assert set(constant.logits(FEATURES).argmax(1)) == {0}


def test_multi_label_targets_are_fitted_per_label() -> None:
    targets = np.stack([FEATURES[:, 0] > 0, np.ones(200), np.zeros(200)], 1).astype(np.float32)
    predicted = fit_logistic(FEATURES, targets, 3, 100.0).logits(FEATURES) > 0
    assert (predicted[:, 0] == (FEATURES[:, 0] > 0)).mean() > 0.95
    assert predicted[:, 1].all() and not predicted[:, 2].any()


def test_choice_of_c_stops_after_the_lowest_validation_loss() -> None:
    losses = {1.0: 3.0, 3.0: 1.0, 10.0: 0.5, 30.0: 0.7, 100.0: 0.1, 300.0: 9.0}
    tried = []

    def fit(features: np.ndarray, targets: np.ndarray, c: float) -> Linear:
        tried.append(c)
        return Linear(np.zeros((1, 1)), np.zeros(1), c)

    linear = LinearFit(fit, tuple(losses), default=30.0, start=10.0)
    assert linear.choose(FEATURES, TARGETS, lambda fitted: losses[fitted.C]) == 10.0
    assert tried == [1.0, 3.0, 10.0, 30.0]
