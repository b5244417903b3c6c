import time

import numpy as np
import pytest
from scipy.optimize import isotonic_regression, least_squares

from kit.analysis.curve import CurveRefused, Fit, fit_learning_curve
from kit.analysis.curve_forms import FORMS, errors_at, fit_rows, pooled
from kit.measurement.intervals import spread

N = 64.0 * 2 ** np.arange(6)
SHAPES = {
    "pow3": lambda n: 2 * n**-0.5 + 0.05,
    "pow4": lambda n: 20 * (n + 200) ** -0.8 + 0.08,
    "mmf4": lambda n: (0.6 * 500**1.2 + 0.1 * n**1.2) / (500**1.2 + n**1.2),
    "exponential": lambda n: 0.1 + 0.3 * np.exp(-n / 900),
    "logarithmic": lambda n: 0.42 - 0.035 * np.log(n / 64),
}
PAPER = {
    "pow3": {"a": 2.0, "b": 0.5, "c": 0.05},
    "pow4": {"a": 20.0, "b": 0.8, "c": 0.08, "d": 200.0},
    "mmf4": {"a": 0.6, "b": 500**1.2, "c": 0.1, "d": 1.2},
}


def around(errors, sd, rows=100, seed=0):
    """Return replicates like those of a bootstrap, with half of the noise shared by all budgets."""
    generator = np.random.default_rng(seed)
    own, shared = generator.normal(0, sd, (rows, len(errors))), generator.normal(0, sd, (rows, 1))
    return np.clip(errors + (own + shared) / np.sqrt(2), 0, 1)


def fitted(shape, n=N, sd=0.002) -> Fit:
    errors = SHAPES[shape](n)
    return fit_learning_curve(n, errors, around(errors, sd))


@pytest.mark.parametrize("form", FORMS)
def test_noise_free_data_recover_their_form(form):
    fit = fitted(form)
    assert fit.form == form
    assert fit.curve.parameters == pytest.approx(PAPER[form], rel=1e-4)
    assert fit.curve.asymptote == pytest.approx(PAPER[form]["c"], rel=1e-4)
    for n in (64, 1000, 8 * 2048):
        assert fit.predict(n).value == pytest.approx(SHAPES[form](n), abs=1e-6)
    assert fit.backtest.error == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("form", ["pow3", "pow4"])
def test_fit_is_the_minimum_that_scipy_finds(form):
    functions = {
        "pow3": lambda p: p[0] * (N / 64) ** -p[1] + p[2],
        "pow4": lambda p: p[0] * ((N + p[3]) / (64 + p[3])) ** -p[1] + p[2],
    }
    boxes = {"pow3": ([0, 0.02, 0], [1, 8, 1]), "pow4": ([0, 0.02, 0, 0.64], [1, 12, 1, 4096])}
    weights = 1 / np.linspace(0.02, 0.008, 6) ** 2
    curves = around(SHAPES["pow4"](N), 0.01, rows=4)
    losses = ((errors_at(form, fit_rows(form, N, curves, weights), N, N) - curves) ** 2 * weights).sum(axis=1)
    for curve, loss in zip(curves, losses, strict=True):
        starts = [[0.3, b, 0.05, 200][: FORMS[form].size] for b in (0.3, 1.5)]
        fits = [
            least_squares(
                lambda p, curve=curve: (functions[form](p) - curve) * np.sqrt(weights),
                start,
                bounds=boxes[form],
                x_scale=np.abs(start),
            )
            for start in starts
        ]
        assert loss <= 2 * min(candidate.cost for candidate in fits) * (1 + 1e-4) + 1e-9


@pytest.mark.parametrize("form", FORMS)
def test_every_fit_falls_within_zero_and_one(form):
    curves = np.random.default_rng(0).random((100, 6))
    rows = fit_rows(form, N, curves, np.ones(6))
    errors = errors_at(form, rows, N, np.geomspace(64, 1e7, 60))
    assert (np.diff(errors, axis=1) <= 1e-12).all()
    assert errors.min() >= 0
    assert errors.max() <= 1 + 1e-9


def test_pooled_is_isotonic_regression():
    generator = np.random.default_rng(0)
    curves, weights = generator.random((20, 5)), generator.random(5)
    expected = [isotonic_regression(curve, weights=weights, increasing=False).x for curve in curves]
    assert pooled(curves, weights) == pytest.approx(np.array(expected))


@pytest.mark.parametrize("shape", ["pow3", "pow4", "mmf4"])
def test_noisy_data_are_predicted_within_their_noise(shape):
    errors = around(SHAPES[shape](N), 0.004, rows=1, seed=5)[0]
    fit = fit_learning_curve(N, errors, around(errors, 0.004))
    assert fit.predict(4096).value == pytest.approx(SHAPES[shape](4096), abs=0.015)
    assert fit.predict(500).value == pytest.approx(SHAPES[shape](500), abs=0.008)


def test_back_test_is_an_independent_refit_of_the_smaller_budgets():
    n = np.array([100.0, 300, 900, 2700])
    errors = np.array([0.40, 0.31, 0.26, 0.235])
    samples = around(errors, 0.01)
    fit = fit_learning_curve(n, errors, samples)
    # three points and three parameters: the power law goes through all of them, (e1-c)/(e2-c) = (e2-c)/(e3-c)
    c = (0.40 * 0.26 - 0.31**2) / (0.40 + 0.26 - 2 * 0.31)
    expected = c + (0.26 - c) ** 2 / (0.31 - c)
    assert set(fit.backtest.rivals) == {"pow3", "last"}
    assert fit.form == "pow3"
    assert fit.backtest.budget == 2700
    assert fit.backtest.measured == 0.235
    assert fit.backtest.predicted.value == pytest.approx(expected, abs=1e-6)
    assert fit.backtest.error == pytest.approx(expected - 0.235, abs=1e-6)
    assert fit.backtest.rivals == pytest.approx({"pow3": expected - 0.235, "last": 0.26 - 0.235}, abs=1e-6)
    assert fit.backtest.predicted.low < expected < fit.backtest.predicted.high


def test_forms_need_as_many_points_as_parameters():
    assert set(fitted("pow3", N[:5]).backtest.rivals) == {"pow3", "pow4", "mmf4", "last"}
    assert set(fitted("pow3", N[:4]).backtest.rivals) == {"pow3", "last"}


def test_fewer_than_four_different_budgets_are_refused():
    with pytest.raises(CurveRefused) as refusal:
        fit_learning_curve([64, 128, 256, 64], [0.4, 0.3, 0.2, 0.4], np.full((5, 4), 0.3))
    assert str(refusal.value) == "a learning curve needs at least 4 different budgets; there are 3"
    with pytest.raises(CurveRefused, match="there are 0"):
        fit_learning_curve([], [], np.empty((0, 0)))


def test_predictions_end_at_eight_times_and_start_at_the_smallest():
    fit = fitted("pow3")
    assert fit.largest == 16384
    assert fit.predict(16384).value < fit.predict(2048).value
    with pytest.raises(CurveRefused) as refusal:
        fit.predict(20000)
    expected = "predictions end at 8 times the largest measured budget, 16,384 labels; 20,000 is more"
    assert str(refusal.value) == expected
    with pytest.raises(CurveRefused) as refusal:
        fit.predict(10.0)
    assert str(refusal.value) == "predictions start at the smallest measured budget, 64 labels; 10 is less"


@pytest.mark.parametrize(
    ("budgets", "errors", "replicates", "message"),
    [
        (N, np.full(5, 0.3), np.full((9, 6), 0.3), "do not fit together"),
        (N, np.full(6, 0.3), np.empty((0, 6)), "do not fit together"),
        (N, np.full(6, np.nan), np.full((9, 6), 0.3), "not negative"),
        (N, np.full(6, -0.1), np.full((9, 6), 0.3), "not negative"),
        (N - 64, np.full(6, 0.3), np.full((9, 6), 0.3), "1 or more"),
    ],
)
def test_invalid_numbers_are_an_error(budgets, errors, replicates, message):
    with pytest.raises(ValueError, match=message) as raised:
        fit_learning_curve(budgets, errors, replicates)
    assert not isinstance(raised.value, CurveRefused)


@pytest.mark.parametrize("shape", SHAPES)
def test_labels_for_inverts_predict(shape):
    fit = fitted(shape)
    for n in (100, 700, 2048, 5000):
        target = fit.predict(n).value
        needed = fit.labels_for(target)
        assert needed.value == pytest.approx(n, rel=1e-6)
        assert needed.low <= n
        assert needed.high is None or needed.high >= n
        assert fit.curve.labels(target) == pytest.approx(n, rel=1e-6)


def test_the_label_interval_ends_where_the_band_crosses():
    fit = fitted("pow3", sd=0.006)
    needed = fit.labels_for(fit.predict(1500).value)
    assert fit.predict(needed.low).low == pytest.approx(fit.predict(1500).value, abs=1e-3)
    assert needed.high is not None
    assert fit.predict(needed.high).high == pytest.approx(fit.predict(1500).value, abs=1e-3)


def test_an_unreachable_error_has_no_number_of_labels():
    fit = fitted("pow4")
    assert fit.curve.labels(0.05) == np.inf
    needed = fit.labels_for(0.05)
    assert needed.value is None
    assert needed.high is None
    assert 2048 < needed.low <= fit.largest
    # reached by the curve, but beyond eight times
    beyond = fit.labels_for(float(fit.curve.error(30000)))
    assert (beyond.value, beyond.high) == (None, None)
    assert fit.labels_for(0.0).value is None


def test_a_large_error_needs_the_smallest_budget():
    needed = fitted("pow3").labels_for(0.9)
    assert (needed.value, needed.low, needed.high) == (64, 64, 64)


@pytest.mark.parametrize("shape", ["pow3", "exponential", "logarithmic"])
def test_intervals_cover_twice_the_largest_budget(shape):
    held, widths = [], []
    for n in (N[:5], 64 * 4.0 ** np.arange(4)):
        truth = SHAPES[shape](2 * n[-1])
        for seed in range(20):
            measured = around(SHAPES[shape](n), 0.01, rows=1, seed=1000 + seed)[0]
            fit = fit_learning_curve(n, measured, around(measured, 0.01, rows=60, seed=seed))
            band = fit.predict(2 * n[-1])
            held.append(band.low <= truth <= band.high)
            widths.append(band.high - band.low)
    assert np.mean(held) >= 0.9
    # intervals are narrow if a form is right
    assert shape != "pow3" or np.median(widths) < 0.15


def test_intervals_widen_with_distance_and_never_promise_a_rise():
    fit = fitted("exponential", sd=0.01)
    bands = [fit.predict(n) for n in (2048, 4096, 8192, 16384)]
    widths = [band.high - band.low for band in bands]
    assert widths == sorted(widths)
    assert all(band.high <= bands[0].high + 1e-12 for band in bands)
    assert all(0 <= band.low <= band.value <= band.high <= 1 for band in bands)


def test_order_and_repetition_of_budgets_do_not_matter():
    errors = SHAPES["pow3"](N)
    samples = around(errors, 0.01)
    plain = fit_learning_curve(N, errors, samples)
    order = np.array([3, 0, 5, 1, 4, 2, 3])
    mixed_errors, mixed_samples = errors[order].copy(), samples[:, order].copy()
    mixed_errors[0], mixed_errors[-1] = errors[3] - 0.01, errors[3] + 0.01
    mixed = fit_learning_curve(N[order], mixed_errors, mixed_samples)
    assert mixed.budgets == plain.budgets == (64, 128, 256, 512, 1024, 2048)
    assert mixed.errors == pytest.approx(plain.errors)
    assert mixed.predict(4096).low == pytest.approx(plain.predict(4096).low)


def test_flat_curves_are_recognized():
    errors = np.array([0.301, 0.298, 0.3, 0.302, 0.299, 0.3])
    fit = fit_learning_curve(N, errors, around(errors, 0.01))
    assert fit.form == "last"
    assert fit.predict(16384).value == pytest.approx(0.3, abs=2e-3)
    assert fit.labels_for(0.2).value is None
    assert fit.labels_for(0.31).value == 64


def test_last_interpolates_the_measurements():
    # plainly down and then a step that no form has: the last level predicts best
    errors = np.array([0.5, 0.5, 0.5, 0.2, 0.2, 0.2])
    fit = fit_learning_curve(N, errors, around(errors, 1e-4))
    assert fit.form == "last"
    assert fit.predict(64).value == pytest.approx(0.5)
    assert fit.predict(np.sqrt(256 * 512)).value == pytest.approx(0.35)
    assert fit.labels_for(0.35).value == pytest.approx(np.sqrt(256 * 512))
    assert fit.curve.parameters == pytest.approx({"c": 0.2})
    assert fit.curve.asymptote == pytest.approx(0.2)


@pytest.mark.parametrize("level", [0.0, 0.25, 1.0])
def test_no_variance_and_no_slope(level):
    fit = fit_learning_curve(N, np.full(6, level), np.full((20, 6), level))
    band = fit.predict(4096)
    assert fit.form == "last"
    assert (band.low, band.value, band.high) == pytest.approx((level, level, level))
    assert fit.labels_for(level).value == 64
    if level:
        needed = fit.labels_for(level / 2)
        assert (needed.value, needed.low, needed.high) == (None, fit.largest, None)


def test_a_point_without_variance_does_not_dominate_the_fit():
    errors = SHAPES["pow3"](N)
    errors[-1] = 0.0
    samples = around(errors, 0.02)
    samples[:, -1] = 0.0
    fit = fit_learning_curve(N, errors, samples)
    assert float(fit.curve.error(2048)) > 0.02
    assert np.abs(fit.curve.error(N[:3]) - errors[:3]).max() < 0.04
    assert 0 <= fit.predict(4096).low <= fit.predict(4096).high <= 1


def test_errors_that_rise_by_noise_are_smoothed():
    errors = np.array([0.42, 0.30, 0.33, 0.24, 0.26, 0.21])
    fit = fit_learning_curve(N, errors, around(errors, 0.02))
    path = fit.curve.error(np.geomspace(64, fit.largest, 50))
    assert (np.diff(path) <= 0).all()
    assert np.abs(fit.curve.error(N) - errors).max() < 0.05


def test_errors_worse_than_chance_count_as_one():
    errors = np.array([1.02, 0.8, 0.6, 0.45, 0.35, 0.3])
    fit = fit_learning_curve(N, errors, errors + np.random.default_rng(0).normal(0, 0.02, (50, 6)))
    assert fit.errors[0] == 1
    assert fit.predict(64).high <= 1


def test_replicates_are_evenly_spaced_rows_and_repeatable():
    errors = SHAPES["pow3"](N)
    samples = around(errors, 0.01, rows=1000)
    one, two = fit_learning_curve(N, errors, samples), fit_learning_curve(N, errors, samples)
    assert len(one.rows) == len(one.replicates) == 200
    assert (one.rows[0], one.rows[-1]) == (0, 999)
    assert set(np.diff(one.rows)) <= {5, 6}
    assert one.predict(5000) == two.predict(5000)
    alone = fit_rows(one.form, N, samples[one.rows[7]], 1 / spread(samples) ** 2)
    assert errors_at(one.form, one.replicates[7:8], N, N) == pytest.approx(errors_at(one.form, alone, N, N), abs=1e-5)


def test_a_whole_fit_is_fast():
    errors = SHAPES["pow4"](N)
    samples = around(errors, 0.01, rows=200)
    start = time.process_time()
    fit_learning_curve(N, errors, samples)
    # 5 ms a refit would be 1 s; it is about 0.1 s
    assert time.process_time() - start < 1.0
