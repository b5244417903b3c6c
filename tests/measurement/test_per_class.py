"""Results per class: scores, intervals, order and confusions."""

import numpy as np
import pytest

from kit.measurement.intervals import wilson_interval
from kit.measurement.metrics import per_class, tally
from kit.measurement.per_class import Confusion, class_scores, confusions

LABELS = ("billing", "legal", "login", "unused")


def _logits(predicted: list[int]) -> np.ndarray:
    return np.eye(len(LABELS))[predicted]


TARGETS = np.array([0, 0, 0, 0, 1, 1, 2, 2, 2])
PREDICTED = [0, 0, 0, 2, 0, 0, 2, 2, 2]  # legal is never predicted
PARTS = tally(_logits(PREDICTED), TARGETS)


def test_scores_equal_those_of_the_record() -> None:
    confusion = np.zeros((4, 4), int)
    np.add.at(confusion, (TARGETS, PREDICTED), 1)
    expected = per_class(confusion)
    for row in class_scores(PARTS, LABELS):
        index = LABELS.index(row.label)
        assert row.support == expected["support"][index]
        for name in ("precision", "recall", "f1"):
            estimate = getattr(row, name)
            assert (0.0 if estimate is None else estimate.value) == pytest.approx(expected[name][index])


def test_lowest_f1_is_first_and_an_unused_class_last() -> None:
    assert [row.label for row in class_scores(PARTS, LABELS)] == ["legal", "billing", "login", "unused"]


def test_scores_without_examples_or_predictions_are_none() -> None:
    rows = {row.label: row for row in class_scores(PARTS, LABELS)}
    assert rows["legal"].precision is None
    assert rows["legal"].recall is not None and rows["legal"].recall.value == 0
    assert rows["unused"].f1 is None and rows["unused"].recall is None


def test_intervals_contain_the_value_and_have_a_width_if_all_are_right() -> None:
    login = {row.label: row for row in class_scores(PARTS, LABELS)}["login"]
    assert login.recall is not None and login.f1 is not None
    assert (login.recall.low, login.recall.high) == pytest.approx(wilson_interval(3, 3))
    assert login.recall.low < 0.6
    assert login.f1.low < login.f1.value < login.f1.high


def test_f1_interval_covers_the_true_value() -> None:
    generator = np.random.default_rng(0)
    chances, covered = np.array([[0.7, 0.3], [0.2, 0.8]]), 0
    true_f1 = 2 * 0.1 * 0.8 / (0.1 + 0.9 * 0.3 + 0.1 * 0.8)
    for _ in range(400):
        targets = (generator.random(200) < 0.1).astype(int)
        predicted = (generator.random(200) < chances[targets, 1]).astype(int)
        estimate = next(row for row in class_scores(tally(np.eye(2)[predicted], targets), "ab") if row.label == "b").f1
        covered += estimate is not None and estimate.low <= true_f1 <= estimate.high
    assert 0.92 <= covered / 400 <= 0.98


def test_confusions_are_sorted_by_count() -> None:
    assert confusions(PARTS, LABELS) == [Confusion("legal", "billing", 2), Confusion("billing", "login", 1)]


def test_multi_label_scores_per_class() -> None:
    logits = np.array([[2.0, -1.0], [2.0, 2.0], [-2.0, 1.0]])
    rows = class_scores(tally(logits, np.array([[1, 0], [0, 1], [0, 1]]), multi_label=True), ["a", "b"])
    assert [(row.label, row.support) for row in rows] == [("a", 1), ("b", 2)]
    assert rows[0].precision is not None and rows[0].precision.value == 0.5
