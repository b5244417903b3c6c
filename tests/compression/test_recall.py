"""Recall of each class before and after compression."""

from __future__ import annotations

import numpy as np
import pytest

from kit.compression.recall import loss_words, paired_interval, recall_changes, recall_line
from kit.measurement.baselines import MIN_CLASS_EXAMPLES
from kit.measurement.measure import LabelMeasure
from kit.measurement.translation import TranslationMeasure


def logits(guesses: list[int], classes: int) -> np.ndarray:
    return np.eye(classes)[guesses] * 4


def test_loss_of_a_rare_class_is_reported() -> None:
    targets = np.array([0] * 400 + [1] * 20)
    before = logits([0] * 400 + [1] * 3 + [0] * 17, 3)
    after = logits([0] * 400 + [1] * 2 + [0] * 18, 3)
    changes = recall_changes(before, after, targets, ("common", "rare", "never"), LabelMeasure("accuracy"))
    assert [change.label for change in changes] == ["rare", "common"], "a class without examples has no recall"
    worst = changes[0]
    assert (worst.count, worst.before, worst.after) == (20, 0.15, 0.1)
    assert worst.loss.value == pytest.approx(0.05) and worst.loss.low < 0 < worst.loss.high
    assert worst.words.startswith("'rare' from 15.0 % to 10.0 % (loss 5.0 points [") and "20 examples)" in worst.words
    assert recall_line(changes).endswith(
        "'rare' 15.0 -> 10.0 % (20 examples), 'common' 100.0 -> 100.0 % (400 examples)"
    )


def test_multi_label_recall_is_compared_per_label() -> None:
    targets = np.array([[1, 0], [1, 1], [0, 1], [0, 1]], np.float32)
    before, after = np.where(targets > 0, 2.0, -2.0), np.array([[2, -2], [-2, 2], [-2, 2], [-2, 2]], float)
    changes = recall_changes(before, after, targets, ("a", "b"), LabelMeasure("macro_f1", multi_label=True))
    assert [(c.label, c.count, c.before, c.after) for c in changes] == [("a", 2, 1.0, 0.5), ("b", 3, 1.0, 1.0)]
    assert "2 examples, too few to tell" in changes[0].words


def test_classes_with_few_examples_get_a_note() -> None:
    for count, few in ((MIN_CLASS_EXAMPLES - 1, True), (MIN_CLASS_EXAMPLES, False)):
        outputs = logits([0] * count, 2)
        changes = recall_changes(outputs, outputs, np.zeros(count, int), ("a", "b"), LabelMeasure("accuracy"))
        assert ("too few to tell" in changes[0].words) is few


def words_without_loss(*counts: int) -> str:
    """Return the phrase for unchanged predictions of classes with these numbers of examples."""
    targets = np.repeat(np.arange(len(counts)), counts)
    outputs, labels = logits(list(targets), len(counts)), [str(index) for index in range(len(counts))]
    changes = recall_changes(outputs, outputs, targets, labels, LabelMeasure("accuracy"))
    return loss_words(changes, len(labels), len(targets))


def test_unchanged_recall_is_claimed_only_with_enough_examples() -> None:
    assert words_without_loss(4, 4) == "loss of recall of any class: too few validation examples to tell (8)"
    assert words_without_loss(8, 0) == "loss of recall of any class: too few validation examples to tell (8)"
    assert words_without_loss(20, 20) == "no class lost recall on validation examples"
    assert words_without_loss(40, 3, 0) == (
        "no class lost recall on validation examples; "
        "2 of 3 classes have fewer than 20 of these examples, too few to tell"
    )


def test_translations_have_no_recall() -> None:
    outputs = np.array(["a"], object)
    assert recall_changes(outputs, outputs, outputs, (), TranslationMeasure("bleu")) == ()
    assert recall_line(()) == ""


def test_paired_interval_covers_the_true_difference() -> None:
    low, high = paired_interval(0, 0, 30)
    assert low < 0 < high and high == pytest.approx(-low)
    assert paired_interval(3, 1, 40, comparisons=10)[1] > paired_interval(3, 1, 40)[1]
    random, covered = np.random.default_rng(0), 0
    for _ in range(2000):  # 10 % of 40 examples are lost and 5 % gained: a difference of 0.05
        lost, gained, _ = random.multinomial(40, [0.1, 0.05, 0.85])
        low, high = paired_interval(int(lost), int(gained), 40)
        covered += low <= 0.05 <= high
    assert 0.93 < covered / 2000 < 0.99
