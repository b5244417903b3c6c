"""Points: samples equal the metrics, and intervals cover seeds and test examples."""

from __future__ import annotations

import time
from functools import cache

import numpy as np
import pytest
from scipy.stats import binomtest, norm
from scipy.stats import t as student

from kit.analysis.points import Run, errors, metric_samples, point
from kit.measurement import metrics
from kit.measurement.intervals import bootstrap_scores, resample_weights
from kit.measurement.measure import LabelMeasure


def answers(runs: int, n: int, classes: int, seed: int = 0) -> tuple[list[np.ndarray], np.ndarray]:
    generator = np.random.default_rng(seed)
    targets = generator.integers(0, classes, n)
    logits = generator.normal(size=(runs, n, classes))
    logits[:, np.arange(n), targets] += 1
    return list(logits), targets


@cache
def weights_of(n: int, resamples: int) -> np.ndarray:
    return np.concatenate(list(resample_weights(n, resamples, 0))) / n


def runs_of(right: np.ndarray, seeds: list[int] | None = None, resamples: int = 1000) -> list[Run]:
    """Return runs from (runs, n) right predictions."""
    samples = right.astype(float) @ weights_of(right.shape[1], resamples).T
    return [
        Run(f"r{seed}", seed, float(row.mean()), row, sample)
        for seed, row, sample in zip(seeds or range(len(right)), right, samples, strict=True)
    ]


def study(
    seeds: int, examples: int, seed_sd: float, repetitions: int, accuracy: float = 0.8
) -> tuple[np.ndarray, float]:
    """Return (repetitions, seeds, examples) right predictions, and the accuracy of an infinite study."""
    generator = np.random.default_rng([seeds, examples, round(1000 * seed_sd)])
    middle, spread = norm.ppf(accuracy), seed_sd / norm.pdf(norm.ppf(accuracy))
    of_seed = generator.normal(0, spread, (repetitions, seeds, 1))
    of_example = generator.normal(0, np.sqrt(0.8), (repetitions, 1, examples))
    noise = generator.normal(0, np.sqrt(0.2), (repetitions, seeds, examples))
    return middle + of_seed + of_example + noise > 0, float(norm.cdf(middle / np.sqrt(1 + spread**2)))


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1", "mcc", "mae"])
def test_samples_are_scores_of_the_drawn_examples(metric: str) -> None:
    logits, targets = answers(3, 60, 4)
    values, samples = metric_samples(
        logits, targets, LabelMeasure(metric, ordered=True, multi_label=False), resamples=40, seed=7
    )
    drawn = np.random.default_rng(7).integers(0, 60, (40, 60))
    for run, value, sample in zip(logits, values, samples, strict=True):
        assert value == pytest.approx(metrics.classification_scores(run, targets, ordered=True)[metric])
        expected = [metrics.classification_scores(run[rows], targets[rows], ordered=True)[metric] for rows in drawn]
        assert sample == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("metric", ["exact_match", "micro_f1", "macro_f1"])
def test_samples_of_several_labels(metric: str) -> None:
    generator = np.random.default_rng(3)
    logits = list(generator.normal(size=(2, 50, 4)))
    targets = (logits[0] + generator.normal(size=(50, 4)) > 0.3).astype(int)
    values, samples = metric_samples(
        logits, targets, LabelMeasure(metric, ordered=False, multi_label=True), resamples=30, seed=1
    )
    drawn = np.random.default_rng(1).integers(0, 50, (30, 50))
    for run, value, sample in zip(logits, values, samples, strict=True):
        assert value == pytest.approx(metrics.multi_label_scores(run, targets)[metric])
        expected = [metrics.multi_label_scores(run[rows], targets[rows])[metric] for rows in drawn]
        assert sample == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1"])
def test_batches_of_resamples_change_nothing(metric: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = answers(300, 40, 3)
    whole = metric_samples(*data, LabelMeasure(metric), resamples=25)
    monkeypatch.setattr("kit.measurement.intervals._CELLS", 280)
    for expected, result in zip(whole, metric_samples(*data, LabelMeasure(metric), resamples=25), strict=True):
        assert result == pytest.approx(expected, abs=1e-12)


def test_a_wrong_metric_is_reported() -> None:
    targets = np.zeros(5, int)
    values, samples = metric_samples([], targets, LabelMeasure("accuracy"), resamples=9)
    assert (values.shape, samples.shape) == ((0,), (0, 9))
    with pytest.raises(ValueError, match="metric exact_match does not fit a task with multi_label False"):
        metric_samples([], targets, LabelMeasure("exact_match"))
    with pytest.raises(ValueError, match="metric mae does not fit the task, which has accuracy"):
        metric_samples([np.eye(5)[:, :2]], targets, LabelMeasure("mae", ordered=True, multi_label=False))


def test_thousands_of_runs_take_seconds() -> None:
    targets = np.zeros(1000, int)
    logits = list(np.random.default_rng(0).normal(size=(1000, 1000, 2)).astype(np.float32))
    start = time.perf_counter()
    values, samples = metric_samples(logits * 5, targets, LabelMeasure("accuracy"))
    assert time.perf_counter() - start < 20  # 1 s on an idle core; machines that run tests are busy
    assert samples.shape == (5000, 1000)
    assert samples.mean(axis=1) == pytest.approx(values, abs=0.01)


def test_right_answers() -> None:
    assert LabelMeasure("accuracy").right(np.array([[2, 1], [0, 1]]), np.array([0, 0])).tolist() == [True, False]
    assert LabelMeasure("exact_match", multi_label=True).right(
        np.array([[2, -1], [1, 1]]), np.array([[1, 0], [1, 0]])
    ).tolist() == [True, False]


def test_one_seed_has_the_interval_of_the_test_sample() -> None:
    logits, targets = answers(1, 400, 3)
    values, samples = metric_samples(logits, targets, LabelMeasure("accuracy"))
    right = LabelMeasure("accuracy").right(logits[0], targets)
    result = point(64, [Run("a", 3, float(values[0]), right, samples[0])])
    expected = bootstrap_scores(logits[0], targets, LabelMeasure("accuracy"))["accuracy"]
    assert result.estimate.value == expected.value
    assert result.estimate.low == pytest.approx(expected.low, abs=0.002)
    assert result.estimate.high == pytest.approx(expected.high, abs=0.002)
    assert (result.budget, result.seed_sd, result.metric) == (64, None, "accuracy")


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_seeds_that_differ_have_the_interval_of_student(seeds: int) -> None:
    """All examples of a run are right, or all wrong, so that only seeds differ."""
    right = np.zeros((seeds, 30), bool)
    right[: seeds // 2] = True
    runs = runs_of(right, resamples=20_000)
    result = point(10, runs)
    values = right.mean(axis=1)
    error = values.std(ddof=1) / np.sqrt(seeds)
    low, high = np.quantile(result.replicates, [0.025, 0.975])
    assert result.seed_sd == pytest.approx(values.std(ddof=1))
    assert (high - low) / 2 == pytest.approx(student.ppf(0.975, seeds - 1) * error, rel=0.05)
    assert 0 <= result.estimate.low <= result.estimate.value <= result.estimate.high <= 1


def test_all_right_and_all_wrong_have_the_wilson_interval() -> None:
    for right, share in ((np.ones((3, 50), bool), 1.0), (np.zeros((1, 50), bool), 0.0), (np.ones((1, 1), bool), 1.0)):
        result = point(10, runs_of(right)).estimate
        examples = right.shape[1]
        expected = binomtest(round(share * examples), examples).proportion_ci(method="wilson")
        assert (result.value, result.low, result.high) == pytest.approx((share, expected.low, expected.high))


def test_intervals_stay_in_the_range_of_the_metric() -> None:
    right = np.random.default_rng(0).random((3, 10)) < np.array([[0.9], [0.9], [0.2]])
    result = point(10, runs_of(right))
    assert result.replicates.min() < 0
    assert result.estimate.low == 0
    assert result.estimate.high == 1
    assert point(10, runs_of(right), "mcc").estimate.low < 0


def test_points_with_the_same_seeds_are_paired() -> None:
    right = np.random.default_rng(2).random((4, 300)) < 0.7
    worse = right.copy()
    worse[:, :30] = False  # of the same examples for every seed
    first, second = point(10, runs_of(right)), point(20, runs_of(worse)[::-1])
    gap = first.replicates - second.replicates
    alone = point(10, runs_of(right, [4, 5, 6, 7])).replicates - second.replicates
    assert gap.std() < 0.5 * alone.std()
    assert [run.seed for run in second.runs] == [0, 1, 2, 3]
    assert (point(10, runs_of(right)).replicates == first.replicates).all()


@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
@pytest.mark.parametrize(("examples", "seed_sd"), [(200, 0.005), (200, 0.03), (1000, 0.01), (1000, 0.03)])
def test_intervals_cover_the_truth_at_their_level(seeds: int, examples: int, seed_sd: float) -> None:
    repetitions = 120
    right, truth = study(seeds, examples, seed_sd, repetitions)
    result = [point(10, runs_of(some)).estimate for some in right]
    covered = sum(estimate.low <= truth <= estimate.high for estimate in result)
    # 95 % of 120 is 114, and three standard errors are 7.
    assert covered >= 107
    width = np.mean([estimate.high - estimate.low for estimate in result])
    ideal = 2 * 1.96 * right.mean(axis=(1, 2)).std()  # the width for known variances
    assert width < ideal * {2: 5, 3: 2.2, 5: 1.6, 10: 1.35}[seeds]


def test_errors_are_one_minus_the_metric() -> None:
    points = [point(budget, runs_of(np.random.default_rng(budget).random((3, 20)) < 0.8)) for budget in (10, 20)]
    values, replicates = errors(points)
    assert values == pytest.approx([1 - measured.estimate.value for measured in points])
    assert replicates.shape == (1000, 2)
    assert replicates.min() == 0  # replicates of the metric lie above 1
    assert replicates[:, 1] == pytest.approx(np.clip(1 - points[1].replicates, 0, 1))
    assert errors([])[1].shape == (0, 0)


def test_invalid_runs_of_a_point_are_refused() -> None:
    runs = runs_of(np.ones((2, 5), bool))
    with pytest.raises(ValueError, match="at least one run"):
        point(10, [])
    with pytest.raises(ValueError, match="the same seed"):
        point(10, [runs[0], runs[0]])
    with pytest.raises(ValueError, match="differ in their test examples"):
        point(10, [runs[0], runs_of(np.ones((2, 6), bool))[1]])
