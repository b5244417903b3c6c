"""Temperatures that match confidences with the shares of right predictions."""

from __future__ import annotations

import numpy as np
import pytest

from kit.measurement.calibration import fit_temperature, match_temperature
from kit.measurement.logits import sigmoid, softmax
from kit.measurement.metrics import classification_scores


def drawn(n: int, labels: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return calibrated logits (n, labels) and targets that are drawn from their probabilities."""
    rng = np.random.default_rng(seed)
    logits = 2 * rng.standard_normal((n, labels))
    chances = softmax(logits).cumsum(axis=1)
    return logits, (rng.random(n)[:, None] > chances).sum(axis=1)


@pytest.mark.parametrize("factor", [0.4, 1.0, 5.0])
def test_a_known_factor_is_found(factor: float) -> None:
    logits, targets = drawn(4_000)
    temperature = fit_temperature(factor * logits, targets, multi_label=False)
    assert temperature.shape == (1,)
    assert temperature[0] == pytest.approx(factor, rel=0.06)


def test_calibration_error_of_overconfident_logits_falls() -> None:
    logits, targets = drawn(3_000)
    temperature = fit_temperature(4 * logits[:300], targets[:300], multi_label=False)
    before = classification_scores(4 * logits[300:], targets[300:])
    after = classification_scores(4 * logits[300:] / temperature, targets[300:])
    assert before["ece"] > 0.15
    assert after["ece"] < 0.04
    assert after["log_loss"] < before["log_loss"] / 1.5
    assert after["accuracy"] == before["accuracy"]


def test_each_label_of_several_gets_its_temperature() -> None:
    rng = np.random.default_rng(1)
    logits = 2 * rng.standard_normal((4_000, 2))
    targets = (rng.random((4_000, 2)) < sigmoid(logits)).astype(int)
    temperature = fit_temperature(logits * [0.5, 3.0], targets, multi_label=True)
    assert temperature == pytest.approx([0.5, 3.0], rel=0.1)


@pytest.mark.parametrize("right", [True, False])
def test_three_examples_change_confidence_only_moderately(right: bool) -> None:
    logits = np.array([[2.0, 0.0], [1.5, 0.0], [0.0, 2.5]])
    targets = logits.argmax(axis=1) if right else logits.argmin(axis=1)
    temperature = fit_temperature(logits, targets, multi_label=False)
    assert 0.5 < temperature[0] < 6.0


def test_without_examples_the_temperature_is_one() -> None:
    assert fit_temperature(np.zeros((0, 3)), np.zeros(0), multi_label=False).tolist() == [1.0]
    assert fit_temperature(np.zeros((0, 3)), np.zeros((0, 3)), multi_label=True).tolist() == [1.0] * 3


def test_matching_recovers_the_factor_without_labels() -> None:
    logits, _ = drawn(50)
    assert match_temperature(3 * logits, logits, multi_label=False) == pytest.approx([3.0], rel=1e-3)
    assert match_temperature(logits * [1, 2, 0.5, 1], logits, multi_label=True) == pytest.approx(
        [1, 2, 0.5, 1], rel=1e-3
    )


def test_logits_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="NaN or infinite"):
        fit_temperature([[np.nan, 0.0]], [0], multi_label=False)
