"""The metrics as `evaluate.Metric` classes that need no network, and the scores of a run computed with them.

    Accuracy().compute(predictions=[0, 1, 1], references=[0, 1, 0])
    evaluate.combine([Accuracy(), MacroF1()]).compute(predictions=[0, 1, 1], references=[0, 1, 0])

Importing `evaluate` takes seconds: import this module where scores are computed, never at start-up. Every metric of
`evaluate` creates folders in its `cache_dir`, by default in the Hugging Face cache; these metrics keep their data in
memory, so the folders stay empty.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import datasets
import evaluate
import numpy as np
from numpy.typing import ArrayLike

from kit.measurement import metrics, probabilities
from kit.measurement.logits import Floats, Ints, check, multi_label_predictions, sigmoid, softmax
from kit.measurement.probabilities import ECE_BINS
from kit.runtime.temporary import temporary_folder

_INDEX = datasets.Value("int64")
_INDICES = datasets.List(datasets.Value("int64"))
_LOGITS = datasets.List(datasets.Value("float64"))


class _Metric(evaluate.Metric):  # type: ignore[misc]
    """Base class: data in memory, a description from the docstring, an empty citation."""

    inputs: ClassVar[tuple[Any, Any]]

    def __init__(self, **settings: Any) -> None:
        alone = settings.get("num_process", 1) == 1
        super().__init__(**{"keep_in_memory": alone, **settings})

    def _info(self) -> evaluate.MetricInfo:
        predictions, references = self.inputs
        return evaluate.MetricInfo(
            description=self.__doc__ or "",
            citation="",
            inputs_description=type(self).__mro__[1].__doc__ or "",
            features=datasets.Features({"predictions": predictions, "references": references}),
        )


class ClassMetric(_Metric, ABC):
    """Metric of (n,) predicted and (n,) true class indices; `classes` is by default one more than the highest."""

    inputs = (_INDEX, _INDEX)

    def _compute(self, predictions: ArrayLike, references: ArrayLike, classes: int | None = None) -> dict[str, Any]:
        if np.size(references) == 0:
            raise ValueError("references are empty")
        count = classes or 1 + max(int(np.max(predictions)), int(np.max(references)))
        return self._value(metrics.confusion_matrix(references, predictions, count))

    @abstractmethod
    def _value(self, confusion: Ints) -> dict[str, Any]:
        """Return the metric from (classes, classes) counts with true classes in rows."""


class Accuracy(ClassMetric):
    """Share of examples whose class is predicted."""

    def _value(self, confusion: Ints) -> dict[str, Any]:
        return {"accuracy": metrics.accuracy(confusion)}


class MacroPrecision(ClassMetric):
    """Precision averaged over classes."""

    def _value(self, confusion: Ints) -> dict[str, Any]:
        return {"macro_precision": metrics.macro(confusion)["macro_precision"]}


class MacroRecall(ClassMetric):
    """Recall averaged over classes."""

    def _value(self, confusion: Ints) -> dict[str, Any]:
        return {"macro_recall": metrics.macro(confusion)["macro_recall"]}


class MacroF1(ClassMetric):
    """F1 averaged over classes."""

    def _value(self, confusion: Ints) -> dict[str, Any]:
        return {"macro_f1": metrics.macro(confusion)["macro_f1"]}


class MatthewsCorrelation(ClassMetric):
    """Matthews correlation coefficient of any number of classes."""

    def _value(self, confusion: Ints) -> dict[str, Any]:
        return {"mcc": metrics.matthews(confusion)}


class ConfusionMatrix(ClassMetric):
    """Counts by true class (rows) and predicted class (columns)."""

    def _value(self, confusion: Ints) -> dict[str, Any]:
        return {"confusion_matrix": confusion.tolist()}


class PerClass(ClassMetric):
    """Precision, recall, F1 and support of every class."""

    def _value(self, confusion: Ints) -> dict[str, Any]:
        return {name: values.tolist() for name, values in metrics.per_class(confusion).items()}


class MeanAbsoluteError(ClassMetric):
    """Mean distance between true and predicted class index, for ordered labels."""

    def _value(self, confusion: Ints) -> dict[str, Any]:
        return {"mae": metrics.mean_absolute_error_of_index(confusion)}


class LogitMetric(_Metric):
    """Metric of (n, K) logits as predictions and (n,) true class indices."""

    inputs = (_LOGITS, _INDEX)


class LogLoss(LogitMetric):
    """Mean negative log likelihood of the true class, in nats."""

    def _compute(self, predictions: ArrayLike, references: ArrayLike) -> dict[str, Any]:
        return {"log_loss": probabilities.log_loss(predictions, references)}


class CalibrationError(LogitMetric):
    """Expected calibration error of the top label (Guo et al. 2017)."""

    def _compute(self, predictions: ArrayLike, references: ArrayLike, bins: int = ECE_BINS) -> dict[str, Any]:
        return {"ece": probabilities.expected_calibration_error(softmax(predictions), references, bins)}


class AdaptiveCalibrationError(LogitMetric):
    """Calibration error of the top label in bins of equal size (Nguyen & O'Connor 2015)."""

    def _compute(self, predictions: ArrayLike, references: ArrayLike, bins: int = ECE_BINS) -> dict[str, Any]:
        error = probabilities.expected_calibration_error(softmax(predictions), references, bins, adaptive=True)
        return {"adaptive_ece": error}


class Brier(LogitMetric):
    """Mean squared distance of the probabilities from the true class (Brier 1950)."""

    def _compute(self, predictions: ArrayLike, references: ArrayLike) -> dict[str, Any]:
        return {"brier": probabilities.brier_score(softmax(predictions), references)}


class ClassScores(LogitMetric):
    """All scores of a single-label run, computed in one pass over the logits."""

    def _compute(self, predictions: ArrayLike, references: ArrayLike, ordered: bool = False) -> dict[str, Any]:
        return metrics.classification_scores(predictions, references, ordered=ordered)


class LabelMetric(_Metric):
    """Metric of (n, K) predicted and (n, K) true labels, each 0 or 1."""

    inputs = (_INDICES, _INDICES)


class ExactMatch(LabelMetric):
    """Share of examples for which exactly the true labels are predicted."""

    def _compute(self, predictions: ArrayLike, references: ArrayLike) -> dict[str, Any]:
        return {"exact_match": metrics.exact_match(predictions, references)}


class LabelAverages(LabelMetric):
    """Averages over labels: micro_f1, macro_precision, macro_recall and macro_f1."""

    def _compute(self, predictions: ArrayLike, references: ArrayLike) -> dict[str, Any]:
        return metrics.label_averages(predictions, references)


class PerLabel(LabelMetric):
    """Precision, recall, F1 and support of every label."""

    def _compute(self, predictions: ArrayLike, references: ArrayLike) -> dict[str, Any]:
        columns = metrics.multi_label_per_class(predictions, references)
        return {name: values.tolist() for name, values in columns.items()}


class LabelLogitMetric(_Metric):
    """Metric of (n, K) logits as predictions and (n, K) true labels, each 0 or 1."""

    inputs = (_LOGITS, _INDICES)


class LabelLogLoss(LabelLogitMetric):
    """Mean negative log likelihood of every decision, in nats."""

    def _compute(self, predictions: ArrayLike, references: ArrayLike) -> dict[str, Any]:
        return {"log_loss": probabilities.binary_log_loss(predictions, references)}


class LabelCalibrationError(LabelLogitMetric):
    """Expected calibration error of the predictions of all labels."""

    def _compute(self, predictions: ArrayLike, references: ArrayLike, bins: int = ECE_BINS) -> dict[str, Any]:
        return {"ece": probabilities.binary_calibration_error(sigmoid(predictions), references, bins)}


class LabelAdaptiveCalibrationError(LabelLogitMetric):
    """Expected calibration error of the predictions of all labels in bins of equal size."""

    def _compute(self, predictions: ArrayLike, references: ArrayLike, bins: int = ECE_BINS) -> dict[str, Any]:
        error = probabilities.binary_calibration_error(sigmoid(predictions), references, bins, adaptive=True)
        return {"adaptive_ece": error}


class LabelBrier(LabelLogitMetric):
    """Mean squared distance of the probabilities of all labels from the truth."""

    def _compute(self, predictions: ArrayLike, references: ArrayLike) -> dict[str, Any]:
        return {"brier": probabilities.binary_brier_score(sigmoid(predictions), references)}


class LabelScores(LabelLogitMetric):
    """All scores of a multi-label run, computed in one pass over the logits."""

    def _compute(self, predictions: ArrayLike, references: ArrayLike) -> dict[str, Any]:
        return metrics.multi_label_scores(predictions, references)


def score(
    logits: ArrayLike, targets: ArrayLike, *, ordered: bool = False, multi_label: bool = False
) -> dict[str, float]:
    """Return the scores of a run, as `metrics.classification_scores` or `metrics.multi_label_scores` orders them.

    Nothing is left on disk.

    Args:
        logits: (n, K) logits.
        targets: (n,) class indices, or (n, K) of 0 and 1 if `multi_label`.
        ordered: Labels have an order.
        multi_label: An example can have several labels.

    Raises:
        ValueError: If the arrays are empty, not finite or do not match.
    """
    values, truth = check(logits, targets, multi_label)
    if multi_label:
        return _compute([LabelScores], values, truth)
    return _compute([ClassScores], values, truth, ordered=ordered)


def score_by_class(logits: ArrayLike, targets: ArrayLike, *, multi_label: bool = False) -> dict[str, list[Any]]:
    """Return precision, recall, f1 and support per class, (K,) each, and a (K, K) confusion_matrix if single-label.

    Nothing is left on disk.

    Args:
        logits: (n, K) logits.
        targets: (n,) class indices, or (n, K) of 0 and 1 if `multi_label`.
        multi_label: An example can have several labels.

    Raises:
        ValueError: If the arrays are empty, not finite or do not match.
    """
    values, truth = check(logits, targets, multi_label)
    predicted = _predicted(values, multi_label)
    if multi_label:
        return _compute([PerLabel], predicted, truth)
    return _compute([PerClass, ConfusionMatrix], predicted, truth, classes=values.shape[1])


def _predicted(values: Floats, multi_label: bool) -> Ints:
    predicted = multi_label_predictions(values) if multi_label else values.argmax(axis=1)
    return np.asarray(predicted, np.int64)


def _compute(kinds: list[type[_Metric]], predictions: Any, references: Any, **settings: Any) -> dict[str, Any]:
    """Return the results of several metrics of the same inputs, by name."""
    if not kinds:
        return {}
    with temporary_folder("metrics") as folder:
        combined = evaluate.combine([kind(cache_dir=str(folder)) for kind in kinds])
        results: dict[str, Any] = combined.compute(predictions=predictions, references=references, **settings)
    return results
