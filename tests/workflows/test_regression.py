"""Regression end to end, with one trained model: compression, export, predictions, study, report and advice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kit import Recipe, Record, evaluate, export, finetune, predict
from kit.errors import RecipeError
from kit.workflows.advise import advise
from kit.workflows.compress import compress
from kit.workflows.distill import distill
from kit.workflows.report import report
from kit.workflows.study import study

WORDS = {"wonderful": 900, "fine": 700, "dull": 300, "awful": 100}
TEXT = "the film 7 is wonderful"


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> dict[str, Any]:
    """Return a recipe for numbers that follow from one word of a text."""
    folder = tmp_path_factory.mktemp("numbers")
    random = np.random.default_rng(0)
    rows = []
    for place in range(160):
        word = str(random.choice(list(WORDS)))
        rows.append({"text": f"the film {place} is {word}", "price": WORDS[word] + float(random.normal(0, 20))})
    (folder / "films.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return {
        "task": "regression",
        "runs": str(folder / "runs"),
        "data": {"source": str(folder / "films.jsonl"), "label": "price", "test_size": 40, "max_length": 16},
        "model": {"checkpoint": str(tiny_checkpoint)},
        "train": {"epochs": 12, "learning_rate": 3e-3, "evaluations": 1, "refit": False},
    }


@pytest.fixture(scope="module")
def record(content: dict[str, Any]) -> Record:
    return finetune(Recipe.model_validate(content), quiet=True)


def test_a_model_learns_numbers_in_their_units(record: Record) -> None:
    assert record.metrics["r2"].low > 0.8
    assert record.metrics["mae"].value < 120
    assert 600 < next(predict(record.folder, TEXT))["prediction"] < 1200
    assert evaluate(record.folder).metrics == record.metrics
    rows = dict(record.rows())
    assert "(median " in rows["r2"] and "mean " in rows["r2"]


def test_results_per_class_are_refused(record: Record) -> None:
    with pytest.raises(RecipeError, match=r"--per-class: .* has no classes"):
        evaluate(record.folder, per_class=True)


def test_a_model_that_learns_nothing_is_not_better_than_the_mean(content: dict[str, Any]) -> None:
    shuffled = content["data"] | {"source": content["data"]["source"].replace("films", "noise")}
    lines = Path(content["data"]["source"]).read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    prices = np.random.default_rng(1).permutation([row["price"] for row in rows])
    noise = [json.dumps(row | {"price": float(price)}) for row, price in zip(rows, prices, strict=True)]
    Path(shuffled["source"]).write_text("\n".join(noise))
    weak = finetune(Recipe.model_validate(content | {"method": "tfidf", "data": shuffled}), quiet=True)
    notes = [value for name, value in weak.rows() if name == "note"]
    assert any(note.startswith("not better than always predicting the mean, ") for note in notes), notes


def test_compression_is_gated_by_the_metric(record: Record, content: dict[str, Any]) -> None:
    chain = {"steps": ["int8-onnx"], "gate": {"retained": 0.9, "agreement": None}}
    done = compress(Recipe.model_validate(content | {"compress": chain}), quiet=True)
    [link] = done.links
    assert link.gate.passed and link.gate.retained > 0.9
    assert link.record.metrics["r2"].value == pytest.approx(record.metrics["r2"].value, abs=0.05)


def test_an_export_predicts_the_number_in_a_pipeline(record: Record, tmp_path: Path) -> None:
    from transformers import pipeline

    folder = tmp_path / "exported"
    export(record.folder, formats=["safetensors"], to=folder, with_code=True, speed=False)
    assert json.loads((folder / "config.json").read_text())["problem_type"] == "regression"
    card = (folder / "README.md").read_text()
    assert "Predicts the number `price` for a text" in card and "| median | mean |" in card
    [row] = pipeline("text-classification", model=str(folder), trust_remote_code=True)([TEXT])
    assert row["label"] == "price"
    assert row["score"] == pytest.approx(next(predict(record.folder, TEXT))["prediction"], rel=1e-3)


def test_a_study_compares_methods_by_the_metric(content: dict[str, Any]) -> None:
    grid = {"methods": ["tfidf", "probe"], "budgets": [20, 40, 60, 80], "seeds": 2, "name": "prices"}
    done = study(Recipe.model_validate(content | {"study": grid}), engine="inline", quiet=True)
    folder = done.folder
    text = next(file for file in report(folder) if file.suffix == ".md").read_text()
    assert "r2" in text and "always predicting the mean" in text
    assert advise(folder, target=0.5).choice is not None


def test_a_student_learns_the_numbers_of_its_teacher(record: Record, content: dict[str, Any]) -> None:
    section = {"teacher": str(record.folder), "student": {"layers": 1}}
    recipe = Recipe.model_validate(content | {"method": "distill", "distill": section})
    done = distill(recipe, quiet=True)
    verdict = done.verdict
    assert verdict.student.value > 0.7 and verdict.control is not None
    assert verdict.retained is not None and verdict.retained.value > 0.7
    assert done.record.metrics["mae"].value < 200
