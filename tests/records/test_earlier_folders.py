"""Folders that were written before the modules of kit moved are read as they were."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import kit
from kit import Recipe

EARLIER = Path(__file__).parent / "earlier"
RUN = "tfidf-40-s0-b6e89dc0"


@pytest.fixture
def earlier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder with a recipe, its run, an export of the run, and a study."""
    folder = Path(shutil.copytree(EARLIER, tmp_path / "earlier"))
    monkeypatch.chdir(folder)
    return folder


def test_a_run_is_listed_and_gives_the_same_predictions(earlier: Path) -> None:
    assert RUN in {record.id for record in kit.list_runs("runs")}
    evaluation = kit.evaluate(f"runs/{RUN}")
    assert evaluation.largest_difference == 0
    assert [one["label"] for one in kit.predict(f"runs/{RUN}", ["my card is lost", "a fee"])] == ["card", "fees"]


def test_the_same_recipe_makes_a_new_run(earlier: Path) -> None:
    written = (Path("runs") / RUN / "record.json").stat().st_mtime_ns
    record = kit.finetune(Recipe.load("recipe.yaml"), quiet=True)
    assert record.id == "tfidf-40-s0-a45c4df1", "ids changed with the calibration; from then on they stay"
    assert record.metrics["accuracy"] == kit.Record.load(f"runs/{RUN}").metrics["accuracy"]
    assert (Path("runs") / RUN / "record.json").stat().st_mtime_ns == written


def test_an_export_predicts_as_its_run(earlier: Path) -> None:
    texts = ["my card is lost", "a fee"]
    assert list(kit.predict("exported", texts)) == list(kit.predict(f"runs/{RUN}", texts))


def test_a_study_is_reported_and_continued(earlier: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert kit.advise("runs/study-recipe").lines
    assert {path.name for path in kit.report("runs/study-recipe")} >= {"report.html", "report.csv"}
    done = kit.study(Recipe.load("recipe.yaml"), name="study-recipe", engine="inline")
    assert "2 cells finished before with other weights or an earlier version of kit, and are trained again" in (
        capsys.readouterr().err
    )
    assert len(done.finished) == 2 and not done.failed
