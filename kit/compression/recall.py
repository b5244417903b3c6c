"""Recall of each class before and after a compression step, paired on the same examples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from kit.measurement.baselines import MIN_CLASS_EXAMPLES
from kit.measurement.intervals import Estimate
from kit.measurement.measure import LabelMeasure, Measure

MAX_SHOWN = 8  # classes in a line of the report


@dataclass(frozen=True)
class RecallChange:
    """Recall of one class under two models.

    Args:
        label: Name of the class.
        count: Examples of the class.
        before: Recall of the model that the chain starts from.
        after: Recall of the step's model.
        loss: `before` minus `after`, with an interval that holds for all classes together.
    """

    label: str
    count: int
    before: float
    after: float
    loss: Estimate

    @property
    def words(self) -> str:
        """Phrase such as `'pin' from 15.0 % to 10.0 % (loss 5.0 points [-2.1, 12.1], 40 examples)`."""
        low, high = 100 * self.loss.low, 100 * self.loss.high
        few = ", too few to tell" if self.count < MIN_CLASS_EXAMPLES else ""
        return (
            f"'{self.label}' from {100 * self.before:.1f} % to {100 * self.after:.1f} % "
            f"(loss {100 * self.loss.value:.1f} points [{low:.1f}, {high:.1f}], {_examples(self.count)}{few})"
        )


def recall_changes(
    before: np.ndarray, after: np.ndarray, targets: np.ndarray, labels: Sequence[str], measure: Measure
) -> tuple[RecallChange, ...]:
    """Return the change of each class that has examples, the largest loss first.

    The result is empty for translations.

    Args:
        before: Outputs of the model that the chain starts from, (n, labels).
        after: Outputs of the step's model for the same examples, (n, labels).
        targets: Targets of the examples in the form that the measure expects.
        labels: Label names in logit order.
        measure: Measure of the task.
    """
    if not isinstance(measure, LabelMeasure) or not len(targets):
        return ()
    first, second = measure.tally(before, targets), measure.tally(after, targets)
    changes = []
    for index, label in enumerate(labels):
        members = first["support"][:, index] > 0
        if members.any():
            hits = [tally["hits"][members, index] > 0 for tally in (first, second)]
            changes.append(_change(label, hits[0], hits[1], classes=len(labels)))
    return tuple(sorted(changes, key=lambda change: (-change.loss.value, -change.count)))


def _change(label: str, before: np.ndarray, after: np.ndarray, classes: int) -> RecallChange:
    """Return the change of a class, given for each of its examples if it was predicted correctly before and after."""
    count = len(before)
    low, high = paired_interval(int((before & ~after).sum()), int((after & ~before).sum()), count, comparisons=classes)
    value = float(before.mean() - after.mean())
    loss = Estimate(value, min(low, value), max(high, value))
    return RecallChange(label, count, float(before.mean()), after=float(after.mean()), loss=loss)


def paired_interval(lost: int, gained: int, count: int, comparisons: int = 1) -> tuple[float, float]:
    """Return the 95 % interval of the difference of two proportions of the same examples.

    Adjusted Wald interval for paired proportions (Bonett & Price 2012, doi:10.3102/1076998611411915), with the
    Bonferroni correction, because the largest of many losses is large by chance too.

    Args:
        lost: Number of examples that count only in the first proportion.
        gained: Number of examples that count only in the second proportion.
        count: Number of all examples.
        comparisons: Number of differences that are compared.
    """
    first, second = (lost + 1) / (count + 2), (gained + 1) / (count + 2)
    z = float(ndtri(1 - 0.025 / comparisons))
    half = z * math.sqrt((first + second - (first - second) ** 2) / (count + 2))
    return max(-1.0, first - second - half), min(1.0, first - second + half)


def loss_words(changes: Sequence[RecallChange], classes: int, examples: int) -> str:
    """Return a phrase on the largest loss of recall on validation examples.

    The result is empty without classes.

    Args:
        changes: Change of each class that has validation examples, the largest loss first.
        classes: Number of classes, including classes without validation examples.
        examples: Number of validation examples.
    """
    if not changes:
        return ""
    worst = changes[0]
    few = classes - sum(change.count >= MIN_CLASS_EXAMPLES for change in changes)
    if worst.loss.value > 0:
        words = f"largest loss of recall on validation examples: {worst.words}"
    elif few == classes:
        return f"loss of recall of any class: too few validation examples to tell ({examples:,})"
    else:
        words = "no class lost recall on validation examples"
    if few and worst.count >= MIN_CLASS_EXAMPLES:
        words += f"; {few} of {classes} classes have fewer than {MIN_CLASS_EXAMPLES} of these examples, too few to tell"
    return words


def recall_line(changes: Sequence[RecallChange]) -> str:
    """Return a line on the recall of classes on test examples, the largest loss first.

    The result is empty without classes.
    """
    if not changes:
        return ""
    shown = [
        f"'{change.label}' {100 * change.before:.1f} -> {100 * change.after:.1f} % ({_examples(change.count)})"
        for change in changes[:MAX_SHOWN]
    ]
    more = f" and {len(changes) - MAX_SHOWN} more classes" if len(changes) > MAX_SHOWN else ""
    return f"recall on the test examples (not used by the gate): {', '.join(shown)}{more}"


def _examples(count: int) -> str:
    return f"{count:,} example{'' if count == 1 else 's'}"
