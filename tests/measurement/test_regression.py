"""Scores of predicted numbers against scipy and scikit-learn, and the coverage of their intervals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from kit.measurement.intervals import bootstrap_scores
from kit.measurement.regression import RegressionMeasure

MEASURE = RegressionMeasure()


def pair(n: int, correlation: float = 0.7, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return (n, 1) predictions and (n,) targets of two correlated normal variables."""
    random = np.random.default_rng(seed)
    truth = random.standard_normal(n)
    return (correlation * truth + (1 - correlation**2) ** 0.5 * random.standard_normal(n))[:, None], truth


def scored(outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    """Return the scores of all examples."""
    parts = MEASURE.tally(outputs, targets)
    scores = MEASURE.scores({name: part.sum(axis=0) for name, part in parts.items()}, len(targets))
    return {name: float(value) for name, value in scores.items()}


@pytest.mark.parametrize("rounded", [False, True], ids=["distinct", "ties"])
@pytest.mark.parametrize(("scale", "shift"), [(1, 0), (1000, 1e6), (1e-3, -5)])
def test_scores_equal_scipy_and_scikit_learn(rounded, scale, shift) -> None:
    outputs, truth = pair(200)
    if rounded:
        outputs, truth = np.round(outputs), np.round(2 * truth)
    outputs, truth = scale * outputs + shift, scale * truth + shift
    column = outputs[:, 0]
    assert scored(outputs, truth) == pytest.approx(
        {
            "mae": metrics.mean_absolute_error(truth, column),
            "rmse": metrics.root_mean_squared_error(truth, column),
            "r2": metrics.r2_score(truth, column),
            "pearson": stats.pearsonr(truth, column)[0],
            "spearman": stats.spearmanr(truth, column)[0],
        },
        rel=1e-6,
    )


def test_perfect_and_reversed_predictions_have_extreme_scores() -> None:
    _, truth = pair(50)
    assert scored(truth[:, None], truth) == pytest.approx(
        {"mae": 0, "rmse": 0, "r2": 1, "pearson": 1, "spearman": 1}, abs=1e-12
    )
    reversed_scores = scored(-truth[:, None], truth)
    assert (reversed_scores["pearson"], reversed_scores["spearman"]) == pytest.approx((-1, -1))


@pytest.mark.parametrize(
    ("outputs", "targets", "r2"),
    [([2, 2, 2], [1, 2, 3], 0), ([1, 2, 3], [2, 2, 2], 0), ([2, 2, 2], [2, 2, 2], 1), ([5], [5], 1)],
    ids=["constant predictions", "constant targets", "both", "one example"],
)
def test_undefined_correlations_are_zero(outputs, targets, r2) -> None:
    scores = scored(np.array(outputs, float)[:, None], np.array(targets, float))
    assert (scores["r2"], scores["pearson"], scores["spearman"]) == (r2, 0, 0)


def test_predicting_the_mean_of_the_targets_has_an_r2_of_zero() -> None:
    _, truth = pair(40)
    assert scored(np.full((40, 1), truth.mean()), truth)["r2"] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("outputs", [np.zeros((3, 2)), np.zeros((2, 1)), np.array([[1.0], [np.nan], [2.0]])])
def test_outputs_that_do_not_fit_are_refused(outputs) -> None:
    with pytest.raises(ValueError, match="predictions"):
        MEASURE.tally(outputs, np.arange(3.0))


def test_resamples_of_spearman_agree_with_the_exact_bootstrap() -> None:
    outputs, truth = pair(150, 0.8)
    estimate = bootstrap_scores(outputs, truth, MEASURE)["spearman"]
    random = np.random.default_rng(1)
    exact = [stats.spearmanr(outputs[rows, 0], truth[rows])[0] for rows in random.integers(0, 150, (1000, 150))]
    assert (estimate.low, estimate.high) == pytest.approx(tuple(np.quantile(exact, [0.025, 0.975])), abs=0.02)


def test_intervals_cover_the_true_scores_at_their_level() -> None:
    correlation, repetitions = 0.7, 200
    truth = {
        "mae": (2 * (1 - correlation) * 2 / np.pi) ** 0.5,  # the error is normal, with variance 2 (1 - correlation)
        "r2": 2 * correlation - 1,
        "pearson": correlation,
        "spearman": 6 / np.pi * np.arcsin(correlation / 2),
    }
    covered = dict.fromkeys(truth, 0)
    for seed in range(repetitions):
        estimates = bootstrap_scores(*pair(200, correlation, seed), MEASURE, resamples=300, seed=seed)
        for name, value in truth.items():
            covered[name] += estimates[name].low <= value <= estimates[name].high
    assert all(0.9 * repetitions <= count <= 0.99 * repetitions for count in covered.values()), covered


def test_predictions_are_right_and_the_same_within_shares_of_the_deviation() -> None:
    truth = np.array([0.0, 2.0, 4.0, 6.0])  # standard deviation 2.24
    assert MEASURE.right(truth[:, None] + [[0], [1], [1.2], [-9]], truth).tolist() == [True, True, False, False]
    same = MEASURE.same(truth[:, None] + [[0], [0.2], [0.3], [-0.1]], truth[:, None])
    assert same.tolist() == [True, True, False, True]
