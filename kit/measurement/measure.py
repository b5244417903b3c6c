"""Measures: scores of a model's outputs, for labels, numbers and translations.

Every score is a function of sums over examples. Intervals, comparisons and curves therefore use the same code for all
kinds of outputs: they resample the result of `tally` and never read the outputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from kit.measurement.logits import Floats, check, decisions
from kit.measurement.metrics import scores, tally


class Measure(Protocol):
    """Scores of n outputs against n targets."""

    @property
    def main(self) -> str:
        """Name of the metric that runs are compared by."""

    def tally(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, Floats]:
        """Return each example's summands for `scores`: arrays (n, width).

        Raises ValueError if outputs and targets do not match.
        """

    def scores(
        self, sums: Mapping[str, Floats], n: int, whole: Mapping[str, Floats] | None = None
    ) -> dict[str, Floats]:
        """Return scores (...) from sums over n examples (..., width); leading axes stay.

        Args:
            sums: Sums over examples by name.
            n: Number of examples.
            whole: Sums over the test set (width,) if `sums` are of its resamples; None otherwise.
        """

    def right(self, outputs: np.ndarray, targets: np.ndarray) -> NDArray[np.bool_]:
        """Return (n,) whether each output is entirely right."""

    def same(self, outputs: np.ndarray, others: np.ndarray) -> NDArray[np.bool_]:
        """Return (n,) whether two models predict the same for each example."""


@dataclass(frozen=True)
class LabelMeasure:
    """Measure of classification: logits (n, labels), and targets (n,) class indices or (n, labels) of 0 and 1.

    Attributes:
        main: Main metric.
        ordered: Labels have an order, which adds mae.
        multi_label: An example can have several labels.
    """

    main: str
    ordered: bool = False
    multi_label: bool = False

    def __post_init__(self) -> None:
        """Raise ValueError if the main metric does not fit single-label or multi-label tasks."""
        if self.main in ("accuracy", "exact_match") and (self.main == "exact_match") != self.multi_label:
            raise ValueError(f"metric {self.main} does not fit a task with multi_label {self.multi_label}")

    def tally(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, Floats]:
        """Return each example's summands, see `metrics.tally`."""
        return tally(outputs, targets, ordered=self.ordered, multi_label=self.multi_label)

    def scores(
        self, sums: Mapping[str, Floats], n: int, whole: Mapping[str, Floats] | None = None
    ) -> dict[str, Floats]:
        """Return the scores of sums, see `metrics.scores`."""
        return scores(sums, n, whole)

    def right(self, outputs: np.ndarray, targets: np.ndarray) -> NDArray[np.bool_]:
        """Return (n,) whether every label of each example is right."""
        values, truth = check(outputs, targets, self.multi_label)
        wanted = truth if self.multi_label else truth[:, None]
        return np.asarray((decisions(values, self.multi_label) == wanted).all(axis=1))

    def same(self, outputs: np.ndarray, others: np.ndarray) -> NDArray[np.bool_]:
        """Return (n,) whether both models predict the same labels for each example."""
        return np.asarray((decisions(outputs, self.multi_label) == decisions(others, self.multi_label)).all(axis=1))
