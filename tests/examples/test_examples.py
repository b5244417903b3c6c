"""Execute every script of examples/ as a notebook, with a tiny checkpoint, and check its results."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jupytext
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

EXAMPLES = Path(__file__).parents[2] / "examples"
REPOSITORY = EXAMPLES.parent


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, small_packages: Path) -> Iterator[NotebookClient]:
    """A client of one kernel for all examples: libraries are imported once."""
    folder = tmp_path_factory.mktemp("jupyter")
    paths = [str(small_packages), str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PYTHONPATH", os.pathsep.join(paths))
        patched.setenv("IPYTHONDIR", str(folder / "ipython"))
        patched.setenv("JUPYTER_RUNTIME_DIR", str(folder / "runtime"))
        client = NotebookClient(new_notebook(), timeout=240, kernel_name="python3")
        with client.setup_kernel():
            yield client


@pytest.fixture
def run_example(client: NotebookClient, tmp_path: Path) -> Any:
    """Execute an example in an empty folder and return the values of some expressions."""

    def run(name: str, **expressions: str) -> dict[str, Any]:
        notebook = jupytext.read(EXAMPLES / f"{name}.py", fmt="py:percent")
        assert notebook.cells[0].cell_type == "markdown"
        start = new_code_cell(f"%reset -f\nimport os\nos.chdir({str(tmp_path)!r})")
        values = ", ".join(f"{key!r}: {expression}" for key, expression in expressions.items())
        end = new_code_cell(f"import json\nprint(json.dumps({{{values}}}))")
        client.nb = new_notebook(cells=[start, *notebook.cells, end])
        client.reset_execution_trackers()
        for place, cell in enumerate(client.nb.cells):
            client.execute_cell(cell, place)
        return json.loads(client.nb.cells[-1].outputs[0].text)

    return run


def test_a_csv_file_becomes_a_classifier(run_example: Any, tmp_path: Path) -> None:
    results = run_example(
        "classify_a_csv",
        labels="list(record.labels)",
        budget="record.recipe.data.budget",
        accuracy="record.metrics['accuracy'].value",
        predicted="list(predictions['label'])",
        texts="list(new_texts['text'])",
    )
    assert results["labels"] == ["negative", "positive"]
    assert results["budget"] == 200
    assert results["accuracy"] > 0.4
    assert len(results["predicted"]) == len(results["texts"]) == 20
    assert set(results["predicted"]) <= {"negative", "positive"}
    assert len((tmp_path / "predictions.csv").read_text("utf-8").splitlines()) >= 21


def test_a_study_ends_with_curves_and_advice(run_example: Any) -> None:
    results = run_example(
        "how_many_labels",
        cells="sorted([o.cell.variant, o.cell.budget, o.cell.seed] for o in study.finished)",
        failed="len(study.failed)",
        files="[file.name for file in files]",
        choice="[advice.choice.labels, advice.choice.metric.value]",
    )
    assert results["cells"] == [[m, b, s] for m in ("probe", "tfidf") for b in (20, 40, 80, 160) for s in (0, 1)]
    assert results["failed"] == 0
    assert {"report.html", "curves.png"} <= set(results["files"])
    labels, accuracy = results["choice"]
    assert labels >= 20
    assert accuracy >= 0.6


def test_a_student_is_exported_and_runs_without_kit(run_example: Any, tmp_path: Path) -> None:
    results = run_example(
        "distil_compress_export",
        student="distillation.record.recipe.method",
        backend="small.backend.value",
        plain="plain",
        with_kit="with_kit",
        smaller="small.content.model_bytes < distillation.record.content.model_bytes",
        gain="distillation.verdict.gain is not None",
    )
    assert results["student"] == "distill"
    assert results["plain"] == results["with_kit"]
    assert results["smaller"]
    assert results["gain"]
    assert (tmp_path / "exported" / "README.md").exists()


def test_a_translator_writes_translations(run_example: Any) -> None:
    results = run_example(
        "translate",
        chrf="record.metrics['chrf'].value",
        pairs="len(stored.outputs)",
        translations="[one['translation'] for one in translations]",
    )
    assert results["pairs"] > 20
    assert results["chrf"] > 0.5
    assert any("Tag" in text for text in results["translations"])
