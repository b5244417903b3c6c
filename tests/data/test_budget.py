"""Stratified budgets, validation and test splits."""

import numpy as np
import pytest

from kit.data.budget import (
    hold_out,
    hold_out_sources,
    keep_covered,
    nested_budget,
    primary_class,
    split_off,
    stratified_order,
)
from kit.errors import BudgetError, DataError

SEEDS = range(4)
SIZES = {
    "balanced": [40] * 5,
    "skewed": [500, 120, 30, 6, 2, 1],
    "many small": [5] * 77,
    "two": [900, 100],
}


def classes_of(name: str) -> np.ndarray:
    labels = np.repeat(np.arange(len(SIZES[name])), SIZES[name])
    return np.random.default_rng(0).permutation(labels)


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("seed", SEEDS)
def test_every_prefix_has_all_classes_in_proportion(name: str, seed: int) -> None:
    labels = classes_of(name)
    order = stratified_order(labels, seed)
    assert sorted(order) == list(range(len(labels)))
    kinds = len(SIZES[name])
    assert len(set(labels[order[:kinds]])) == kinds
    shares = np.asarray(SIZES[name]) / len(labels)
    counts = np.zeros(kinds)
    for size, label in enumerate(labels[order], start=1):
        counts[label] += 1
        if size >= kinds:
            # The order begins with one example per class, so small classes are ahead by less than one example, and
            # large classes behind by at most the number of classes.
            ahead = counts - size * shares
            assert ahead.max() <= 1.5
            assert ahead.min() >= -kinds


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("seed", SEEDS)
def test_smaller_budgets_are_prefixes_of_larger_ones(name: str, seed: int) -> None:
    labels = classes_of(name)
    kinds = len(SIZES[name])
    whole = nested_budget(labels, None, seed)
    for size in (kinds, kinds + 1, 2 * kinds, len(labels) // 2, len(labels)):
        budget = nested_budget(labels, size, seed)
        assert list(budget) == list(whole[:size])
        assert set(labels[budget]) == set(range(kinds))


def test_equal_classes_get_equally_many_examples() -> None:
    labels = np.tile(np.arange(77), 30)
    assert set(np.bincount(labels[nested_budget(labels, 770, 3)])) == {10}


def test_budget_depends_on_the_seed() -> None:
    labels = classes_of("two")
    assert list(nested_budget(labels, 50, 1)) == list(nested_budget(labels, 50, 1))
    assert set(nested_budget(labels, 50, 1)) != set(nested_budget(labels, 50, 2))


def test_budget_below_the_number_of_classes_is_an_error() -> None:
    with pytest.raises(BudgetError) as caught:
        nested_budget(classes_of("many small"), 50, 0)
    assert caught.value.message == "data.budget: budget 50 cannot cover 77 classes"
    assert caught.value.hint == "every class needs a labelled example: set data.budget to 77 or more"


def test_budget_above_the_number_of_examples_is_an_error() -> None:
    with pytest.raises(BudgetError) as caught:
        nested_budget(classes_of("two"), 1001, 0)
    assert caught.value.message == "data.budget: budget 1001 is more than the 1000 available training examples"


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
def test_validation_has_its_share_and_train_all_classes(name: str, share: float) -> None:
    labels = classes_of(name)
    kinds = len(SIZES[name])
    for size in (2 * kinds, len(labels) // 2, len(labels)):
        chosen = labels[nested_budget(labels, size, 0)]
        train, validation = hold_out(chosen, share)
        assert sorted([*train, *validation]) == list(range(size))
        assert set(chosen[train]) == set(range(kinds))
        assert abs(len(validation) - share * size) <= 0.5 * kinds + 1
        for label, count in enumerate(np.bincount(chosen, minlength=kinds)):
            assert abs((chosen[validation] == label).sum() - share * count) < 2


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("seed", SEEDS)
def test_larger_budgets_keep_train_and_validation_of_smaller_ones(name: str, seed: int) -> None:
    labels = classes_of(name)
    kinds = len(SIZES[name])
    before: tuple[set[int], set[int]] = (set(), set())
    for size in (kinds, 2 * kinds, len(labels) // 2, len(labels)):
        budget = nested_budget(labels, size, seed)
        now = tuple(set(budget[part].tolist()) for part in hold_out(labels[budget], 0.1))
        assert before[0] <= now[0]
        assert before[1] <= now[1]
        before = now


def test_many_small_classes_still_give_validation_examples() -> None:
    labels = np.tile(np.arange(77), 5)
    assert 35 <= len(hold_out(labels, 0.1)[1]) <= 42


def test_limit_holds_out_only_the_first_examples() -> None:
    labels = classes_of("two")
    budget = nested_budget(labels, None, 0)
    free, limited = hold_out(labels[budget], 0.1), hold_out(labels[budget], 0.1, 30)
    assert len(free[1]) == 100
    assert limited[1].tolist() == free[1][:30].tolist()
    assert sorted([*limited[0], *limited[1]]) == list(range(1000))
    small = nested_budget(labels, 200, 0)
    assert set(small[hold_out(labels[small], 0.1, 30)[1]]) <= set(budget[limited[1]])


@pytest.mark.parametrize("seed", SEEDS)
def test_translations_of_a_source_are_in_the_same_split(seed: int) -> None:
    sources = np.random.default_rng(seed).integers(0, 300, 1000)
    before: tuple[set[int], set[int]] = (set(), set())
    for size in (200, 500, 1000):
        train, validation = hold_out_sources(sources[:size].tolist(), 0.1, 25)
        assert sorted([*train, *validation]) == list(range(size))
        now = set(sources[train].tolist()), set(sources[validation].tolist())
        assert not now[0] & now[1]
        assert abs(len(now[1]) - min(25, len(set(sources[:size].tolist())) / 10)) <= 1
        assert before[0] <= now[0] and before[1] <= now[1]
        before = now


def test_distinct_sources_are_held_out_like_examples_of_one_class() -> None:
    alone = hold_out_sources([f"source {number}" for number in range(700)], 0.1, 50)
    for part, other in zip(alone, hold_out(np.zeros(700, int), 0.1, 50), strict=True):
        assert part.tolist() == other.tolist()


def test_share_of_zero_holds_out_nothing() -> None:
    train, validation = hold_out([0, 1, 0, 1], 0)
    assert list(train) == [0, 1, 2, 3]
    assert len(validation) == 0


def test_split_off_takes_the_exact_count_and_keeps_unlabelled_rows() -> None:
    labels = np.concatenate([classes_of("two"), [-1, -1]])
    kept, held = split_off(labels, 200, 0)
    assert sorted([*kept, *held]) == list(range(1002))
    assert len(held) == 200
    assert abs((labels[held] == 1).sum() - 20) <= 1
    assert {1000, 1001} <= set(kept)
    assert len(split_off(labels, 0.3, 0)[1]) == 300


def test_split_off_never_takes_the_only_example_of_a_class() -> None:
    labels = classes_of("skewed")
    for seed in SEEDS:
        kept, held = split_off(labels, 0.5, seed)
        assert set(labels[kept]) == set(range(6))
        assert set(labels[held]) == set(range(5))


def test_split_off_of_too_many_examples_is_an_error() -> None:
    with pytest.raises(DataError) as caught:
        split_off([0, 0, 1, 1, 1], 4, 0)
    assert caught.value.message == (
        "data.test_size: 4 of 5 labelled rows cannot be split off, because each of the 2 classes needs one to train on"
    )
    assert caught.value.hint == "set data.test_size to 3 or less"


def test_primary_class_is_the_rarest_label() -> None:
    targets = np.asarray([[1, 1, 0], [1, 0, 0], [1, 0, 1], [0, 0, 0], [1, 1, 0]])
    assert list(primary_class(targets)) == [1, 0, 2, 3, 1]


def test_keep_covered_returns_an_example_of_a_held_out_label() -> None:
    targets = np.asarray([[1, 0], [1, 0], [1, 1], [0, 1]])
    kept, held = keep_covered(targets, np.asarray([0, 1]), np.asarray([2, 3]))
    assert list(kept) == [0, 1, 2]
    assert list(held) == [3]


@pytest.mark.parametrize("seed", range(3))
def test_balanced_budget_has_equally_many_examples_of_large_classes(seed) -> None:
    labels = np.repeat([0, 1, 2], [500, 40, 4])
    chosen = nested_budget(labels, 30, seed, balanced=True)
    assert np.bincount(labels[chosen]).tolist() == [13, 13, 4]
    assert set(chosen[:12]) == set(nested_budget(labels, 12, seed, balanced=True))
    proportional = np.bincount(labels[nested_budget(labels, 30, seed)])
    assert proportional[0] > 20
