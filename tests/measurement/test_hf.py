"""The `evaluate.Metric` classes equal the plain functions, and leave no files behind."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import evaluate
import numpy as np
import pytest

from kit.measurement import hf, metrics, probabilities


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Redirect everything that metrics write to this folder."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(evaluate.config, "HF_METRICS_CACHE", str(tmp_path / "cache"))
    return tmp_path


def sample(n: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    targets = generator.integers(0, classes, n)
    logits = generator.normal(size=(n, classes))
    logits[np.arange(n), targets] += 1
    return logits, targets


def test_scores_equal_the_functions() -> None:
    logits, targets = sample(200, 4)
    scores = hf.score(logits, targets, ordered=True)
    expected = metrics.classification_scores(logits, targets, ordered=True)
    assert list(scores) == list(expected)
    assert scores == pytest.approx(expected, abs=1e-12)
    assert "mae" not in hf.score(logits, targets)


def test_single_metrics_equal_the_scores_of_a_run() -> None:
    logits, targets = sample(200, 4)
    of_classes = [hf.Accuracy, hf.MacroPrecision, hf.MacroRecall, hf.MacroF1, hf.MatthewsCorrelation]
    guessed = {"predictions": logits.argmax(1), "references": targets}
    scores = evaluate.combine([kind() for kind in [*of_classes, hf.MeanAbsoluteError]]).compute(**guessed)
    of_logits = evaluate.combine([hf.LogLoss(), hf.Brier(), hf.CalibrationError(), hf.AdaptiveCalibrationError()])
    scores |= of_logits.compute(predictions=logits, references=targets)
    assert scores == pytest.approx(hf.score(logits, targets, ordered=True), abs=1e-12)


def test_single_multi_label_metrics_equal_the_scores_of_a_run() -> None:
    logits = np.random.default_rng(0).normal(size=(200, 5))
    targets = (logits + np.random.default_rng(1).normal(size=(200, 5)) > 0).astype(int)
    decided = {"predictions": (logits > 0).astype(int), "references": targets}
    scores = evaluate.combine([hf.ExactMatch(), hf.LabelAverages()]).compute(**decided)
    kinds = [hf.LabelLogLoss, hf.LabelBrier, hf.LabelCalibrationError, hf.LabelAdaptiveCalibrationError]
    of_logits = evaluate.combine([kind() for kind in kinds])
    scores |= of_logits.compute(predictions=logits, references=targets)
    assert scores == pytest.approx(hf.score(logits, targets, multi_label=True), abs=1e-12)


def test_multi_label_scores_equal_the_functions() -> None:
    logits = np.random.default_rng(0).normal(size=(200, 5))
    targets = (logits + np.random.default_rng(1).normal(size=(200, 5)) > 0).astype(int)
    scores = hf.score(logits, targets, multi_label=True)
    expected = metrics.multi_label_scores(logits, targets)
    assert list(scores) == list(expected)
    assert scores == pytest.approx(expected, abs=1e-12)


def test_scores_by_class() -> None:
    logits, targets = sample(200, 4)
    targets[targets == 3] = 0
    confusion = metrics.confusion_matrix(targets, logits.argmax(1), 4)
    scores = hf.score_by_class(logits, targets)
    assert scores.pop("confusion_matrix") == confusion.tolist()
    assert scores == {name: values.tolist() for name, values in metrics.per_class(confusion).items()}
    labels = np.eye(4, dtype=int)[targets]
    by_label = metrics.multi_label_per_class(logits, labels)
    assert hf.score_by_class(logits, labels, multi_label=True) == {k: v.tolist() for k, v in by_label.items()}


def test_metrics_combine_like_other_evaluate_metrics() -> None:
    assert hf.Accuracy().compute(predictions=[0, 1, 1, 0], references=[0, 1, 0, 0]) == {"accuracy": 0.75}
    together = evaluate.combine([hf.Accuracy(), hf.MacroF1(), hf.ConfusionMatrix()])
    scores = together.compute(predictions=[0, 1, 1], references=[0, 1, 0])
    assert scores == {
        "accuracy": pytest.approx(2 / 3),
        "macro_f1": pytest.approx(2 / 3),
        "confusion_matrix": [[1, 1], [0, 1]],
    }


def test_metrics_add_up_batches() -> None:
    logits, targets = sample(100, 3)
    metric = hf.LogLoss()
    for start in range(0, 100, 30):
        metric.add_batch(predictions=logits[start : start + 30], references=targets[start : start + 30])
    assert metric.compute() == {"log_loss": pytest.approx(probabilities.log_loss(logits, targets))}


def test_every_metric_describes_itself() -> None:
    for kind in (hf.Accuracy, hf.PerClass, hf.LogLoss, hf.CalibrationError, hf.LabelAverages, hf.MeanAbsoluteError):
        assert kind().description
        assert kind().inputs_description.startswith("Metric of ")


@pytest.mark.parametrize(
    ("metric", "inputs", "message"),
    [
        (hf.Accuracy, {"predictions": [], "references": []}, "references are empty"),
        (hf.LogLoss, {"predictions": [[0.0, np.nan]], "references": [0]}, "logits are NaN or infinite"),
        (hf.CalibrationError, {"predictions": [[0.0, 1.0]], "references": [5]}, "targets must be 0 to 1"),
    ],
)
def test_unscorable_input_is_reported(metric: Any, inputs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        metric().compute(**inputs)
    with pytest.raises(ValueError, match="logits are empty"):
        hf.score(np.empty((0, 2)), [])


def test_nothing_is_left_behind(cache: Path) -> None:
    hf.score(*sample(50, 3), ordered=True)
    hf.score_by_class(*sample(50, 3))
    assert [path for path in cache.rglob("*") if path.name != "temporary"] == []


def test_a_large_test_set_is_fast() -> None:
    logits, targets = sample(3080, 77)
    start = time.perf_counter()
    hf.score(logits, targets, ordered=True)
    assert time.perf_counter() - start < 5  # 0.4 s on two idle cores; machines that run tests are busy
