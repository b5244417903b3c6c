"""Head of a text encoder: the outputs that it predicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Head:
    """Outputs of a text encoder.

    Attributes:
        labels: Names of the outputs in their order.
        multi_label: True if a text can have several labels.
        numbers: True if the outputs are numbers, not logits of labels.
    """

    labels: tuple[str, ...]
    multi_label: bool
    numbers: bool = False

    def config(self) -> dict[str, Any]:
        """Return the head's entries in config.json, which saves the label names with the model."""
        return {
            "num_labels": len(self.labels),
            "id2label": dict(enumerate(self.labels)),
            "label2id": {label: index for index, label in enumerate(self.labels)},
            "problem_type": self._problem_type,
        }

    @property
    def _problem_type(self) -> str:
        if self.numbers:
            return "regression"
        return "multi_label_classification" if self.multi_label else "single_label_classification"
