"""Head of a text encoder: the outputs that it predicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Scale:
    """Mean and standard deviation of numbers, for models that are trained on standardized numbers."""

    mean: float
    deviation: float

    def standardized(self, numbers: Any) -> Any:
        """Return an array or tensor of numbers as training uses them, with mean 0 and standard deviation 1."""
        return (numbers - self.mean) / self.deviation

    def original(self, numbers: Any) -> Any:
        """Return standardized numbers in the units of the labels."""
        return numbers * self.deviation + self.mean


@dataclass(frozen=True)
class Head:
    """Outputs of a text encoder.

    Attributes:
        labels: Names of the outputs in their order.
        multi_label: True if a text can have several labels.
        scale: Scale of the numbers that the model predicts; None if the outputs are logits of labels.
    """

    labels: tuple[str, ...]
    multi_label: bool = False
    scale: Scale | None = None

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
        if self.scale is not None:
            return "regression"
        return "multi_label_classification" if self.multi_label else "single_label_classification"
