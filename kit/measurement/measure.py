"""Measures: how the outputs of a model are scored, whatever kind of outputs they are.

Every score is a function of sums over examples, so that intervals, comparisons and curves are the same code for labels
and for translations: they resample what `tally` gives and never look at outputs themselves.

Knows arrays of outputs and targets. Knows nothing of models, files or recipes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from kit.measurement.metrics import Floats, check, decisions, scores, tally


class Measure(Protocol):
    """Scores of n outputs against n targets."""

    @property
    def main(self) -> str:
        """Name of the metric that runs are compared by."""

    def tally(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, Floats]:
        """What every example adds to the sums that `scores` takes: arrays (n, width).

        Raises ValueError if outputs and targets do not fit together.
        """

    def scores(
        self, sums: Mapping[str, Floats], n: int, whole: Mapping[str, Floats] | None = None
    ) -> dict[str, Floats]:
        """Return scores (...) from sums over n examples (..., width); leading axes stay.

        whole: sums over the test set (width,) if `sums` are of its resamples; None otherwise.
        """

    def right(self, outputs: np.ndarray, targets: np.ndarray) -> NDArray[np.bool_]:
        """(n,) whether each output is just what was wanted."""

    def same(self, outputs: np.ndarray, others: np.ndarray) -> NDArray[np.bool_]:
        """(n,) whether two models answer each example alike."""


@dataclass(frozen=True)
class LabelMeasure:
    """Of classification: outputs are logits (n, labels), targets (n,) class indices, or (n, labels) of 0 and 1.

    ordered: labels have an order (adds mae). multi_label: an example can have several labels.
    """

    main: str
    ordered: bool = False
    multi_label: bool = False

    def __post_init__(self) -> None:
        """Raise ValueError for a share of right answers that this kind of labels does not have."""
        if self.main in ("accuracy", "exact_match") and (self.main == "exact_match") != self.multi_label:
            raise ValueError(f"metric {self.main} does not fit a task with multi_label {self.multi_label}")

    def tally(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, Floats]:
        """See `metrics.tally`."""
        return tally(outputs, targets, ordered=self.ordered, multi_label=self.multi_label)

    def scores(
        self, sums: Mapping[str, Floats], n: int, whole: Mapping[str, Floats] | None = None
    ) -> dict[str, Floats]:
        """See `metrics.scores`."""
        return scores(sums, n, whole)

    def right(self, outputs: np.ndarray, targets: np.ndarray) -> NDArray[np.bool_]:
        """(n,) whether every label of each example is right."""
        if self.main in ("accuracy", "exact_match") and (self.main == "exact_match") != self.multi_label:
            raise ValueError(f"metric {self.main} does not fit a task with multi_label {self.multi_label}")
        values, truth = check(outputs, targets, self.multi_label)
        wanted = truth if self.multi_label else truth[:, None]
        return np.asarray((decisions(values, self.multi_label) == wanted).all(axis=1))

    def same(self, outputs: np.ndarray, others: np.ndarray) -> NDArray[np.bool_]:
        """(n,) whether both decide for the same labels."""
        return np.asarray((decisions(outputs, self.multi_label) == decisions(others, self.multi_label)).all(axis=1))
