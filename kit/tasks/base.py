"""Interface of tasks: targets, loss, metrics and predictions.

The outputs of a model are an array with one row per text: logits of labels, predicted numbers, or translations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from kit.data import Examples
from kit.measurement.intervals import Estimate
from kit.measurement.measure import Measure

if TYPE_CHECKING:
    import torch

    from kit.models.checkpoints.head import Head
    from kit.models.linear import LinearFit


@dataclass(frozen=True)
class CardText:
    """Parts of a model card that depend on the task, as Markdown.

    Attributes:
        pipeline: Name of the task on the Hub.
        summary: Sentence on what the model does.
        examples: Noun for the training examples.
        results: Paragraphs below the table of metrics.
        limits: Sentences on the limits of the model.
    """

    pipeline: str
    summary: str
    examples: str = "labelled examples"
    results: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()


class Task(Protocol):
    """Kind of problem that a model solves."""

    @property
    def name(self) -> str:
        """Name of the task in recipes."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Label names in the order of the logits, or the column of the numbers; empty for translation."""

    @property
    def multi_label(self) -> bool:
        """True if an example can have several labels."""

    @property
    def main_metric(self) -> str:
        """Name of the metric by which runs are compared."""

    def trained_on(self, examples: Examples) -> Task:
        """Return the task with everything that models take from these training examples beside the examples."""

    @property
    def measure(self) -> Measure:
        """Metrics of outputs against targets."""

    @property
    def targets_row(self) -> tuple[str, str]:
        """Name and description of the targets for people: `("labels", "no, yes")`."""

    def targets(self, labels: Sequence[tuple[str, ...]]) -> np.ndarray:
        """Return targets (n, ...) for `measure` from the label names, the number or the reference of each example."""

    def loss(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the loss, a scalar summed over all targets of a batch that are not IGNORED; the trainer divides."""

    def scores(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """Return metrics by name."""

    def estimates(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, Estimate]:
        """Return metrics by name, each with a 95 % confidence interval."""

    def details(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, Any]:
        """Return results that are not single numbers, such as scores per label and the confusion matrix."""

    def align(self, outputs: np.ndarray, labels: tuple[str, ...]) -> np.ndarray:
        """Return outputs of a model with these labels in the order of the task."""

    def average(self, outputs: Sequence[np.ndarray]) -> np.ndarray:
        """Return the joint outputs of several models, such as several teachers."""

    def differences(self, outputs: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Return the difference (n,) of two models' outputs per text; 0 if the outputs are equal."""

    def describe_difference(self, text_name: str, difference: float) -> str:
        """Return a sentence on the difference of two outputs for one text, named `text_name`."""

    def predictions(self, texts: Sequence[tuple[str, ...]], outputs: np.ndarray) -> list[dict[str, Any]]:
        """Return the prediction for each text and its output, as printed by `kit predict`."""

    def warning(self, texts: Sequence[tuple[str, ...]], outputs: np.ndarray, model: str) -> str | None:
        """Return a warning if the texts seem not to be for this model; None otherwise."""

    def card_text(self, columns: Sequence[str], details: Mapping[str, Any], tested: int) -> CardText:
        """Return the task's parts of a model card.

        Args:
            columns: Names of the text columns.
            details: Result of `details` on the test examples.
            tested: Number of test examples.
        """

    @property
    def example_prediction(self) -> dict[str, Any]:
        """Prediction with every possible field, for the columns of a table of predictions."""


class EncoderTask(Task, Protocol):
    """Task of a text encoder, whose outputs are a fixed number of real values."""

    @property
    def head(self) -> Head:
        """Head of an encoder for the task's outputs."""

    @property
    def linear(self) -> LinearFit:
        """Fit of a linear model from features to the task's outputs."""

    def losses(self, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Return the loss (n,) of each example, for selection by validation loss."""

    def divergence(self, student: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
        """Return the loss between outputs of student and teacher, summed over examples."""
