"""Contract of tasks: every registered task has rules, a family of models, and a Task that fits both.

A new task needs only an entry in SAMPLES.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from kit.data import Examples
from kit.methods import FAMILIES
from kit.recipe import Recipe
from kit.recipe.task_registry import TASKS, task_module
from kit.records.predictions import PREDICTIONS_FILE, read_predictions, write_predictions
from kit.tasks import task_for
from kit.tasks.base import EncoderTask, Task


@dataclass(frozen=True)
class Sample:
    """Outputs of a model for some examples.

    Args:
        data: Keys of `data` that the task needs.
        names: Names of the model's outputs.
        labels: Label names, number or reference of each example.
        outputs: Output of the model for each example.
    """

    data: dict[str, Any]
    names: tuple[str, ...]
    labels: list[tuple[str, ...]]
    outputs: np.ndarray


LOGITS = np.asarray([[2.0, 0.0, -1.0], [0.5, 1.0, 0.0], [-1.0, 0.0, 3.0], [0.0, 2.0, 1.0]], np.float32)
SAMPLES = {
    "classification": Sample({}, ("a", "b", "c"), [("a",), ("b",), ("c",), ("a",)], LOGITS),
    "sentiment": Sample({}, ("1", "2", "3"), [("1",), ("2",), ("3",), ("1",)], LOGITS),
    "regression": Sample(
        {},
        ("rating",),
        [("1",), ("2.5",), ("3",), ("4.5",)],
        np.asarray([[1.5], [2.0], [3.5], [4.0]], np.float32),
    ),
    "translation": Sample(
        {"languages": ["en", "de"]},
        (),
        [("ein Hund",), ("zwei rote Hunde",)],
        np.asarray(["ein Hund", "zwei Hunde"], object),
    ),
}
TEXTS = [("a text of several words",)] * 4

pytestmark = pytest.mark.parametrize("name", TASKS)


def recipe_of(name: str) -> Recipe:
    data = {"source": "examples.csv", **SAMPLES[name].data}
    return Recipe.model_validate({"task": name, "data": data, "model": {"checkpoint": "checkpoint"}})


def task_of(name: str) -> Task:
    return task_for(recipe_of(name), SAMPLES[name].names)


def test_rules_name_methods_of_the_family(name: str) -> None:
    rules = task_module(name, "rules").RULES
    methods = FAMILIES[rules.family].methods
    assert set(rules.methods) <= set(methods)
    without = {method for method in rules.methods if not methods[method].needs_checkpoint}
    assert without == set(rules.methods_without_checkpoint)


def test_task_has_the_whole_interface(name: str) -> None:
    interface = EncoderTask if recipe_of(name).rules.family == "encoders" else Task
    missing = [member for member in dir(interface) if not member.startswith("_") and not hasattr(task_of(name), member)]
    assert not missing


def test_main_metric_is_estimated_with_an_interval(name: str) -> None:
    recipe, task, sample = recipe_of(name), task_of(name), SAMPLES[name]
    targets = task.targets(sample.labels)
    estimates = task.estimates(sample.outputs, targets)
    assert recipe.main_metric in recipe.rules.metrics and task.main_metric == recipe.main_metric
    main = estimates[task.main_metric]
    assert main.low <= main.value <= main.high
    assert task.scores(sample.outputs, targets)[task.main_metric] == pytest.approx(main.value, abs=1e-6)


def test_predictions_have_the_fields_of_the_example(name: str) -> None:
    task, sample = task_of(name), SAMPLES[name]
    predictions = task.predictions(TEXTS[: len(sample.outputs)], sample.outputs)
    assert len(predictions) == len(sample.outputs)
    for prediction in predictions:
        assert set(prediction) <= set(task.example_prediction)


def test_equal_outputs_do_not_differ(name: str) -> None:
    task, outputs = task_of(name), SAMPLES[name].outputs
    assert not task.differences(outputs, outputs).any() and task.measure.same(outputs, outputs).all()
    assert (task.align(outputs, SAMPLES[name].names) == outputs).all()
    assert (task.average([outputs]) == outputs).all()


def test_outputs_are_stored_and_read(name: str, tmp_path: Path) -> None:
    sample, column = SAMPLES[name], recipe_of(name).rules.output_column
    count = len(sample.outputs)
    write_predictions(tmp_path, Examples(np.arange(count), TEXTS[:count], sample.labels), sample.outputs, column)
    stored = read_predictions(tmp_path / PREDICTIONS_FILE, (), column)
    assert (stored.outputs == sample.outputs).all() and stored.labels == sample.labels


def test_card_tells_the_hub_the_kind_of_task(name: str) -> None:
    task, sample = task_of(name), SAMPLES[name]
    details = task.details(sample.outputs, task.targets(sample.labels))
    text = task.card_text(["text"], details, len(sample.outputs))
    assert text.pipeline in ("text-classification", "translation") and text.summary.endswith(".")


def test_linear_fit_and_head_have_the_outputs_of_the_task(name: str) -> None:
    if recipe_of(name).rules.family != "encoders":
        return
    task, sample = cast(EncoderTask, task_of(name)), SAMPLES[name]
    targets, width = task.targets(sample.labels), sample.outputs.shape[1]
    fitted = task.linear.fit(np.eye(len(targets)), targets, task.linear.default)
    assert fitted.logits(np.eye(len(targets))).shape == sample.outputs.shape
    assert task.head.config()["num_labels"] == width
    assert task.losses(sample.outputs, targets).shape == (len(targets),)
