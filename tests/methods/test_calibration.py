"""Calibration of fitted and of compressed classifiers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kit import Recipe, Record, evaluate, finetune
from kit.compression.chain import compress_chain
from kit.errors import RecipeError
from kit.recipe.load import validated
from kit.recipe.sections.compression import CompressSection


def recipe_for(reviews: Path, checkpoint: Path, folder: Path, method: str, **train: object) -> Recipe:
    return Recipe(
        task="classification",
        method=method,
        runs=str(folder / "runs"),
        data={"source": str(reviews), "text": "text", "label": "label", "budget": 120, "max_length": 32},
        model={"checkpoint": str(checkpoint)},
        train={"epochs": 8, "learning_rate": 3e-3, "evaluations": 1, **train},
    )


def calibration_of(record: Record) -> dict[str, Any]:
    found: dict[str, Any] = record.content.settings.to_dict()["calibration"]
    return found


@pytest.mark.parametrize(
    ("method", "train"), [("finetune", {"refit": False}), ("finetune", {"refit": True}), ("probe", {}), ("tfidf", {})]
)
def test_calibration_divides_logits_and_keeps_predictions(method, train, reviews, tiny_checkpoint, tmp_path) -> None:
    raw = finetune(recipe_for(reviews, tiny_checkpoint, tmp_path, method, calibrate="none", **train), quiet=True)
    record = finetune(recipe_for(reviews, tiny_checkpoint, tmp_path, method, **train), quiet=True)
    assert record.id != raw.id
    assert "calibration" not in raw.content.settings.to_dict()
    settings = calibration_of(record)
    assert settings["examples"] == raw.content.data.sizes.validation
    [temperature] = settings["temperature"]
    assert abs(np.log(temperature)) > 0.01
    before, after = raw.predictions().outputs, record.predictions().outputs
    np.testing.assert_allclose(after, before / temperature, rtol=1e-4, atol=1e-5)
    assert (after.argmax(axis=1) == before.argmax(axis=1)).all()
    assert record.metrics["accuracy"] == raw.metrics["accuracy"]
    assert evaluate(record.folder).largest_difference < 1e-4


def test_each_label_of_several_has_a_temperature(tiny_checkpoint, tmp_path) -> None:
    rows = "\n".join(
        f"film {i} {'good' * (i % 2)} {'long' * (i % 3 == 0)},{i % 2},{int(i % 3 == 0)}" for i in range(150)
    )
    (tmp_path / "films.csv").write_text(f"text,good,long\n{rows}\n", "utf-8")
    recipe = Recipe(
        task="classification",
        runs=str(tmp_path / "runs"),
        data={
            "source": str(tmp_path / "films.csv"),
            "text": "text",
            "label": ["good", "long"],
            "multi_label": True,
            "budget": 80,
            "max_length": 16,
        },
        model={"checkpoint": str(tiny_checkpoint)},
        train={"epochs": 2, "evaluations": 1, "refit": False},
    )
    record = finetune(recipe, quiet=True)
    assert len(calibration_of(record)["temperature"]) == 2


def test_compressed_models_keep_calibrated_probabilities(tiny_run: Path) -> None:
    start = Record.load(tiny_run)
    section = CompressSection(steps=[{"technique": "int8-onnx"}], gate={"retained": None})
    smaller = compress_chain(section, start, quiet=True, timed=False).record
    assert calibration_of(smaller)["texts"] > 20
    assert evaluate(smaller.folder).metrics == smaller.metrics
    assert smaller.metrics["log_loss"].value == pytest.approx(start.metrics["log_loss"].value, abs=0.05)


@pytest.mark.parametrize("task", ["regression", "translation"])
def test_tasks_without_probabilities_refuse_calibration(task: str) -> None:
    data = {"source": "a.csv", "text": "text", "label": "score"}
    content = {"task": task, "data": data, "model": {"checkpoint": "x"}, "train": {"calibrate": "temperature"}}
    if task == "translation":
        content["data"] = {"source": "a", "languages": ["en", "de"]}
    with pytest.raises((RecipeError, ValueError), match="leave it out"):
        validated(content)
