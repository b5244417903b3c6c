"""Baselines agree with simulations of constant and random predictions."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef, precision_score, recall_score

from kit.data.balance import is_unbalanced
from kit.measurement.baselines import (
    balance_words,
    few_examples_words,
    label_baselines,
    label_set_baselines,
    metrics_to_show,
    run_baselines,
    run_set_baselines,
)
from kit.measurement.intervals import Estimate

SUPPORT = [50, 30, 15, 5]
LABELS = ("a", "b", "c", "d")


def test_the_majority_scores_like_a_constant_prediction() -> None:
    truth = np.repeat(np.arange(4), SUPPORT)
    always = np.full(100, 1)
    majority = label_baselines(SUPPORT, 1, LABELS, ordered=True).majority
    assert majority["accuracy"] == pytest.approx(accuracy_score(truth, always))
    assert majority["macro_f1"] == pytest.approx(f1_score(truth, always, average="macro", zero_division=0))
    assert majority["macro_precision"] == pytest.approx(
        precision_score(truth, always, average="macro", zero_division=0)
    )
    assert majority["macro_recall"] == pytest.approx(recall_score(truth, always, average="macro", zero_division=0))
    assert majority["mae"] == pytest.approx(np.abs(truth - 1).mean())
    assert majority["mcc"] == 0


def test_chance_is_the_mean_of_random_guesses() -> None:
    truth = np.repeat(np.arange(4), 20 * np.array(SUPPORT))
    random = np.random.default_rng(0)
    guesses = [random.integers(0, 4, len(truth)) for _ in range(50)]
    chance = label_baselines(SUPPORT, 0, LABELS, ordered=True).chance
    assert chance["accuracy"] == 0.25
    f1 = np.mean([f1_score(truth, guess, average="macro") for guess in guesses])
    assert chance["macro_f1"] == pytest.approx(f1, abs=0.005)
    assert np.mean([matthews_corrcoef(truth, g) for g in guesses]) == pytest.approx(chance["mcc"], abs=0.005)
    assert chance["mae"] == pytest.approx(np.mean([np.abs(truth - g).mean() for g in guesses]), abs=0.02)


def test_sets_of_labels_have_the_most_frequent_set_as_majority() -> None:
    truth = np.repeat([[1, 0, 0], [1, 1, 0], [0, 0, 1]], [50, 30, 20], axis=0)
    always = np.tile([1, 0, 0], (100, 1))
    baselines = label_set_baselines(truth.sum(axis=0).tolist(), 100, [0], LABELS[:3], 0.5)
    assert baselines.majority["exact_match"] == 0.5
    for average in ("macro", "micro"):
        expected = f1_score(truth, always, average=average, zero_division=0)
        assert baselines.majority[f"{average}_f1"] == pytest.approx(expected)
    assert baselines.chance["exact_match"] == 0.125
    random = np.random.default_rng(0)
    guesses = [f1_score(truth, random.random(truth.shape) < 0.5, average="macro") for _ in range(300)]
    assert baselines.chance["macro_f1"] == pytest.approx(np.mean(guesses), abs=0.01)


def test_the_majority_is_that_of_the_training_examples() -> None:
    baselines = run_baselines(("no", "yes"), {"no": 10, "yes": 90}, {"no": 78, "yes": 22}, ordered=False)
    assert (baselines.labels, baselines.majority["accuracy"]) == (("yes",), 0.22)
    sets = [("x",)] * 3 + [("x", "y")] * 5 + [()] * 2
    for most_frequent, exact in (([], 0.2), (None, 0.5)):  # None: as in earlier Records
        several = run_set_baselines(("x", "y"), {"x": 8, "y": 5}, sets, most_frequent)
        assert several.majority["exact_match"] == exact


def test_baselines_are_worded_beside_a_metric() -> None:
    baselines = label_baselines([22, 20, 20, 19, 19], 0, "abcde")
    assert baselines.beside("accuracy", Estimate(0.212, 0.18, 0.25)) == (
        "21.2 % [18.0, 25.0] (chance 20.0 %, majority 22.0 %)"
    )
    assert "always predicting 'a' (accuracy 22.0 %)" in baselines.not_beaten("accuracy", Estimate(0.3, 0.2, 0.4))
    assert baselines.not_beaten("accuracy", Estimate(0.3, 0.25, 0.4)) == ""
    assert baselines.words("bleu") == baselines.not_beaten("bleu", Estimate(0.1, 0.1, 0.1)) == ""


@pytest.mark.parametrize(
    ("counts", "expected"),
    [([50, 50], False), ([70, 30], True), ([69, 31], False), ([100, 50, 10], True), ([10, 9], False), ([5], False)],
)
def test_classes_are_unbalanced_by_ratio_or_share(counts, expected) -> None:
    assert is_unbalanced(counts) is expected
    assert metrics_to_show("accuracy", counts, False) == (("accuracy", "macro_f1") if expected else ("accuracy",))
    assert metrics_to_show("macro_f1", counts, True) == ("macro_f1",)


def test_classes_with_few_test_examples_are_named() -> None:
    assert few_examples_words({"a": 20, "b": 500, "never": 0}) == ""
    assert few_examples_words({"a": 1, "b": 500}).startswith("'a' has 1 test example, too few to trust ")
    many = few_examples_words({"a": 9, "b": 500, "c": 2, "d": 3, "e": 4})
    assert many.startswith("4 of 5 classes have fewer than 20 test examples ('c' 2, 'd' 3, 'e' 4 and 1 more), too few ")


def test_the_words_on_unbalanced_classes_name_the_metric() -> None:
    counts = {"billing": 90, "legal": 2}
    assert "`metric: macro_f1`" in balance_words(counts, "accuracy")
    assert balance_words(counts, "macro_f1").endswith("decisions use macro_f1")
    assert balance_words({"a": 5, "b": 5}, "accuracy") == ""
