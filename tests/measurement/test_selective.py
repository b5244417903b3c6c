"""Thresholds above which predictions are right as often as required."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from kit.measurement.selective import HeldOut, fewest_examples, threshold_for, upper_bound


def drawn(n: int, generator: np.random.Generator) -> HeldOut:
    """Return predictions whose confidences are calibrated: between 50 and 100 %."""
    confidences = 0.5 + 0.5 * generator.random(n) ** 0.5
    return HeldOut(tuple(confidences), tuple(generator.random(n) < confidences))


def test_bounds_are_those_of_clopper_and_pearson() -> None:
    for wrong, count in ((0, 59), (1, 93), (7, 50), (50, 50)):
        interval = binomtest(wrong, count).proportion_ci(confidence_level=0.9, method="exact")
        assert upper_bound(wrong, count) == pytest.approx(interval.high)


def test_fewest_examples_just_suffice() -> None:
    for share in (0.8, 0.95, 0.99):
        count = fewest_examples(share)
        assert upper_bound(0, count) <= 1 - share < upper_bound(0, count - 1)


def test_threshold_decides_the_confident_predictions() -> None:
    confidences = np.linspace(0.5, 1, 400)
    threshold = threshold_for(HeldOut(tuple(confidences), tuple(confidences > 0.6)), 0.95)
    assert threshold is not None
    assert threshold.confidence == pytest.approx(0.59, abs=0.02)
    assert threshold.decided == pytest.approx(0.82, abs=0.03)
    assert threshold.right > 0.95 and threshold.examples == 400


def test_examples_that_show_nothing_give_no_threshold() -> None:
    assert threshold_for(HeldOut((), ()), 0.9) is None
    assert threshold_for(HeldOut((0.9,) * 20, (True,) * 20), 0.95) is None
    assert threshold_for(HeldOut((0.9,) * 200, (True, False) * 100), 0.95) is None


def test_equal_confidences_are_decided_together() -> None:
    held_out = HeldOut((0.9,) * 100 + (0.6,) * 100, (True,) * 100 + (True, False) * 50)
    threshold = threshold_for(held_out, 0.95)
    assert threshold is not None and (threshold.confidence, threshold.decided) == (0.9, 0.5)


def test_the_required_share_holds_in_95_percent_of_repetitions() -> None:
    generator = np.random.default_rng(0)
    new = drawn(200_000, generator)
    confidences, right = np.array(new.confidences), np.array(new.right)
    thresholds = [threshold_for(drawn(300, generator), 0.85) for _ in range(600)]
    chosen = [one.confidence for one in thresholds if one is not None]
    assert len(chosen) > 300
    held = [right[confidences >= confidence].mean() >= 0.85 for confidence in chosen]
    # Where no threshold is found nothing is claimed, so the rate is one of all repetitions.
    assert len(chosen) - sum(held) <= 0.05 * len(thresholds) + 3 * (0.05 * 0.95 * len(thresholds)) ** 0.5
