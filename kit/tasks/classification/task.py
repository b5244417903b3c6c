"""Classification task: one label per text, several labels per text, or ordered labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kit.data.encode import IGNORED
from kit.data.examples import Examples
from kit.data.label_words import in_line
from kit.data.labels import encode_labels
from kit.measurement.intervals import Estimate, bootstrap_scores
from kit.measurement.logits import multi_label_predictions, sigmoid, softmax
from kit.measurement.measure import LabelMeasure
from kit.measurement.metrics import classification_scores, multi_label_scores
from kit.recipe import Recipe
from kit.tasks.base import CardText
from kit.tasks.classification.card import card_text

if TYPE_CHECKING:
    import torch

    from kit.models.checkpoints.head import Head
    from kit.models.linear import LinearFit


_SHOWN_LABELS = 6


@dataclass(frozen=True)
class Classification:
    """Classification task.

    Attributes:
        name: `classification` or `sentiment`.
        labels: Label names in the order of the logits.
        multi_label: Whether a text can have several labels.
        ordered: Whether the labels have a meaningful order.
        main_metric: Name of the metric by which runs are compared.
        label_smoothing: Share of the target probability that is spread over all labels.
    """

    name: str
    labels: tuple[str, ...]
    multi_label: bool
    ordered: bool
    main_metric: str
    label_smoothing: float = 0.0

    def trained_on(self, examples: Examples) -> Classification:
        """Return the task unchanged."""
        return self

    @property
    def measure(self) -> LabelMeasure:
        """Metrics of logits against targets."""
        return LabelMeasure(self.main_metric, self.ordered, self.multi_label)

    @property
    def targets_row(self) -> tuple[str, str]:
        """First label names."""
        return "labels", in_line(self.labels, most=_SHOWN_LABELS)

    def targets(self, labels: Sequence[tuple[str, ...]]) -> np.ndarray:
        """Return class indices (n,) int64; if multi-label, (n, labels) float32 0/1."""
        return encode_labels(labels, self.labels, self.multi_label)

    def loss(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return cross-entropy summed over rows; if multi-label, binary cross-entropy summed over rows and labels.

        Args:
            logits: (n, labels).
            targets: As returned by `targets`; IGNORED targets are left out.
        """
        import torch  # not at the top, because planning a study does not need torch

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
        """Return metrics by name."""
        if self.multi_label:
            return multi_label_scores(outputs, targets)
        return classification_scores(outputs, targets, ordered=self.ordered)

    def estimates(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, Estimate]:
        """Return metrics by name, computed by `evaluate.Metric` classes, with 95 % bootstrap intervals."""
        from kit.measurement.hf import score  # evaluate takes seconds to import

        values = score(outputs, targets, ordered=self.ordered, multi_label=self.multi_label)
        intervals = bootstrap_scores(outputs, targets, self.measure)
        return {name: Estimate(values[name], part.low, part.high, level=part.level) for name, part in intervals.items()}

    def details(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, Any]:
        """Return precision, recall, F1 and support per label; unless multi-label, also the confusion matrix.

        The matrix has true labels in rows and predicted labels in columns.
        """
        from kit.measurement.hf import score_by_class  # evaluate takes seconds to import

        columns = score_by_class(outputs, targets, multi_label=self.multi_label)
        confusion = columns.pop("confusion_matrix", None)
        details: dict[str, Any] = {"per_label": self._by_label(columns)}
        return details if confusion is None else details | {"confusion": confusion}

    def align(self, outputs: np.ndarray, labels: tuple[str, ...]) -> np.ndarray:
        """Return logits of a model with these labels in the order of the task's labels."""
        return outputs[:, [labels.index(label) for label in self.labels]]

    def average(self, outputs: Sequence[np.ndarray]) -> np.ndarray:
        """Return float32 logits (n, labels) for the mean probabilities of several models."""
        if len(outputs) == 1:
            return outputs[0].astype(np.float32)
        activation = sigmoid if self.multi_label else softmax
        probabilities = [np.asarray(activation(logits.astype(np.float64))) for logits in outputs]
        mean = np.clip(np.mean(probabilities, axis=0), 1e-7, 1 - 1e-7)
        return np.asarray(np.log(mean / (1 - mean)) if self.multi_label else np.log(mean), np.float32)

    @property
    def head(self) -> Head:
        """Head with one logit per label."""
        from kit.models.checkpoints.head import Head

        return Head(self.labels, self.multi_label)

    @property
    def linear(self) -> LinearFit:
        """Logistic regression."""
        from kit.models.linear import logistic_regression  # scikit-learn takes seconds to import

        return logistic_regression(len(self.labels))

    def losses(self, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Return the cross-entropy (n,) of each example."""
        return self.measure.tally(outputs, targets)["loss"][:, 0]

    def divergence(self, student: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
        """Return the KL divergence of softened predictions, see `softened_divergence`."""
        from kit.tasks.classification.divergence import softened_divergence

        return softened_divergence(student, teacher, temperature, multi_label=self.multi_label)

    def differences(self, outputs: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Return the largest difference (n,) of a logit per text."""
        return np.asarray(np.abs(outputs - others).max(axis=1))

    def describe_difference(self, text_name: str, difference: float) -> str:
        """Return a sentence on the difference of a logit."""
        return f"a logit of {text_name} differs by {difference:.2g}"

    def predictions(self, texts: Sequence[tuple[str, ...]], outputs: np.ndarray) -> list[dict[str, Any]]:
        """Return the label (or labels) of each text, and the probability of every label."""
        probabilities = sigmoid(outputs) if self.multi_label else softmax(outputs)
        predictions: list[dict[str, Any]] = []
        for row, row_probabilities in zip(outputs, probabilities, strict=True):
            scores = {label: round(float(p), 6) for label, p in zip(self.labels, row_probabilities, strict=True)}
            if self.multi_label:
                held = multi_label_predictions(row)
                predictions.append({"labels": [name for name, holds in zip(self.labels, held, strict=True) if holds]})
            else:
                best = self.labels[int(row.argmax())]
                predictions.append({"label": best, "score": scores[best]})
            predictions[-1]["scores"] = scores
        return predictions

    def warning(self, texts: Sequence[tuple[str, ...]], outputs: np.ndarray, model: str) -> None:
        """Return None: any text can be classified."""

    def card_text(self, columns: Sequence[str], details: Mapping[str, Any], tested: int) -> CardText:
        """Return the task's parts of a model card."""
        return card_text(self.labels, self.multi_label, columns)

    @property
    def example_prediction(self) -> dict[str, Any]:
        """Prediction with every possible field."""
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


def from_recipe(recipe: Recipe, labels: tuple[str, ...]) -> Classification:
    """Return the task of a recipe."""
    return Classification(
        name=recipe.task,
        labels=labels,
        multi_label=recipe.data.multi_label,
        ordered=False,
        main_metric=recipe.main_metric,
        label_smoothing=recipe.train.label_smoothing or 0.0,
    )
