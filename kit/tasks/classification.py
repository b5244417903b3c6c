"""Classification: one label of several, several labels at once, or ordered labels (sentiment).

Knows targets, losses and metrics of classification. Knows nothing of models, files or training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kit.data.encode import IGNORED
from kit.data.label_words import in_line
from kit.data.labels import are_numbers, encode_labels
from kit.errors import RecipeError
from kit.measurement.intervals import Estimate, bootstrap_scores
from kit.measurement.measure import LabelMeasure
from kit.measurement.metrics import (
    classification_scores,
    multi_label_predictions,
    multi_label_scores,
    sigmoid,
    softmax,
)
from kit.recipe import Recipe

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Classification:
    """Labels in logit order, whether several can hold at once, whether their order means something."""

    name: str
    labels: tuple[str, ...]
    multi_label: bool
    ordered: bool
    main_metric: str
    label_smoothing: float = 0.0

    @classmethod
    def from_recipe(cls, recipe: Recipe, labels: tuple[str, ...]) -> Classification:
        """The task that a recipe asks for. Raises RecipeError if the order of sentiment labels is anybody's guess."""
        if recipe.task == "sentiment" and len(labels) > 2 and recipe.data.labels is None and not are_numbers(labels):
            raise RecipeError(
                f"task sentiment needs the order of its {len(labels)} labels ({in_line(labels)})",
                "list them in data.labels, lowest first; or set task: classification",
                key="data.labels",
            )
        return cls(
            recipe.task,
            labels,
            recipe.data.multi_label,
            recipe.task == "sentiment",
            recipe.main_metric,
            recipe.train.label_smoothing or 0.0,
        )

    @property
    def measure(self) -> LabelMeasure:
        """How logits are scored."""
        return LabelMeasure(self.main_metric, self.ordered, self.multi_label)

    def targets(self, labels: Sequence[tuple[str, ...]]) -> np.ndarray:
        """Class indices (n,) int64; for multi-label (n, labels) float32 of 0 and 1."""
        return encode_labels(labels, self.labels, self.multi_label)

    def loss(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Cross-entropy summed over rows, or binary cross-entropy summed over rows and labels. Logits (n, labels)."""
        import torch  # a study plans without it

        if self.multi_label:
            smooth = targets.float() * (1 - self.label_smoothing) + self.label_smoothing / 2
            weight = (targets != IGNORED).float()
            return torch.nn.functional.binary_cross_entropy_with_logits(logits.float(), smooth, weight, reduction="sum")
        return torch.nn.functional.cross_entropy(
            logits.float(),
            targets,
            reduction="sum",
            ignore_index=IGNORED,
            label_smoothing=self.label_smoothing,
        )

    def scores(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """Metrics by name."""
        if self.multi_label:
            return multi_label_scores(outputs, targets)
        return classification_scores(outputs, targets, ordered=self.ordered)

    def estimates(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, Estimate]:
        """Metrics by name with 95 % bootstrap intervals; the values come from the `evaluate.Metric` classes."""
        from kit.measurement.hf import score  # evaluate takes seconds to import

        values = score(outputs, targets, ordered=self.ordered, multi_label=self.multi_label)
        intervals = bootstrap_scores(outputs, targets, self.measure)
        return {name: Estimate(values[name], found.low, found.high, found.level) for name, found in intervals.items()}

    def details(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, Any]:
        """Precision, recall, F1 and support of each label; for a single label also the confusion matrix.

        The matrix has true labels in rows and predicted ones in columns.
        """
        from kit.measurement.hf import score_by_class  # evaluate takes seconds to import

        columns = score_by_class(outputs, targets, multi_label=self.multi_label)
        confusion = columns.pop("confusion_matrix", None)
        found: dict[str, Any] = {"per_label": self._by_label(columns)}
        return found if confusion is None else found | {"confusion": confusion}

    def differences(self, outputs: np.ndarray, others: np.ndarray) -> np.ndarray:
        """(n,) the largest difference of a logit."""
        return np.asarray(np.abs(outputs - others).max(axis=1))

    def difference_words(self, what: str, difference: float) -> str:
        """For people."""
        return f"a logit of {what} differs by {difference:.2g}"

    def answers(self, outputs: np.ndarray) -> list[dict[str, Any]]:
        """The label (or labels) and the probability of each label."""
        probabilities = sigmoid(outputs) if self.multi_label else softmax(outputs)
        answers: list[dict[str, Any]] = []
        for row, chances in zip(outputs, probabilities, strict=True):
            scores = {label: round(float(p), 6) for label, p in zip(self.labels, chances, strict=True)}
            if self.multi_label:
                held = multi_label_predictions(row)
                answers.append({"labels": [name for name, yes in zip(self.labels, held, strict=True) if yes]})
            else:
                best = self.labels[int(row.argmax())]
                answers.append({"label": best, "score": scores[best]})
            answers[-1]["scores"] = scores
        return answers

    @property
    def example_answer(self) -> dict[str, Any]:
        """An answer with every field that one can have."""
        scores = dict.fromkeys(self.labels, 0.0)
        first = self.labels[0]
        return (
            {"labels": [first], "scores": scores}
            if self.multi_label
            else {"label": first, "score": 0.0, "scores": scores}
        )

    def _by_label(self, columns: dict[str, list[Any]]) -> dict[str, dict[str, float]]:
        return {
            label: {name: round(float(column[index]), 6) for name, column in columns.items()}
            for index, label in enumerate(self.labels)
        }
