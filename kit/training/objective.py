"""Objective of a training step: the loss on true labels, and the interface that other losses share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch

from kit.tasks.base import Task
from kit.training.losses import supervised_contrastive


class Objective(Protocol):
    """The loss of a pass, as transformers' Trainer calls for it."""

    def __call__(
        self, outputs: Any, labels: torch.Tensor, num_items_in_batch: torch.Tensor | int | None = None
    ) -> torch.Tensor:
        """A scalar: the loss of these examples, divided by the number of items in the whole step.

        labels: of each example what `Fitting.lessons` gives as its target.
        """


@dataclass(frozen=True)
class LabelObjective:
    """The task's loss on true labels, and the contrastive loss on text vectors with its weight."""

    task: Task
    contrastive: float

    def __call__(self, outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
        """Targets are class indices, or zeros and ones for each label."""
        items = labels.numel() if num_items_in_batch is None else num_items_in_batch
        with torch.autocast(labels.device.type, enabled=False):
            total = self.task.loss(outputs["logits"], labels) / items
            if self.contrastive and "vectors" in outputs:
                # Weighted by the share of the step's examples in this pass, like the task's loss.
                total = (
                    total + self.contrastive * supervised_contrastive(outputs["vectors"], labels) * len(labels) / items
                )
        return total
