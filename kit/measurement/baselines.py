"""Scores of two rules that read no text.

For labels, they are a uniform random guess and the most frequent training label; for numbers, the median and the mean
of the training labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kit.data.balance import is_unbalanced
from kit.measurement.intervals import Estimate, shown
from kit.measurement.logits import Floats
from kit.measurement.metrics import scores
from kit.measurement.regression import RegressionMeasure
from kit.measurement.units import shown_value

MIN_CLASS_EXAMPLES = 20  # with fewer examples, the recall of a class is too coarse to trust or to compare
_MOST_NAMED = 3


@dataclass(frozen=True)
class Baselines:
    """Scores on the test examples, by metric; empty for tasks without labels.

    Attributes:
        chance: Expected score of a uniform random guess; in multi-label tasks each label is guessed with probability
            1/2.
        majority: Score of always predicting `labels`, or the mean.
        labels: Most frequent label (or set of labels) of the training examples.
        names: Names of the two rules.
        number: Mean of the training labels, if they are numbers; `chance` is then the score of their median.
    """

    chance: Mapping[str, float] = field(default_factory=dict)
    majority: Mapping[str, float] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    names: tuple[str, str] = ("chance", "majority")
    number: float | None = None

    @property
    def by_name(self) -> dict[str, Mapping[str, float]]:
        """Scores of the two rules by name; empty scores if they are unknown."""
        return dict(zip(self.names, (self.chance, self.majority), strict=True))

    @property
    def always(self) -> str:
        """The majority rule in words: `always predicting 'no'`."""
        if self.number is not None:
            return f"always predicting the mean, {self.number:.4g}"
        labels = " and ".join(f"'{label}'" for label in self.labels) or "no label"
        return f"always predicting {labels}"

    def words(self, metric: str) -> str:
        """Return `chance 20.0 %, majority 22.0 %`, or the one of the two that has this metric."""
        parts = self.by_name.items()
        return ", ".join(f"{name} {shown_value(metric, values[metric])}" for name, values in parts if metric in values)

    def beside(self, metric: str, estimate: Estimate) -> str:
        """Return the estimate with the baselines: `21.2 % [18.0, 24.5] (chance 20.0 %, majority 22.0 %)`."""
        words = self.words(metric)
        return f"{shown(metric, estimate)} ({words})" if words else shown(metric, estimate)

    def not_beaten(self, metric: str, estimate: Estimate) -> str:
        """Return a sentence that the estimate is not better than the majority; empty if its interval lies above."""
        if metric not in self.majority or estimate.low > self.majority[metric]:
            return ""
        value = shown_value(metric, self.majority[metric])
        return f"not better than {self.always} ({metric} {value}): the interval does not lie above it"


def label_baselines(
    support: Sequence[int], majority: int, labels: Sequence[str], *, ordered: bool = False
) -> Baselines:
    """Return the baselines of a task with one label per example.

    Args:
        support: Test examples of each label, in the order of `labels`.
        majority: Index of the most frequent training label.
        labels: Names of the labels.
        ordered: Whether the labels have an order.
    """
    truth = np.asarray(support, np.float64)
    n, k = float(truth.sum()), len(truth)
    if n == 0:
        return Baselines()
    always = np.eye(k)[majority]
    chance = _averages(truth / k, np.full(k, n / k), truth)
    chance |= {"accuracy": 1 / k, "mcc": 0.0, "log_loss": float(np.log(k)), "brier": 1 - 1 / k}
    constant = _averages(always * truth, always * n, truth)
    constant |= {"accuracy": float(truth[majority] / n), "mcc": 0.0}
    if ordered and k > 2:
        distances = np.abs(np.arange(k)[:, None] - np.arange(k))
        chance["mae"] = float(truth @ distances.mean(axis=1) / n)
        constant["mae"] = float(truth @ distances[:, majority] / n)
    return Baselines(chance, constant, (labels[majority],))


def label_set_baselines(
    support: Sequence[int], examples: int, majority: Sequence[int], labels: Sequence[str], exact: float | None
) -> Baselines:
    """Return the baselines of a task with any number of labels per example.

    Args:
        support: Test examples that have each label, in the order of `labels`.
        examples: Number of test examples.
        majority: Indices of the labels in the most frequent set.
        labels: Names of the labels.
        exact: Share of the test examples that have exactly the majority set; None if unknown.
    """
    truth, k = np.asarray(support, np.float64), len(support)
    if examples == 0 or k == 0:
        return Baselines()
    always = np.isin(np.arange(k), np.asarray(majority, np.int64)).astype(np.float64)
    chance = _averages(truth / 2, np.full(k, examples / 2), truth, micro=True)
    constant = _averages(always * truth, always * examples, truth, micro=True)
    chance |= {"exact_match": 0.5**k, "log_loss": float(np.log(2)), "brier": 0.25}
    if exact is not None:
        constant["exact_match"] = exact
    return Baselines(chance, constant, tuple(labels[index] for index in majority))


def number_baselines(train: Mapping[str, Any], targets: np.ndarray) -> Baselines:
    """Return the baselines of a task whose labels are numbers.

    Args:
        train: Distribution of the training labels, as data.
        targets: (n,) labels of the test examples.
    """
    measure = RegressionMeasure()
    scored = []
    for constant in (train["quantiles"][2], train["mean"]):
        parts = measure.tally(np.full(len(targets), constant), targets)
        sums = {name: part.sum(axis=0) for name, part in parts.items()}
        scored.append({name: float(value) for name, value in measure.scores(sums, len(targets)).items()})
    median, mean = scored
    return Baselines(median, mean, names=("median", "mean"), number=float(train["mean"]))


def run_baselines(
    labels: Sequence[str], train: Mapping[str, int], test: Mapping[str, int], *, ordered: bool
) -> Baselines:
    """Return the baselines of a run with one label per example.

    The majority is that of the training examples after cleaning and before the budget is drawn.

    Args:
        labels: Label names in order.
        train: Training examples per label.
        test: Test examples per label.
        ordered: The labels are ordered, as in sentiment.
    """
    most = max(range(len(labels)), key=lambda index: train.get(labels[index], 0))
    return label_baselines([test.get(label, 0) for label in labels], most, labels, ordered=ordered)


def run_set_baselines(
    labels: Sequence[str],
    test: Mapping[str, int],
    test_labels: Sequence[Sequence[str]],
    most_frequent: Sequence[str] | None,
) -> Baselines:
    """Return the baselines of a run with several labels per example.

    Args:
        labels: Label names in order.
        test: Test examples per label.
        test_labels: Labels of each test example.
        most_frequent: The most frequent set of labels in the budget. Records of earlier versions lack it, and the most
            frequent set of the test examples is used.
    """
    sets = [frozenset(names) for names in test_labels]
    most = max(sorted(set(sets), key=sorted), key=sets.count) if most_frequent is None else frozenset(most_frequent)
    indices = [index for index, label in enumerate(labels) if label in most]
    support = [test.get(label, 0) for label in labels]
    return label_set_baselines(support, len(sets), indices, labels, sets.count(most) / len(sets))


def metrics_to_show(main: str, counts: Sequence[int], multi_label: bool) -> tuple[str, ...]:
    """Return the main metric, and on unbalanced classes accuracy and macro_f1 beside it."""
    if multi_label or not is_unbalanced(counts):
        return (main,)
    return (main, *(name for name in ("accuracy", "macro_f1") if name != main))


def balance_words(counts: Mapping[str, int], main: str) -> str:
    """Return the imbalance of the classes and the metric that decides, in words; empty for balanced classes."""
    present = {label: count for label, count in counts.items() if count}
    if not is_unbalanced(list(present.values())):
        return ""
    total = sum(present.values())
    most, least = (choose(present, key=lambda label: present[label]) for choose in (max, min))
    shares = " and ".join(f"'{label}' {100 * present[label] / total:.1f} %" for label in (most, least))
    words = f"unbalanced classes ({shares} of the training examples): decisions use {main}"
    if main != "accuracy":
        return words
    return f"{words}; `metric: macro_f1` in the recipe weighs every class equally, and trains runs again"


def few_examples_words(counts: Mapping[str, int]) -> str:
    """Return the classes with too few test examples for recall and macro averages, in words; empty if there are none.

    Args:
        counts: Number of test examples by class; classes without examples are not part of macro averages.
    """
    few = sorted((count, label) for label, count in counts.items() if 0 < count < MIN_CLASS_EXAMPLES)
    if not few:
        return ""
    if len(few) == 1:
        [(count, label)] = few
        examples = f"{count} test example{'' if count == 1 else 's'}"
        return f"'{label}' has {examples}, too few to trust its recall or macro averages"
    named = ", ".join(f"'{label}' {count}" for count, label in few[:_MOST_NAMED])
    more = f" and {len(few) - _MOST_NAMED} more" if len(few) > _MOST_NAMED else ""
    return (
        f"{len(few)} of {len(counts)} classes have fewer than {MIN_CLASS_EXAMPLES} test examples ({named}{more}), too "
        "few to trust their recall or macro averages"
    )


def _averages(hits: Floats, predicted: Floats, support: Floats, micro: bool = False) -> dict[str, float]:
    """Return the macro averages (and micro_f1) for counts, or expected counts, of each label."""
    unused = dict.fromkeys(("exact", "loss", "brier", "calibration", "adaptive_calibration"), np.zeros(1))
    sums = {"hits": hits, "predicted": predicted, "support": support, **unused}
    names = ["macro_precision", "macro_recall", "macro_f1"] + ["micro_f1"] * micro
    values = scores(sums, 1)
    return {name: float(values[name]) for name in names}
