"""P values agree with independent references, and have their nominal error rate."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import binomtest, norm
from scipy.stats import t as student

from kit.analysis.comparison import Comparison, _tail, all_pairs, combined, compare, holm, mcnemar
from kit.analysis.points import Point, Run, point
from kit.measurement.intervals import Estimate, resample_weights


@cache
def weights_of(n: int, resamples: int) -> np.ndarray:
    return np.concatenate(list(resample_weights(n, resamples, 0))) / n


def make_point(right: np.ndarray, seeds: list[int] | None = None, budget: int = 64, metric: str = "accuracy") -> Point:
    """Return a point from (runs, n) right predictions."""
    samples = right.astype(float) @ weights_of(right.shape[1], 1000).T
    runs = [
        Run(f"r{seed}", seed, float(row.mean()), row, sample)
        for seed, row, sample in zip(seeds or range(len(right)), right, samples, strict=True)
    ]
    return point(budget, runs, metric)


def two_methods(
    seeds: int, examples: int, seed_sd: float, gap: float, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return (seeds, examples) right predictions of two methods that share hard examples, `gap` apart."""
    hard = generator.normal(0, np.sqrt(0.7), (1, examples))
    result = []
    for accuracy in (0.75 + gap, 0.75):
        middle = norm.ppf(accuracy)
        of_seed = generator.normal(0, seed_sd / norm.pdf(middle), (seeds, 1))
        result.append(middle + of_seed + hard + generator.normal(0, np.sqrt(0.3), (seeds, examples)) > 0)
    return result[0], result[1]


def one(a: Point, b: Point) -> Comparison:
    return compare([("a", a, "b", b)])[0]


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 1), (3, 8), (5, 5), (0, 12), (40, 62)])
def test_mcnemar_agrees_with_the_binomial_test(only_a: int, only_b: int) -> None:
    first = np.repeat([True, False, True, False], [only_a, only_b, 9, 4])
    second = np.repeat([False, True, True, False], [only_a, only_b, 9, 4])
    expected = binomtest(only_a, only_a + only_b).pvalue
    assert mcnemar(first, second) == pytest.approx(expected)
    assert mcnemar(second, first) == pytest.approx(expected)


def test_mcnemar_of_equal_predictions_is_1() -> None:
    assert mcnemar([True, False], [True, False]) == 1
    with pytest.raises(ValueError, match="differ in shape"):
        mcnemar([True], [True, False])


def test_p_values_are_combined_as_twice_their_median() -> None:
    assert combined([0.03]) == 0.03
    assert combined([0.01, 0.5, 0.04]) == pytest.approx(0.08)
    assert combined([0.9, 0.8]) == 1
    with pytest.raises(ValueError, match="no p values"):
        combined([])


def test_holm_by_hand() -> None:
    # Sorted: 0.005 x 4, 0.01 x 3, 0.03 x 2, 0.04 x 1, none below the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.5]) == pytest.approx([1, 1])
    assert holm([]).shape == (0,)


def test_holm_is_the_step_down_procedure() -> None:
    """The smallest p values are rejected, while each is below 0.05 / (remaining tests)."""
    generator = np.random.default_rng(0)
    for _ in range(50):
        p_values = generator.random(8) ** 4
        rejected = set()
        for left, index in zip(range(8, 0, -1), np.argsort(p_values), strict=True):
            if p_values[index] >= 0.05 / left:
                break
            rejected.add(int(index))
        adjusted = holm(p_values)
        assert set(np.flatnonzero(adjusted < 0.05).tolist()) == rejected
        assert all(small <= large for small, large in pairwise(adjusted[np.argsort(p_values)]))


def test_one_seed_is_the_paired_bootstrap_of_examples() -> None:
    generator = np.random.default_rng(1)
    first, second = two_methods(1, 400, 0, 0.04, generator)
    result = one(make_point(first), make_point(second))
    gaps = first[0].astype(int) - second[0].astype(int)
    drawn = gaps[generator.integers(0, 400, (20_000, 400))].mean(axis=1)
    assert result.difference.value == pytest.approx(gaps.mean())
    assert (result.difference.low, result.difference.high) == pytest.approx(
        np.quantile(drawn, [0.025, 0.975]), abs=0.006
    )
    above, below = (np.mean(some) + np.mean(drawn == 0) / 2 for some in (drawn > 0, drawn < 0))
    assert result.p_bootstrap == pytest.approx(2 * min(above, below), abs=0.05)
    assert result.p_mcnemar == pytest.approx(mcnemar(first[0], second[0]))
    assert (result.seeds, result.one_run) == (1, True)
    assert (result.only_a, result.only_b) == ((gaps == 1).sum(), (gaps == -1).sum())
    assert "; not tested: 1 seed; the bootstrap test over seeds and test examples needs 3 seeds" in result.line


def test_paired_seed_variance_does_not_hide_a_difference() -> None:
    generator = np.random.default_rng(4)
    base = generator.random((5, 500)) < np.array([[0.6], [0.65], [0.7], [0.75], [0.8]])
    better = base | (generator.random((5, 500)) < 0.1)
    paired = one(make_point(better), make_point(base))
    apart = one(make_point(better), make_point(base, [5, 6, 7, 8, 9]))
    assert paired.significant
    assert not apart.significant
    assert (paired.seeds, apart.seeds) == (5, 0)
    assert paired.difference.value == pytest.approx(apart.difference.value)
    assert paired.only_b == apart.only_b - apart.only_a + paired.only_a == 0
    assert apart.line.startswith("a and b at 64 labels: accuracy +")
    assert "not tested: no seed in common" in apart.line


def test_some_common_seeds_are_paired() -> None:
    generator = np.random.default_rng(4)
    first, second = two_methods(5, 300, 0.01, 0.05, generator)
    result = one(make_point(first), make_point(second[:3], [0, 1, 7]))
    assert result.seeds == 2
    assert result.only_a == round(np.mean([(first[k] & ~second[k]).sum() for k in (0, 1)]))
    assert result.difference.low < result.difference.value < result.difference.high


def test_swapping_a_and_b_negates_the_difference() -> None:
    first, second = two_methods(3, 300, 0.01, 0.05, np.random.default_rng(9))
    a, b = make_point(first), make_point(second)
    forward, backward = compare([("a", a, "b", b), ("b", b, "a", a)])
    assert backward.difference.value == -forward.difference.value
    assert (backward.difference.low, backward.difference.high) == pytest.approx(
        (-forward.difference.high, -forward.difference.low)
    )
    assert (backward.only_a, backward.only_b) == (forward.only_b, forward.only_a)
    assert backward.p_bootstrap == pytest.approx(forward.p_bootstrap)
    assert backward.line == forward.line


@pytest.mark.parametrize("seeds", [1, 3])
def test_equal_predictions_have_no_difference(seeds: int) -> None:
    right = np.random.default_rng(0).random((seeds, 100)) < 0.7
    result = one(make_point(right), make_point(right))
    assert (result.difference.value, result.p_bootstrap, result.p_mcnemar) == (0, 1, 1)
    # No example of 100 is predicted differently; up to 3.7 % of all texts may be (Wilson).
    expected = binomtest(0, 100).proportion_ci(method="wilson").high
    assert (result.difference.low, result.difference.high) == pytest.approx((-expected, expected))


def test_a_single_example_proves_nothing() -> None:
    result = one(make_point(np.ones((1, 1), bool)), make_point(np.zeros((1, 1), bool)))
    assert (result.difference.value, result.p_bootstrap) == (1, 1)
    assert result.difference.low < 0
    assert result.difference.high == 1


def test_all_right_against_all_wrong_is_mcnemars_test() -> None:
    result = one(make_point(np.ones((2, 12), bool)), make_point(np.zeros((2, 12), bool)))
    assert result.p_bootstrap == pytest.approx(2 * 2 * 0.5**12)
    assert not result.significant  # whatever p is, two seeds are too few
    assert "not tested: 2 seeds" in result.line
    assert one(make_point(np.ones((3, 12), bool)), make_point(np.zeros((3, 12), bool))).significant


@pytest.mark.parametrize(("seeds", "seed_sd"), [(2, 0.005), (2, 0.02), (3, 0.03), (5, 0.005), (5, 0.03)])
def test_equal_methods_are_rarely_significant(seeds: int, seed_sd: float) -> None:
    generator = np.random.default_rng([seeds, round(1000 * seed_sd)])
    repetitions = 150
    result = [
        one(*(make_point(right) for right in two_methods(seeds, 400, seed_sd, 0, generator)))
        for _ in range(repetitions)
    ]
    wrong = sum(comparison.p_bootstrap < 0.05 for comparison in result)
    assert wrong <= 15  # 5 % are 7.5, and three standard errors are 8
    outside = sum(not comparison.difference.low <= 0 <= comparison.difference.high for comparison in result)
    assert abs(outside - wrong) <= 2  # interval and p value agree


def test_different_methods_are_significant() -> None:
    generator = np.random.default_rng(8)
    result = [one(*map(make_point, two_methods(5, 400, 0.01, 0.06, generator))) for _ in range(40)]
    assert sum(comparison.significant for comparison in result) >= 32
    assert all(comparison.difference.value > 0 for comparison in result)


def test_a_clear_difference_survives_many_comparisons() -> None:
    """With 1,000 replicates a count alone could not fall below 0.002, 0.09 after the correction for 45."""
    generator = np.random.default_rng(0)
    hard = generator.normal(size=500)
    points = [
        make_point(norm.ppf(0.7 if index else 0.95) * 1.4 + hard + generator.normal(size=(5, 500)) > 0)
        for index in range(10)
    ]
    result = all_pairs([(f"m{index}", [item]) for index, item in enumerate(points)])
    assert len(result) == result[0].together == 45
    assert {comparison.b for comparison in result if comparison.significant} >= {f"m{index}" for index in range(1, 10)}
    assert not any(comparison.significant for comparison in result if comparison.a != "m0")


def test_pairs_are_compared_at_the_largest_budget_they_share() -> None:
    right = np.random.default_rng(0).random((2, 30)) < 0.7

    def at(*budgets: int) -> list[Point]:
        return [make_point(right, budget=budget) for budget in budgets]

    result = all_pairs([("a", at(10, 20, 40)), ("b", at(10, 20)), ("c", at(20, 10)), ("d", at(80))])
    assert [(item.a, item.b, item.budget) for item in result] == [("a", "b", 20), ("a", "c", 20), ("b", "c", 20)]
    assert all_pairs([]) == ()


@pytest.mark.parametrize(("normal_sd", "scale"), [(1.0, 0.5), (0.2, 1.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1e-6)])
def test_tails_agree_with_simulation(normal_sd: float, scale: float) -> None:
    generator = np.random.default_rng(0)
    drawn = normal_sd * generator.normal(size=400_000) + scale * student.rvs(4, size=400_000, random_state=generator)
    for distance in (0.0, 1.0, 2.0):
        assert _tail(distance, normal_sd, scale, 4) == pytest.approx((drawn > distance).mean(), abs=0.003)


def test_a_normal_tail_has_no_floor() -> None:
    assert _tail(6.0, 1.0, 0.0, 1.5) == pytest.approx(norm.sf(6), rel=1e-9)
    assert _tail(6.0, 1.0, 1e-6, 4) == pytest.approx(norm.sf(6), rel=0.05)


def test_lines_describe_comparisons() -> None:
    result = Comparison("a", "b", 1024, Estimate(-0.032, -0.053, -0.011), 0.002, 0.004, 0.0063, 5, 10, 42, together=3)
    assert result.line == (
        "b is better than a at 1,024 labels: accuracy +3.2 points [1.1, 5.3], p = 0.0063 (corrected for 3 comparisons)"
    )
    assert "p < 0.001 (" in replace(result, p_holm=2e-5).line
    unclear = Comparison("a", "b", 64, Estimate(0.004, -0.01, 0.018), 0.61, 0.5, 0.61, 5, 10, 9, metric="mcc")
    assert unclear.line == "no significant difference: a and b at 64 labels: mcc +0.004 [-0.010, 0.018], p = 0.61"


@pytest.mark.parametrize("seeds", [0, 1, 2, 3, 5])
@pytest.mark.parametrize(("low", "high"), [(0.01, 0.05), (-0.01, 0.05), (-0.05, -0.01), (0.0, 0.05)])
@pytest.mark.parametrize(("p", "together"), [(0.01, 1), (0.2, 1), (0.2, 4)])
def test_words_never_contradict_the_interval(seeds, low, high, p, together) -> None:
    value = (low + high) / 2
    comparison = Comparison("a", "b", 64, Estimate(value, low, high), p, p, p, seeds, 1, 2, together=together)
    assert comparison.significant == ("is better than" in comparison.line)
    assert ("not tested" in comparison.line) == (seeds < 3)
    if low <= 0 <= high:
        assert not comparison.significant
    else:
        assert "no significant difference" not in comparison.line


def test_untested_pairs_do_not_affect_the_correction() -> None:
    right = np.random.default_rng(3).random((3, 60)) < 0.7
    whole, few = make_point(right), make_point(right[:2])
    comparisons = compare([("a", whole, "b", whole), ("a", whole, "c", few)])
    assert [comparison.together for comparison in comparisons] == [1, 1]


def test_points_that_cannot_be_compared_are_refused() -> None:
    right = np.ones((1, 10), bool)
    for other, what in (
        (make_point(right, budget=32), "budget is 64 and 32"),
        (make_point(right, metric="mcc"), "metric is accuracy and mcc"),
        (make_point(right[:, :9]), "number of test examples is 10 and 9"),
    ):
        with pytest.raises(ValueError, match=f"a and b cannot be compared: their {what}"):
            one(make_point(right), other)
