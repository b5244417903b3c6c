"""Regression task: a number per text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from kit.data.examples import Examples
from kit.data.numbers import values_of
from kit.measurement.intervals import Estimate, bootstrap_scores
from kit.measurement.regression import RegressionMeasure, check_numbers
from kit.models.checkpoints.head import Head, Scale
from kit.recipe import Recipe
from kit.tasks.base import CardText
from kit.tasks.regression.card import card_text

if TYPE_CHECKING:
    import torch

    from kit.models.linear import LinearFit

_SHARES = (0.5, 0.9)  # of the test examples, for which the largest error is reported
_DIGITS = 6
UNIT = Scale(0.0, 1.0)  # of a task whose models are only used


@dataclass(frozen=True)
class Regression:
    """Regression task.

    Attributes:
        labels: Name of the column with the numbers.
        main_metric: Name of the metric by which runs are compared.
        scale: Mean and standard deviation of the training labels.
        name: `regression`.
        multi_label: Always False.
    """

    labels: tuple[str, ...]
    main_metric: str
    scale: Scale = UNIT
    name: str = "regression"
    multi_label: bool = False

    def trained_on(self, examples: Examples) -> Regression:
        """Return the task with the scale of these training examples."""
        numbers = values_of(examples.labels)
        return replace(self, scale=Scale(float(numbers.mean()), float(numbers.std()) or 1.0))

    @property
    def targets_row(self) -> tuple[str, str]:
        """Mean and standard deviation of the training labels."""
        return "labels", f"numbers, mean {self.scale.mean:.4g}, standard deviation {self.scale.deviation:.3g}"

    @property
    def measure(self) -> RegressionMeasure:
        """Metrics of predictions against targets."""
        return RegressionMeasure(self.main_metric)

    def targets(self, labels: Sequence[tuple[str, ...]]) -> np.ndarray:
        """Return the numbers (n,) in float64."""
        return values_of(labels)

    def loss(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the squared error summed over rows.

        Args:
            logits: (n, 1) standardized predictions.
            targets: (n,) numbers in their units; NaN is left out.
        """
        errors: torch.Tensor = logits.double()[:, 0] - self.scale.standardized(targets)
        return (errors[~targets.isnan()] ** 2).sum().float()

    def losses(self, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Return the squared error (n,) of each example in standard deviations of the training labels."""
        predictions, truth = check_numbers(outputs, targets)
        return np.asarray(((predictions - truth) / self.scale.deviation) ** 2)

    def divergence(self, student: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
        """Return the squared error between a student's standardized predictions and a teacher's, summed over rows."""
        wanted: torch.Tensor = self.scale.standardized(teacher.double())
        return ((student.float() - wanted.float()) ** 2).sum()

    def scores(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """Return metrics by name."""
        sums = {name: part.sum(axis=0) for name, part in self.measure.tally(outputs, targets).items()}
        return {name: float(value) for name, value in self.measure.scores(sums, len(targets)).items()}

    def estimates(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, Estimate]:
        """Return MAE, RMSE, R2 and the correlations, with 95 % bootstrap intervals."""
        return bootstrap_scores(outputs, targets, self.measure)

    def details(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, Any]:
        """Return the errors that half and nine tenths of the predictions do not exceed, and the predictions' range.

        `constant` is True if all predictions are equal: their correlations are undefined, and reported as 0.
        """
        predictions, truth = check_numbers(outputs, targets)
        errors = np.quantile(np.abs(predictions - truth), _SHARES)
        return {
            "largest_errors": {f"{share:g}": float(error) for share, error in zip(_SHARES, errors, strict=True)},
            "range": [float(predictions.min()), float(predictions.max())],
            "constant": bool(np.ptp(predictions) == 0),
        }

    def align(self, outputs: np.ndarray, labels: tuple[str, ...]) -> np.ndarray:
        """Return the outputs unchanged: a number needs no order of labels."""
        return outputs

    def average(self, outputs: Sequence[np.ndarray]) -> np.ndarray:
        """Return the mean (n, 1) of several models' predictions."""
        return np.asarray(np.mean(outputs, axis=0), np.float32)

    @property
    def head(self) -> Head:
        """Head with one output, in the units of the labels."""
        return Head(self.labels, scale=self.scale)

    @property
    def linear(self) -> LinearFit:
        """Ridge regression."""
        from kit.models.linear import ridge_regression  # scikit-learn takes seconds to import

        return ridge_regression()

    def differences(self, outputs: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Return the difference (n,) of two predictions per text, in standard deviations of the second model's."""
        first, second = check_numbers(outputs, np.asarray(others, np.float64).reshape(-1))
        unit = float(second.std()) or float(np.abs(second).max()) or 1.0
        return np.asarray(np.abs(first - second) / unit)

    def describe_difference(self, text_name: str, difference: float) -> str:
        """Return a sentence on the difference of a prediction."""
        return f"the prediction for {text_name} differs by {difference:.2g} standard deviations"

    def predictions(self, texts: Sequence[tuple[str, ...]], outputs: np.ndarray) -> list[dict[str, Any]]:
        """Return the number predicted for each text."""
        return [{"prediction": float(f"{value:.{_DIGITS}g}")} for value in outputs[:, 0]]

    def warning(self, texts: Sequence[tuple[str, ...]], outputs: np.ndarray, model: str) -> None:
        """Return None: any text can have a number."""

    def card_text(self, columns: Sequence[str], details: Mapping[str, Any], tested: int) -> CardText:
        """Return the task's parts of a model card."""
        return card_text(self.labels[0], columns, details)

    @property
    def example_prediction(self) -> dict[str, Any]:
        """Prediction with every possible field."""
        return {"prediction": 0.0}


def from_recipe(recipe: Recipe, labels: tuple[str, ...]) -> Regression:
    """Return the task of a recipe."""
    return Regression(labels, recipe.main_metric)
