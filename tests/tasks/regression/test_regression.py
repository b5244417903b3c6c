"""Regression: units of training and of predictions, loss, and the contradictions of recipes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from kit.data.examples import Examples
from kit.distillation.objectives import truth_of
from kit.errors import ModelError
from kit.measurement.baselines import number_baselines
from kit.models.checkpoints.head import Scale
from kit.models.checkpoints.head_scale import standardized, to_units
from kit.models.linear import ridge_regression
from kit.recipe import Recipe
from kit.tasks.regression.detection import are_measurements
from kit.tasks.regression.task import Regression

NUMBERS = [10.0, 20.0, 30.0, 60.0]
SCALE = Scale(30.0, float(np.std(NUMBERS)))


def task() -> Regression:
    examples = Examples(np.arange(4), [("a",)] * 4, [(f"{number:g}",) for number in NUMBERS])
    return Regression(("rating",), "r2").trained_on(examples)


def test_the_scale_is_that_of_the_training_labels() -> None:
    assert task().scale == SCALE
    assert task().head.config() == {
        "num_labels": 1,
        "id2label": {0: "rating"},
        "label2id": {"rating": 0},
        "problem_type": "regression",
    }


def test_a_model_is_trained_on_standardized_numbers_and_predicts_in_units() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1))
    texts, before = torch.randn(5, 3), model.state_dict()["1.weight"].clone()
    outputs = model(texts)
    with standardized(model, SCALE):
        assert torch.allclose(SCALE.original(model(texts)), outputs, atol=1e-4)
    assert torch.allclose(model(texts), outputs, atol=1e-4)
    to_units(model, SCALE)
    assert torch.allclose(model(texts), SCALE.original(outputs), atol=1e-3)
    assert torch.allclose(model.state_dict()["1.weight"], before * SCALE.deviation)


def test_a_head_without_bias_is_refused_with_the_remedy() -> None:
    with pytest.raises(ModelError) as caught:
        to_units(nn.Linear(3, 1, bias=False), SCALE)
    assert (caught.value.key, caught.value.hint) == ("model.pooling", "set model.pooling: mean")


def test_the_loss_is_the_squared_error_in_standard_deviations() -> None:
    targets = torch.tensor([*NUMBERS, torch.nan], dtype=torch.float64)
    logits = torch.zeros(5, 1)  # all predictions are the mean
    assert float(task().loss(logits, targets)) == pytest.approx(4.0)
    assert task().losses(np.full((4, 1), 30.0), np.array(NUMBERS)).mean() == pytest.approx(1.0)
    teacher = torch.tensor(NUMBERS)[:, None]
    assert float(task().divergence(logits[:4], teacher, 2.0)) == pytest.approx(4.0, abs=1e-5)


def test_texts_without_a_label_have_no_number() -> None:
    truth = truth_of(np.array([-100.0, 1.0]), 3)
    assert truth[:2].tolist() == [-100.0, 1.0] and truth[2].isnan()


def test_predictions_are_numbers_in_units() -> None:
    assert task().predictions([("a",)] * 2, np.array([[7.25], [1 / 3]], np.float32)) == [
        {"prediction": 7.25},
        {"prediction": 0.333333},
    ]
    assert task().differences(np.array([[1.0], [3.0]]), np.array([[0.0], [4.0]])).tolist() == [0.5, 0.5]


def test_details_state_constant_predictions() -> None:
    details = task().details(np.full((4, 1), 5.0), np.array(NUMBERS))
    assert details["constant"] and details["range"] == [5.0, 5.0]
    assert details["largest_errors"]["0.5"] == 20


def test_ridge_regression_recovers_a_linear_function_at_any_scale() -> None:
    features = np.random.default_rng(0).standard_normal((200, 5)).astype(np.float32)
    for unit in (1.0, 1e4):
        targets = unit * (features @ [1.0, -2.0, 0, 0, 3] + 7)
        fitted = ridge_regression().fit(features, targets, 1e6)
        assert fitted.logits(features)[:, 0] == pytest.approx(targets, rel=1e-4, abs=1e-3 * unit)


def test_the_mean_is_the_baseline_to_beat() -> None:
    baselines = number_baselines({"quantiles": [0, 1, 2, 3, 9], "mean": 3.0}, np.array([1.0, 2.0, 6.0]))
    assert baselines.names == ("median", "mean")
    assert baselines.chance["mae"] == pytest.approx(5 / 3) and baselines.majority["r2"] == 0
    assert baselines.always == "always predicting the mean, 3"


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"metric": "accuracy"}, "metric accuracy is for task classification or sentiment"),
        ({"data": {"labels": ["1", "2"]}}, "data.labels: the label is a number"),
        ({"data": {"sampling": "balanced"}}, "data.sampling: numbers have no classes"),
        ({"train": {"contrastive": 0.1}}, "train.contrastive: the contrastive loss compares labels"),
        ({"compress": {"steps": ["early-exit"]}}, "early-exit compares probabilities"),
        ({"compress": {"gate": {"worst_class": 0.1}}}, "compress.gate.worst_class: numbers have no classes"),
    ],
)
def test_keys_about_labels_are_refused(keys: dict[str, Any], message: str) -> None:
    content = {"task": "regression", "data": {"source": "x.csv"}, "model": {"checkpoint": "org/model"}}
    for key, value in keys.items():
        content[key] = {**content.get(key, {}), **value} if isinstance(value, dict) else value
    with pytest.raises(ValueError, match=message):
        Recipe.model_validate(content)


@pytest.mark.parametrize("metric", ["mae", "rmse"])
def test_an_error_cannot_be_the_main_metric(metric) -> None:
    with pytest.raises(ValueError, match="'r2' or 'pearson' or 'spearman'"):
        Recipe.model_validate({"task": "regression", "metric": metric, "data": {"source": "x.csv"}})


@pytest.mark.parametrize(
    ("labels", "expected"),
    [(["yes", "no", "1"], False), (["0", "1"], False), ([f"{n / 8}" for n in range(40)], True)],
)
def test_measurements_are_many_different_numbers(labels, expected) -> None:
    assert are_measurements(labels) is expected
