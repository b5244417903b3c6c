"""The Task interface: what a task must say so that methods, training and Records can serve it.

A task knows targets, losses and metrics. It knows nothing of models, files or recipes. What a model answers are its
outputs, an array with a row a text: logits of labels, or translations.
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
    """One kind of problem."""

    @property
    def name(self) -> str:
        """As recipes write it."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Label names in logit order."""

    @property
    def multi_label(self) -> bool:
        """Whether an example can have several labels."""

    @property
    def main_metric(self) -> str:
        """The metric that runs are compared by."""

    @property
    def measure(self) -> Measure:
        """How outputs are scored."""

    def targets(self, labels: Sequence[tuple[str, ...]]) -> np.ndarray:
        """What `measure` takes as targets: (n, ...) from the label names, or the reference, of each example."""

    def loss(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Loss summed over the batch's targets (a scalar), those that are IGNORED left out; the trainer divides."""

    def scores(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """Metrics by name."""

    def estimates(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, Estimate]:
        """Metrics by name, each with its 95 % interval."""

    def details(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, Any]:
        """What does not fit a number: figures for each label, the confusion matrix."""

    def differences(self, outputs: np.ndarray, others: np.ndarray) -> np.ndarray:
        """(n,) how far two models' outputs for each text are from each other; 0 where they are the same."""

    def difference_words(self, what: str, difference: float) -> str:
        """For people, how far the outputs for one text (`what`) are from each other."""

    def answers(self, outputs: np.ndarray) -> list[dict[str, Any]]:
        """For each output what `kit predict` prints."""

    @property
    def example_answer(self) -> dict[str, Any]:
        """An answer with every field that one can have, for the columns of a table of predictions."""
