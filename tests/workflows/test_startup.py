"""A prediction imports the libraries of its model, and no others."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from kit import Recipe, compress, finetune, predict
from kit.runs.derived_recipes import compression_recipe

TEXTS = ["a fine film", "bad", "", "Two dogs run through the snow, and 3 play with a big ball."]
TRAINING = {"torch", "transformers", "accelerate", "datasets", "peft", "sklearn", "pandas", "pyarrow", "scipy.stats"}
PROGRAM = """
import json, sys
from kit.cli import main
try:
    main(["predict", sys.argv[1], *sys.argv[2:]])
finally:
    print(json.dumps(sorted(sys.modules)))
"""


def predicted(run: Path, *texts: str) -> tuple[list[dict[str, object]], set[str]]:
    """Return the predictions of `kit predict` in a new process, and the modules that it imported."""
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(run), *texts], capture_output=True, text=True, check=False, timeout=120
    )
    assert process.returncode == 0, process.stderr
    *lines, modules = map(json.loads, process.stdout.splitlines())
    return lines, set(modules)


def compressed(run: Path, step: str) -> Path:
    content = compression_recipe(run).model_dump()
    content["compress"] |= {"steps": [step], "gate": {"retained": None, "agreement": None}}
    return compress(Recipe.model_validate(content), quiet=True).record.folder


@pytest.fixture(scope="module")
def tfidf_run(reviews: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = {"source": str(reviews), "text": "text", "label": "label", "budget": 120}
    runs = str(tmp_path_factory.mktemp("tfidf"))
    return finetune(Recipe(task="classification", method="tfidf", runs=runs, data=data), quiet=True).folder


def test_graphs_predict_without_torch(tiny_run: Path, untimed: None) -> None:
    run = compressed(tiny_run, "int8-onnx")
    predictions, modules = predicted(run, *TEXTS)
    assert "onnxruntime" in modules
    assert not modules & TRAINING
    assert predictions == list(predict(run, TEXTS))


def test_ctranslate2_translates_without_torch(scratch_run: Path, untimed: None) -> None:
    run = compressed(scratch_run, "ct2")
    predictions, modules = predicted(run, *TEXTS)
    assert "ctranslate2" in modules
    assert not modules & TRAINING
    assert predictions == list(predict(run, TEXTS))


def test_tfidf_predicts_without_torch_and_scikit_learn(tfidf_run: Path) -> None:
    predictions, modules = predicted(tfidf_run, *TEXTS)
    assert not modules & TRAINING
    assert predictions == list(predict(tfidf_run, TEXTS))


def test_torch_runs_predict_without_libraries_of_training(tiny_run: Path) -> None:
    _, modules = predicted(tiny_run, *TEXTS)
    assert "torch" in modules
    assert not modules & {"datasets", "peft", "transformers.trainer", "onnxruntime", "ctranslate2"}


def test_check_imports_no_library_of_another_method(reviews: Path, tiny_checkpoint: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"task: classification\nruns: {tmp_path / 'runs'}\ndata: {{source: {reviews}, text: text, label: label}}\n"
        f"model: {{checkpoint: {tiny_checkpoint}}}\n",
        "utf-8",
    )
    program = PROGRAM.replace('"predict"', '"check"')
    process = subprocess.run(
        [sys.executable, "-c", program, str(recipe)], capture_output=True, text=True, check=False, timeout=120
    )
    modules = set(json.loads(process.stdout.splitlines()[-1]))
    assert "torch" in modules
    assert not modules & {"datasets", "peft", "sklearn", "transformers.trainer", "bitsandbytes"}
