"""Interface of tasks: targets, loss, metrics and predictions.

The outputs of a model are an array with one row per text: logits of labels, or translations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from kit.measurement.intervals import Estimate
from kit.measurement.measure import Measure

if TYPE_CHECKING:
    import torch


class Task(Protocol):
    """Kind of problem that a model solves."""

    @property
    def name(self) -> str:
        """Name of the task in recipes."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Label names in the order of the logits; empty if the task has no labels."""

    @property
    def multi_label(self) -> bool:
        """True if an example can have several labels."""

    @property
    def main_metric(self) -> str:
        """Name of the metric by which runs are compared."""

    @property
    def measure(self) -> Measure:
        """Metrics of outputs against targets."""

    def targets(self, labels: Sequence[tuple[str, ...]]) -> np.ndarray:
        """Return targets (n, ...) for `measure` from the label names, or the reference, of each example."""

    def loss(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the loss, a scalar summed over all targets of a batch that are not IGNORED; the trainer divides."""

    def scores(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """Return metrics by name."""

    def estimates(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, Estimate]:
        """Return metrics by name, each with a 95 % confidence interval."""

    def details(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, Any]:
        """Return results that are not single numbers, such as scores per label and the confusion matrix."""

    def differences(self, outputs: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Return the difference (n,) of two models' outputs per text; 0 if the outputs are equal."""

    def describe_difference(self, text_name: str, difference: float) -> str:
        """Return a sentence on the difference of two outputs for one text, named `text_name`."""

    def predictions(self, outputs: np.ndarray) -> list[dict[str, Any]]:
        """Return the prediction for each output, as printed by `kit predict`."""

    @property
    def example_prediction(self) -> dict[str, Any]:
        """Prediction with every possible field, for the columns of a table of predictions."""
