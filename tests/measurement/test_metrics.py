"""Metrics against scikit-learn as an independent reference, and against manual results."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn import metrics as reference

from kit.measurement import metrics, probabilities
from kit.measurement.logits import sigmoid, softmax


def sample(n: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return mostly right logits, and targets with rare classes."""
    generator = np.random.default_rng(seed)
    targets = np.minimum(generator.geometric(0.3, n) - 1, classes - 1)
    logits = generator.normal(size=(n, classes)) * 2
    logits[np.arange(n), targets] += 2
    return logits, targets


def label_sample(n: int = 300, labels: int = 6) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(1)
    targets = (generator.random((n, labels)) < 0.3).astype(int)
    return generator.normal(size=(n, labels)) * 2 + 3 * targets - 2, targets


@pytest.mark.parametrize("classes", [2, 3, 20])
def test_single_label_scores_agree_with_scikit_learn(classes: int) -> None:
    logits, targets = sample(400, classes)
    guess = logits.argmax(1)
    precision, recall, f1, _ = reference.precision_recall_fscore_support(
        targets, guess, average="macro", zero_division=0
    )
    expected = {
        "accuracy": reference.accuracy_score(targets, guess),
        "macro_precision": precision,
        "macro_recall": recall,
        "macro_f1": f1,
        "mcc": reference.matthews_corrcoef(targets, guess),
        "log_loss": reference.log_loss(targets, softmax(logits), labels=range(classes)),
        "brier": ((softmax(logits) - np.eye(classes)[targets]) ** 2).sum(axis=1).mean(),
        "mae": reference.mean_absolute_error(targets, guess),
    }
    scores = metrics.classification_scores(logits, targets, ordered=True)
    ece, adaptive = scores.pop("ece"), scores.pop("adaptive_ece")
    if classes == 2:
        del expected["mae"]
    assert list(scores) == list(expected)
    assert scores == pytest.approx(expected, abs=1e-12)
    assert ece == pytest.approx(probabilities.expected_calibration_error(softmax(logits), targets))
    assert adaptive == pytest.approx(probabilities.expected_calibration_error(softmax(logits), targets, adaptive=True))


def test_unordered_labels_have_no_mae() -> None:
    assert "mae" not in metrics.classification_scores(*sample(50, 5))


def test_the_functions_agree_with_the_scores() -> None:
    logits, targets = sample(300, 5)
    scores = metrics.classification_scores(logits, targets, ordered=True)
    confusion = metrics.confusion_matrix(targets, logits.argmax(1), 5)
    assert (confusion == reference.confusion_matrix(targets, logits.argmax(1), labels=range(5))).all()
    assert metrics.accuracy(confusion) == pytest.approx(scores["accuracy"])
    assert metrics.macro(confusion) == pytest.approx({k: v for k, v in scores.items() if k.startswith("macro")})
    assert metrics.matthews(confusion) == pytest.approx(scores["mcc"])
    assert probabilities.log_loss(logits, targets) == pytest.approx(scores["log_loss"])
    assert metrics.mean_absolute_error_of_index(confusion) == pytest.approx(scores["mae"])


def test_per_class_agrees_with_scikit_learn() -> None:
    targets, guess = np.array([0, 0, 1, 1, 3]), np.array([0, 1, 1, 1, 4])
    by_class = metrics.per_class(metrics.confusion_matrix(targets, guess, 6))
    expected = reference.precision_recall_fscore_support(targets, guess, labels=range(6), zero_division=0)
    for values, expected_columns in zip(by_class.values(), expected, strict=True):
        np.testing.assert_allclose(values.astype(float), expected_columns)
    assert list(by_class) == ["precision", "recall", "f1", "support"]


def test_absent_classes_do_not_lower_macro_averages() -> None:
    perfect = np.diag([3, 4, 0])
    assert metrics.macro(perfect) == {"macro_precision": 1.0, "macro_recall": 1.0, "macro_f1": 1.0}


@pytest.mark.parametrize("confusion", [[[5, 0], [0, 0]], [[3, 0], [2, 0]], [[3, 2], [0, 0]]])
def test_mcc_is_zero_where_undefined(confusion: list[list[int]]) -> None:
    assert metrics.matthews(confusion) == 0.0


def test_mcc_of_perfect_and_reversed_predictions() -> None:
    assert metrics.matthews([[5, 0], [0, 7]]) == pytest.approx(1.0)
    assert metrics.matthews([[0, 5], [7, 0]]) == pytest.approx(-1.0)


def test_log_loss_is_stable_and_in_nats() -> None:
    assert probabilities.log_loss([[0.0, 0.0]], [0]) == pytest.approx(np.log(2))
    assert probabilities.log_loss([[1e4, 0.0], [0.0, 1e4]], [1, 1]) == pytest.approx(5e3)
    assert probabilities.binary_log_loss([[1e4, -1e4]], [[0, 0]]) == pytest.approx(5e3)


def test_calibration_error_by_hand() -> None:
    # Two bins of five: (0.6, 0.8] holds 0.7 right and 0.7 wrong, (0.8, 1] holds 0.9 right and 1.0 right.
    # Gaps: |(0.3 - 0.7)| / 4 = 0.1 and |(0.1 + 0.0)| / 4 = 0.025.
    chances = [[0.7, 0.3], [0.7, 0.3], [0.9, 0.1], [0.0, 1.0]]
    assert probabilities.expected_calibration_error(chances, [0, 1, 0, 1], bins=5) == pytest.approx(0.125)


def test_adaptive_bins_have_equal_sizes() -> None:
    # Bins {0.55 wrong, 0.6 right} and {0.9 right, 0.95 right}: gaps |1 - 1.15| / 4 and |2 - 1.85| / 4.
    chances = [[0.55, 0.45], [0.6, 0.4], [0.9, 0.1], [0.95, 0.05]]
    error = probabilities.expected_calibration_error(chances, [1, 0, 0, 0], bins=2, adaptive=True)
    assert error == pytest.approx(0.15 / 2)


def test_a_confidence_on_the_edge_belongs_to_the_lower_bin() -> None:
    # With two bins, 0.5 lies in (0, 0.5] beside nothing: both gaps count. In one bin they would cancel.
    chances = [[0.5, 0.5], [0.75, 0.25]]
    assert probabilities.expected_calibration_error(chances, [0, 1], bins=2) == pytest.approx((0.5 + 0.75) / 2)
    assert probabilities.expected_calibration_error(chances, [0, 1], bins=1) == pytest.approx(0.125)


def test_calibrated_predictions_have_little_calibration_error() -> None:
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(40_000, 3))
    targets = (softmax(logits).cumsum(1) < generator.random((40_000, 1))).sum(1)
    assert metrics.classification_scores(logits, targets)["ece"] < 0.01
    assert metrics.classification_scores(4 * logits, targets)["ece"] > 0.2


def test_multi_label_scores_agree_with_scikit_learn() -> None:
    logits, targets = label_sample()
    guess, chances = logits > 0, sigmoid(logits)
    macro = reference.precision_recall_fscore_support(targets, guess, average="macro", zero_division=0)
    expected = {
        "exact_match": reference.accuracy_score(targets, guess),
        "micro_f1": reference.f1_score(targets, guess, average="micro"),
        "macro_precision": macro[0],
        "macro_recall": macro[1],
        "macro_f1": macro[2],
        "log_loss": reference.log_loss(targets.ravel(), chances.ravel()),
        "brier": ((chances - targets) ** 2).mean(),
    }
    scores = metrics.multi_label_scores(logits, targets)
    assert scores.pop("ece") == pytest.approx(probabilities.binary_calibration_error(chances, targets))
    adaptive = probabilities.binary_calibration_error(chances, targets, adaptive=True)
    assert scores.pop("adaptive_ece") == pytest.approx(adaptive)
    assert list(scores) == list(expected)
    assert scores == pytest.approx(expected, abs=1e-12)
    assert metrics.exact_match(logits, targets) == pytest.approx(expected["exact_match"])
    assert probabilities.binary_log_loss(logits, targets) == pytest.approx(expected["log_loss"])
    by_label = metrics.multi_label_per_class(logits, targets)
    expected_columns = reference.precision_recall_fscore_support(targets, guess, zero_division=0)
    for values, column in zip(by_label.values(), expected_columns, strict=True):
        np.testing.assert_allclose(values.astype(float), column)


def test_calibration_error_of_decisions_by_hand() -> None:
    # Confidences 0.8, 0.8, 0.6, 0.6 of the decisions 1, 0, 1, 0; the second and third are wrong.
    # (0.2 - 0.8) / 4 in one bin of five and (-0.6 + 0.4) / 4 in another.
    error = probabilities.binary_calibration_error([[0.8, 0.2], [0.6, 0.4]], [[1, 1], [0, 0]], bins=5)
    assert error == pytest.approx(0.2)


def test_probabilities_are_stable() -> None:
    np.testing.assert_allclose(softmax([[1e4, 0.0]]), [[1.0, 0.0]])
    np.testing.assert_allclose(sigmoid([-1e4, 0.0, 1e4]), [0.0, 0.5, 1.0])


@pytest.mark.parametrize(
    ("logits", "targets", "message"),
    [
        (np.empty((0, 2)), [], r"logits are empty: shape \(0, 2\)"),
        ([0.1, 0.2], [0, 1], r"logits must have the shape \(examples, classes\), got \(2,\)"),
        ([[0.0, 1.0], [np.nan, 1.0]], [0, 1], "logits are NaN or infinite, first in row 1"),
        ([[np.inf, 1.0]], [0], "logits are NaN or infinite, first in row 0"),
        ([[0.0, 1.0]], [0, 1], r"targets must have the shape \(1,\), got \(2,\)"),
        ([[0.0, 1.0]], [2], "targets must be 0 to 1, got 2 to 2"),
    ],
)
def test_unscorable_input_is_reported(logits: Any, targets: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        metrics.classification_scores(logits, targets)


def test_multi_label_targets_are_checked() -> None:
    with pytest.raises(ValueError, match=r"targets must have the shape \(1, 2\), got \(1,\)"):
        metrics.multi_label_scores([[0.0, 1.0]], [1])
    with pytest.raises(ValueError, match="targets must be 0 to 1, got 0 to 2"):
        metrics.multi_label_scores([[0.0, 1.0]], [[0, 2]])


@pytest.mark.parametrize(
    ("targets", "guess", "message"),
    [([], [], "targets are empty"), ([0], [0, 1], "differ in shape"), ([0], [3], "predictions must be 0 to 1")],
)
def test_confusion_matrix_checks_its_arguments(targets: list[int], guess: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        metrics.confusion_matrix(targets, guess, 2)
