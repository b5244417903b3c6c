"""The verdict: manual results, coverage of intervals, and words that match the figures."""

from __future__ import annotations

import numpy as np
import pytest

from kit.analysis.distillation_verdict import Cost, SeedOutputs, judge, ratio_words
from kit.measurement.intervals import bootstrap_scores
from kit.measurement.measure import LabelMeasure

COSTS = (Cost(30_000_000, 7_000_000, 2.0), Cost(90_000_000, 22_000_000, 6.0))


def logits(right: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return logits of two labels that are right where `right` is true."""
    answer = np.where(right, targets, 1 - targets)
    return np.stack([1.0 - answer, answer.astype(float)], axis=1)


def seeds(count: int, rates: tuple[float, float, float], examples: int = 1_000, seed: int = 0, with_control=True):
    """Return outputs of student, teacher and control that are right at these rates, and the targets."""
    random = np.random.default_rng(seed)
    targets = random.integers(0, 2, examples)
    hard = random.random(examples)  # easy examples are easy for all
    result = []
    for number in range(count):
        parts = [
            logits(0.7 * hard + 0.3 * random.random(examples) < np.quantile(0.7 * hard + 0.15, rate), targets)
            for rate in rates
        ]
        result.append(SeedOutputs(number, parts[0], parts[1], parts[2] if with_control else None))
    return result, targets


def verdict(answers, targets, **changes):
    settings = {"budget": 100, "costs": COSTS, **changes}
    return judge(answers, targets, LabelMeasure("accuracy"), **settings)


def test_the_figures_equal_manual_results() -> None:
    answers, targets = seeds(3, (0.79, 0.80, 0.75))
    result = verdict(answers, targets)
    rates = {
        kind: np.mean([(getattr(seed_outputs, kind).argmax(1) == targets).mean() for seed_outputs in answers])
        for kind in ("student", "teacher", "control")
    }
    assert result.student.value == pytest.approx(rates["student"])
    assert result.retained.value == pytest.approx(rates["student"] / rates["teacher"])
    assert result.retained.low < result.retained.value < result.retained.high
    agreement = np.mean(
        [(seed_outputs.student.argmax(1) == seed_outputs.teacher.argmax(1)).mean() for seed_outputs in answers]
    )
    assert result.agreement.value == pytest.approx(agreement)
    assert result.gain.difference.value == pytest.approx(rates["student"] - rates["control"])


def test_the_interval_of_the_retained_share_covers_it() -> None:
    """At least 90 of 100 simulated 95 % intervals contain the ratio of the true rates."""
    rates = (0.78, 0.80, 0.75)
    (many,), targets = seeds(1, rates, examples=200_000, seed=99)
    student, teacher = ((logits.argmax(1) == targets).mean() for logits in (many.student, many.teacher))
    truth = student / teacher
    inside = 0
    for seed in range(100):
        answers, targets = seeds(3, rates, seed=seed)
        result = verdict(answers, targets).retained
        inside += result.low <= truth <= result.high
    assert inside >= 90


@pytest.mark.parametrize(
    ("count", "rates", "words"),
    [
        (5, (0.80, 0.80, 0.70), "distillation helped: +"),
        (1, (0.80, 0.80, 0.70), "not tested: 1 seed (the bootstrap test"),
        (2, (0.70, 0.80, 0.78), "not tested: 2 seeds (the bootstrap test"),
        (3, (0.75, 0.80, 0.75), "no significant gain from distillation: "),
        (3, (0.70, 0.80, 0.78), "the control is better"),
    ],
)
def test_the_words_fit_the_figures(count, rates, words) -> None:
    answers, targets = seeds(count, rates)
    result = verdict(answers, targets)
    assert any(words in line for line in result.lines), result.lines
    if count < 3:
        assert not any("helped" in line or "hurt" in line or "better" in line for line in result.lines)


def test_without_controls_no_gain_is_reported() -> None:
    answers, targets = seeds(2, (0.79, 0.80, 0.75), with_control=False)
    result = verdict(answers, targets)
    assert result.control is None and result.gain is None
    assert not any("distillation" in line for line in result.lines)
    assert "67 % smaller" in result.lines[2] and "3.0x as fast" in result.lines[2]


def test_a_useless_teacher_has_no_retained_share() -> None:
    targets = np.zeros(50, np.int64)
    targets[:25] = 1
    never = logits(np.zeros(50, bool), targets)
    result = verdict([SeedOutputs(0, never, never, never)], targets)
    assert result.retained is None
    assert "the retained share is undefined" in result.lines[1]


def test_retained_shares_are_defined_and_not_negative() -> None:
    targets = np.ones(60, np.int64)
    right = np.zeros((3, 60), bool)
    right[0, :30] = right[1, :1] = True
    half, one, none = (logits(row, targets) for row in right)
    assert verdict([SeedOutputs(0, half, one, None)], targets).retained is None
    retained = verdict([SeedOutputs(0, one, half, None)], targets).retained
    assert retained is not None and 0 <= retained.low < retained.value < retained.high < 0.2
    assert verdict([SeedOutputs(0, none, half, None)], targets).retained.low == 0


def test_one_seed_has_the_interval_of_its_record() -> None:
    answers, targets = seeds(1, (0.79, 0.80, 0.75), with_control=False)
    result = verdict(answers, targets)
    assert result.teacher == bootstrap_scores(answers[0].teacher, targets, LabelMeasure("accuracy"))["accuracy"]


def test_several_labels_agree_when_all_of_them_do() -> None:
    targets = np.array([[1, 0, 1], [0, 1, 0], [1, 1, 1], [0, 0, 1]], np.float32)
    teacher = np.where(targets > 0, 2.0, -2.0)
    student = teacher.copy()
    student[0, 0] *= -1
    measure = LabelMeasure("macro_f1", multi_label=True)
    result = judge([SeedOutputs(0, student, teacher, None)], targets, measure, budget=10, costs=COSTS)
    assert result.agreement.value == pytest.approx(0.75)
    assert result.teacher.value == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("ours", "theirs", "words"),
    [
        (Cost(1, 1, 10.0), Cost(1, 1, 10.0), "about as fast"),
        (Cost(1, 1, 5.0, (3.0, 8.0)), Cost(1, 1, 10.0, (7.0, 12.0)), "about as fast"),
        (Cost(1, 1, 5.0, (4.0, 6.0)), Cost(1, 1, 10.0, (9.0, 12.0)), "2.0x as fast"),
        (Cost(1, 1, 10.0), Cost(1, 1, 5.0), "SLOWER: 2.0x the time"),
    ],
)
def test_times_are_compared_in_words(ours: Cost, theirs: Cost, words: str) -> None:
    assert ratio_words(ours, theirs) == words
