"""Failed seeds are flagged; seeds that are only worse are not."""

from __future__ import annotations

import numpy as np
import pytest

from kit.analysis.failed_seeds import failed_to_train, fitness
from kit.training.diagnosis import Verdict

# Accuracy on training examples at the end of training.
TRAINED_BADLY, TRAINED_WELL = 0.53, 0.99


def answers(right: float, n: int = 400, classes: int = 2, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return logits that are right with this probability, and balanced targets."""
    generator = np.random.default_rng(seed)
    targets = np.arange(n) % classes
    others = (targets + generator.integers(1, classes, n)) % classes
    return np.eye(classes)[np.where(generator.random(n) < right, targets, others)], targets


def constant(n: int = 400, share: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """Return logits that always predict label 0, which this share of the examples has."""
    return np.tile([1.0, 0.0], (n, 1)), (np.arange(n) >= share * n).astype(int)


def test_a_run_at_chance_on_training_examples_failed() -> None:
    flag_words = failed_to_train(0.5, *constant(), TRAINED_BADLY, [0.8, 0.79, 0.81])
    assert flag_words == (
        "failed to train: no better than the most frequent label, also on training examples "
        "(50.0 % right, the most frequent label has 50.0 %)"
    )
    assert failed_to_train(0.5, *constant(), TRAINED_BADLY, []) == flag_words


@pytest.mark.parametrize(
    ("train_metric", "peers"),
    [
        (TRAINED_BADLY, [0.51, 0.49, 0.5]),  # the whole method is at chance
        (TRAINED_WELL, [0.8, 0.8]),  # it learned only its training examples
        (None, [0.8, 0.8]),
        (None, []),
    ],
)
def test_other_runs_at_chance_are_compared_with_the_majority(train_metric: float | None, peers: list[float]) -> None:
    flag_words = failed_to_train(0.5, *constant(), train_metric, peers)
    assert flag_words.startswith("no better than the most frequent label (50.0 % right")


def test_chance_need_not_be_constant() -> None:
    logits, targets = answers(0.5)
    assert failed_to_train(0.5, logits, targets, None, []).startswith("no better than the most frequent label")


@pytest.mark.parametrize("right", [0.6, 0.8, 1.0])
def test_runs_that_learned_something_are_not_flagged(right: float) -> None:
    logits, targets = answers(right)
    assert failed_to_train(right, logits, targets, TRAINED_WELL, [right, right + 0.01]) == ""


def test_trading_a_frequent_for_a_rare_label_is_not_flagged() -> None:
    targets = np.repeat([0, 1], [360, 40])
    guess = np.concatenate([np.repeat([0, 1], [325, 35]), np.repeat([0, 1], [8, 32])])
    assert (guess == targets).mean() < 0.9  # the share of label 0
    assert failed_to_train(0.75, np.eye(2)[guess], targets, TRAINED_BADLY, []) == ""


def test_a_nearly_constant_prediction_is_flagged() -> None:
    targets = np.arange(400) % 4
    guess = np.zeros(400, int)
    guess[[1, 2, 3]] = [1, 2, 3]  # three right answers in 400 are no sign of learning
    flag_words = failed_to_train(0.26, np.eye(4)[guess], targets, None, [])
    assert flag_words.startswith("no better than the most frequent label (25.8 % right")
    rare = np.repeat([0, 1], [990, 110])
    flag_words = failed_to_train(0.91, np.eye(2)[np.repeat([0, 1], [1090, 10])], rare, TRAINED_WELL, [0.91])
    assert flag_words == "predicts the same for 99.1 % of the test examples"


def test_a_run_far_below_the_other_seeds_is_flagged() -> None:
    logits, targets = answers(0.7)
    assert failed_to_train(0.7, logits, targets, TRAINED_WELL, [0.8, 0.81, 0.79, 0.8]) == (
        "10.0 points below the median of the other seeds"
    )
    assert failed_to_train(0.7, logits, targets, TRAINED_WELL, [0.8, 0.81, 0.79]) == ""  # too few peers
    assert failed_to_train(0.76, logits, targets, TRAINED_WELL, [0.8, 0.8, 0.8, 0.8]) == ""  # within 5 points
    assert failed_to_train(0.7, logits, targets, TRAINED_WELL, [0.7, 0.9, 0.75, 0.85]) == ""  # others differ as much
    assert failed_to_train(0.9, logits, targets, TRAINED_WELL, [0.7, 0.7, 0.7, 0.7]) == ""  # above


def test_several_labels() -> None:
    generator = np.random.default_rng(0)
    targets = (generator.random((300, 4)) < 0.2).astype(int)
    nothing = np.full((300, 4), -1.0)
    assert failed_to_train(0.0, nothing, targets, 0.0, [0.5]).startswith("failed to train")
    flag_words = np.where((targets == 1) | (generator.random((300, 4)) < 0.25), 1.0, -1.0)
    right = (flag_words > 0) == targets
    none_at_all = (targets == 0).all(axis=1).mean()
    assert right.all(axis=1).mean() < none_at_all  # exact match below that of no label at all
    assert failed_to_train(0.6, flag_words, targets, TRAINED_WELL, []) == ""


def test_a_test_set_of_one_label_flags_nothing() -> None:
    assert failed_to_train(1.0, np.array([[1.0, 0.0]]), np.array([0]), None, []) == ""
    assert failed_to_train(1.0, np.tile([1.0, 0.0], (50, 1)), np.zeros(50, int), None, [1.0] * 5) == ""


def test_verdicts_have_a_fitness() -> None:
    verdicts: dict[Verdict, str] = {
        "still improving": "under-fitted",
        "converged": "well fitted",
        "overfitting": "over-fitted",
        "too few validation examples": "unknown",
        "unknown": "unknown",
    }
    for verdict, expected in verdicts.items():
        assert fitness(verdict) == expected
    assert fitness("") == "unknown"
