"""The Task interface: what a task must say so that methods, training and Records can serve it.

A task knows targets, losses and metrics. It knows nothing of models, files or recipes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from kit.measurement.intervals import Estimate

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

    def loss(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Loss summed over the batch's targets (a scalar); the trainer divides by their number."""

    def scores(self, logits: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """Metrics by name: cheap enough for every evaluation during training."""

    def estimates(self, logits: np.ndarray, targets: np.ndarray) -> dict[str, Estimate]:
        """Metrics by name, each with its 95 % interval."""

    def details(self, logits: np.ndarray, targets: np.ndarray) -> dict[str, Any]:
        """What does not fit a number: figures for each label, the confusion matrix."""

    def answers(self, logits: np.ndarray) -> list[dict[str, Any]]:
        """For each row of logits what `kit predict` prints."""
