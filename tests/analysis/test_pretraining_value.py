import numpy as np
import pytest

from kit.analysis.curve import fit_learning_curve
from kit.analysis.points import Point
from kit.analysis.pretraining_value import effective_data
from kit.measurement.intervals import Estimate

N = 64 * 2 ** np.arange(6)
NOISE = np.random.default_rng(0).normal(0, 0.004, (100, 1))


def scratch_error(n):
    return 2 * np.asarray(n, float) ** -0.5 + 0.05


def series(budgets, errors, noise=NOISE):
    """Return points with these errors and (B, 1) or (B, k) noise of shared test examples."""
    replicates = np.clip(1 - (np.asarray(errors) + noise), 0, 1)
    return [
        Point(int(n), (), Estimate(1 - e, 1 - e, 1 - e), None, replicates[:, j])
        for j, (n, e) in enumerate(zip(budgets, errors, strict=True))
    ]


def fit_of(points):
    errors = [1 - p.estimate.value for p in points]
    return fit_learning_curve([p.budget for p in points], errors, np.stack([1 - p.replicates for p in points], axis=1))


SCRATCH = series(N, scratch_error(N))


@pytest.mark.parametrize("factor", [1, 2, 3.5, 8])
def test_a_shifted_curve_is_worth_the_shift(factor):
    budgets = N[:4]
    answers = effective_data("lora", series(budgets, scratch_error(factor * budgets)), SCRATCH, fit_of(SCRATCH))
    assert [answer.budget for answer in answers] == list(budgets)
    for answer in answers:
        assert answer.series == "lora"
        assert answer.times == pytest.approx(factor, rel=1e-4)
        if 64 < factor * answer.budget <= 2048:
            # both share the noise, so it cancels
            assert (answer.low, answer.high) == pytest.approx((factor, factor), rel=0.02)
        elif factor * answer.budget > 2048:
            # the uncertainty of scratch beyond its budgets is independent
            assert answer.low < 0.98 * factor


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_without_a_curve_the_points_are_used(factor):
    budgets = N[1:4]
    answers = effective_data("lora", series(budgets, scratch_error(factor * budgets)), SCRATCH)
    assert [answer.times for answer in answers] == pytest.approx([factor] * 3)
    # both share the noise, so it cancels
    assert all(answer.high / answer.low < 1.15 for answer in answers if answer.low and answer.high)


def test_between_points_it_is_linear_in_the_logarithm_of_labels():
    points = series([100, 400, 1600], [0.4, 0.3, 0.2], 0 * NOISE)
    (answer,) = effective_data("lora", series([50], [0.25], 0 * NOISE), points)
    assert answer.times == pytest.approx(800 / 50)
    assert (answer.low, answer.high) == pytest.approx((16, 16))


def test_noise_that_rises_is_averaged_away():
    points = series([100, 400, 1600], [0.4, 0.2, 0.3], 0 * NOISE)
    (answer,) = effective_data("lora", series([50], [0.25], 0 * NOISE), points)
    assert answer.times == pytest.approx(400 / 50)


def test_order_of_points_does_not_matter():
    pretrained = series(N[:3], scratch_error(2 * N[:3]))
    assert effective_data("a", pretrained[::-1], SCRATCH[::-1]) == effective_data("a", pretrained, SCRATCH)


def test_beyond_the_range_there_is_a_lower_bound():
    pretrained = series([100], [0.01])
    (with_points,) = effective_data("finetune", pretrained, SCRATCH)
    assert (with_points.times, with_points.low, with_points.high) == (None, 20.48, None)
    (with_curve,) = effective_data("finetune", pretrained, SCRATCH, fit_of(SCRATCH))
    assert with_curve.times is None
    assert with_curve.high is None
    assert 20.48 < with_curve.low <= 8 * 20.48


def test_the_lower_bound_holds_for_nearly_all_replicates():
    """Pretrained is slightly better than the last point of scratch, which many replicates reach."""
    noise = np.random.default_rng(1).normal(0, 0.01, (200, 1))
    points = series(N, scratch_error(N), 0 * noise)
    error = scratch_error(2048) - 0.002
    (answer,) = effective_data("finetune", series([64], [error], noise), points)
    worst = np.quantile(error + noise, 0.975)
    assert answer.times is None
    assert answer.low == pytest.approx((2 / (worst - 0.05)) ** 2 / 64, rel=0.02)


@pytest.mark.parametrize("curve", [True, False])
def test_scratch_that_is_better_gives_an_upper_bound(curve):
    (answer,) = effective_data("probe", series([640], [0.45]), SCRATCH, fit_of(SCRATCH) if curve else None)
    assert (answer.times, answer.low, answer.high) == pytest.approx((0.1, 0, 0.1))


def test_scratch_with_one_point_or_none():
    worse, better = series([100], [0.5]), series([100], [0.1])
    (at_most,) = effective_data("probe", worse, SCRATCH[:1])
    assert (at_most.times, at_most.low) == (0.64, 0)
    (more,) = effective_data("probe", better, SCRATCH[:1])
    assert (more.times, more.low, more.high) == (None, 0.64, None)
    assert effective_data("probe", worse, []) == []


def test_intervals_are_joint_over_replicates():
    shared = effective_data("a", series(N[1:3], scratch_error(2 * N[1:3])), SCRATCH)
    apart = effective_data("a", series(N[1:3], scratch_error(2 * N[1:3]), NOISE[::-1]), SCRATCH)
    for together, alone in zip(shared, apart, strict=True):
        assert together.times == alone.times
        assert together.high - together.low < 0.2 * (alone.high - alone.low)


def test_replicates_of_different_numbers_are_an_error():
    with pytest.raises(ValueError, match="50 replicates cannot be compared with 100 of scratch"):
        effective_data("a", series([64], [0.2], NOISE[:50]), SCRATCH)
