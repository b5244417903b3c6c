"""Objective of a training step: the loss on true labels, and the interface that other losses share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch

from kit.tasks.base import Task
from kit.training.losses import supervised_contrastive


class Objective(Protocol):
    """Loss of one forward pass, in the form that transformers' Trainer calls."""

    def __call__(
        self, outputs: Any, labels: torch.Tensor, num_items_in_batch: torch.Tensor | int | None = None
    ) -> torch.Tensor:
        """Return the scalar loss of these examples, divided by the number of items in the whole step.

        Args:
            outputs: Outputs of the model.
            labels: Targets of the examples, from `Lessons.collate`.
            num_items_in_batch: Items in the whole step; None if the pass is the whole step.
        """


@dataclass(frozen=True)
class LabelObjective:
    """The task's loss on true labels plus the weighted contrastive loss on text vectors.

    Attributes:
        task: The task, which defines the loss on labels.
        contrastive: Weight of the contrastive loss; 0 for none.
    """

    task: Task
    contrastive: float

    def __call__(self, outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
        """Return the loss; `labels` are class indices (n,), zeros and ones (n, labels), or numbers (n,)."""
        items = labels.numel() if num_items_in_batch is None else num_items_in_batch
        with torch.autocast(labels.device.type, enabled=False):
            total = self.task.loss(outputs["logits"], labels) / items
            if self.contrastive and "vectors" in outputs:
                # Weighted by the share of the step's examples in this pass, like the task's loss.
                total = (
                    total + self.contrastive * supervised_contrastive(outputs["vectors"], labels) * len(labels) / items
                )
        return total
