"""Sequential decisions: bounds, claims, dropped series, open options, and the simulated rate of wrong claims."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from kit.analysis.advice_options import Wish
from kit.analysis.looks import spent
from kit.analysis.mean_bounds import Mean, means_of, moderate
from kit.analysis.points import Run, point
from kit.analysis.sequential import Candidate, Look, Open, Verdict, look

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "sequential.py"
SEEDS = {40: 5, 80: 5, 160: 5}
TARGET = Wish(target=0.8)
TESTS = 2_000


def series(name: str, *means: float, seeds: tuple[int, ...] = (1, 1, 1), excluded: str = "") -> Candidate:
    """Return a series of which the models are right on the first examples: their sample parts move together."""
    points = [
        point(budget, [run(mean, seed) for seed in range(count)])
        for budget, mean, count in zip(SEEDS, means, seeds, strict=True)
        if count
    ]
    return Candidate(name, SEEDS, tuple(points), excluded)


def run(mean: float, seed: int) -> Run:
    correct = np.arange(TESTS) < TESTS * (mean + 0.002 * (seed - 1))
    generator = np.random.default_rng(0)
    samples = np.array([correct[generator.integers(0, TESTS, TESTS)].mean() for _ in range(200)])
    return Run("", seed, float(correct.mean()), correct=correct, samples=samples)


def test_an_unmeasured_study_begins_with_a_coarse_round() -> None:
    first = look([Candidate("a", {20: 3, 40: 3, 80: 3, 160: 3, 320: 3})], TARGET)
    assert first.open == (Open("a", 20, 1), Open("a", 80, 1), Open("a", 320, 1))
    assert (first.number, first.sure, first.choice) == (0, False, None)


def test_one_seed_claims_nothing() -> None:
    first = look([series("a", 0.85, 0.9, 0.95)], TARGET)
    assert (first.number, first.sure) == (0, False)
    assert first.choice is not None and first.choice.labels == 40
    assert first.open[0] == Open("a", 40, 3)


def test_three_seeds_far_above_the_target_are_sure() -> None:
    present = look([series("a", 0.9, 0.92, 0.95, seeds=(3, 1, 1)), series("b", 0.5, 0.6, 0.7)], TARGET)
    assert present.sure and present.cheapest and not present.open
    assert present.choice is not None and (present.choice.series, present.choice.labels) == ("a", 40)
    assert present.claim.startswith("a with 40 labels reaches accuracy 80.0 % (at least 8")
    assert present.dropped == {"b": "needs at least as many labels as a with 40 labels"}


def test_budgets_are_claimed_from_the_largest_down() -> None:
    present = look([series("a", 0.9, 0.92, 0.79, seeds=(3, 1, 3))], TARGET)
    assert [one.verdict for one in present.options] == [Verdict.OPEN] * 3


def test_a_failing_budget_fails_all_smaller_ones() -> None:
    present = look([series("a", 0.5, 0.55, 0.6, seeds=(1, 1, 3))], TARGET)
    assert {one.verdict for one in present.options} == {Verdict.FAILS}
    assert present.sure and present.choice is None
    assert present.claim == "no variant reaches accuracy 80.0 % with up to 160 labels"
    assert "certain to miss 80.0 % with 160 labels" in present.dropped["a"]


def test_a_choice_at_the_target_stays_open_or_undecided() -> None:
    present = look([series("a", 0.7, 0.75, 0.803, seeds=(1, 1, 5))], TARGET)
    assert not present.sure and not present.open
    assert "may miss 80.0 %" in present.claim


def test_budgets_between_are_measured_where_the_curve_crosses() -> None:
    wide = {20: 5, 40: 5, 80: 5, 160: 5, 320: 5}
    points = [point(budget, [run(mean, 0)]) for budget, mean in ((20, 0.6), (80, 0.7), (320, 0.95))]
    present = look([Candidate("a", wide, tuple(points))], TARGET)
    assert Open("a", 160, 1) in present.open
    assert not any(one.labels < 80 for one in present.open)


def test_a_target_below_the_majority_needs_a_better_model() -> None:
    candidates = [series("a", 0.79, 0.79, 0.79, seeds=(3, 3, 3))]
    assert look(candidates, Wish(target=0.5), floor=0.5).sure
    assert not look(candidates, Wish(target=0.5), floor=0.79).sure


def test_a_claim_below_the_majority_names_the_majority() -> None:
    present = look([series("a", 0.6, 0.6, 0.6, seeds=(3, 3, 3))], Wish(target=0.4), floor=0.6)
    assert not present.sure
    assert "may miss the 60.0 % of the majority rule" in present.claim


def test_the_guess_is_measured_first() -> None:
    present = look([series("a", 0.79, 0.8, 0.801), series("b", 0.78, 0.9, 0.95)], TARGET)
    assert present.choice is not None
    guess = (present.choice.series, present.choice.labels)
    assert len(present.open) > 1 and (present.open[0].series, present.open[0].labels) == guess


def test_series_beyond_a_limit_are_dropped_with_their_reason() -> None:
    present = look([series("a", 0.9, 0.9, 0.9, excluded="9 ms per text, above 2 ms")], TARGET)
    assert present.dropped == {"a": "9 ms per text, above 2 ms"}
    assert present.sure and present.claim == "no variant is within the limits"


def test_the_best_by_far_is_sure_without_a_target() -> None:
    candidates = [series("a", 0.7, 0.8, 0.9, seeds=(1, 1, 3)), series("b", 0.6, 0.65, 0.7, seeds=(1, 1, 3))]
    present = look(candidates, Wish(), floor=0.5)
    assert present.sure and present.choice is not None and present.choice.series == "a"
    assert present.dropped == {"b": "certain to be worse than a"}
    assert "within 1.0 points of the best choice" in present.claim
    assert not look(candidates, Wish(), floor=0.9).sure


def test_rivals_get_the_seeds_of_the_choice() -> None:
    candidates = [series("a", 0.7, 0.8, 0.9, seeds=(1, 1, 3)), series("b", 0.6, 0.65, 0.89)]
    assert look(candidates, Wish()).open == (Open("b", 160, 3),)


def test_looks_are_counted_only_with_new_evidence() -> None:
    candidates = [series("a", 0.7, 0.75, 0.82, seeds=(1, 1, 3))]
    first = look(candidates, TARGET)
    again = look(candidates, TARGET, earlier=first)
    more = look([series("a", 0.7, 0.75, 0.82, seeds=(1, 1, 5))], TARGET, earlier=first)
    assert (first.number, again.number, more.number) == (1, 1, 2)


def test_bounds_of_earlier_looks_stay_valid() -> None:
    first = look([series("a", 0.7, 0.75, 0.9, seeds=(1, 1, 3))], TARGET)
    later = look([series("a", 0.7, 0.75, 0.9, seeds=(1, 1, 4))], TARGET, earlier=Look(9, first.options))
    assert later.options[-1].low == first.options[-1].low


def test_all_looks_together_spend_five_percent() -> None:
    assert sum(spent(number) for number in range(1, 10_000)) == pytest.approx(0.05, abs=1e-5)


def test_equal_variances_are_pooled_and_different_ones_kept() -> None:
    generator = np.random.default_rng(0)
    equal = generator.chisquare(4, 12) / 4
    pooled, freedom = moderate(equal, np.full(12, 4.0))
    assert np.ptp(pooled) < np.ptp(equal) / 2 and freedom.min() > 10
    different = equal * 4.0 ** np.arange(12)
    kept, freedom = moderate(different, np.full(12, 4.0))
    assert np.allclose(kept[-4:], different[-4:], rtol=0.3) and freedom.max() < 6


def test_unknown_variances_become_the_typical_one() -> None:
    moderated, freedom = moderate(np.array([np.nan, 4.0, 4.0]), np.array([0.0, 2.0, 2.0]))
    assert moderated[0] == pytest.approx(4.0) and freedom[0] == 1


def test_perfect_models_have_a_bound_below_one() -> None:
    perfect = means_of([[run(1.5, seed) for seed in range(3)]])[0]
    low, high = perfect.bounds(0.001, "accuracy")
    assert 0.99 < low < 0.998 and high == pytest.approx(1)


def test_more_seeds_narrow_the_seed_part_only() -> None:
    mean = Mean(0.8, 3, sample=0.01, deviation=0.02, freedom=10, examples=500)
    assert mean.width(0.01) > mean.width(0.01, seeds=10) > Mean(0.8, 3, 0.01, 0.0, 10, 500).width(0.01)


@pytest.fixture(scope="module")
def simulation() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sequential_benchmark", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("kind", "target"), [("at", 0.8), ("hair below", 0.8), ("one ahead", None), ("spread", None)])
def test_sure_is_wrong_in_few_studies(simulation: ModuleType, kind: str, target: float | None) -> None:
    ends = simulation.simulate(kind, Wish(target), 60)
    assert sum(end.wrong for end in ends) <= 3
    assert sum(end.wrongly_cheapest for end in ends) <= 3


def test_a_clear_choice_is_sure_after_a_part_of_the_grid(simulation: ModuleType) -> None:
    ends = simulation.simulate("spread", TARGET, 40)
    assert np.mean([end.sure for end in ends]) > 0.6
    assert np.median([end.cost for end in ends]) < 0.5
