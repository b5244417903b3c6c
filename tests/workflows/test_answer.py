"""`kit answer`: from a file to a decision, on real reviews and a tiny checkpoint."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from kit.errors import DataError, OutputError, RecipeError
from kit.measurement.durations import Span
from kit.recipe import load_recipe
from kit.studies.plan import Estimate
from tests.conftest import Kit
from tests.support.kit_shell import Result

STUDY = "study:\n  name: answer-reviews\n  budgets: [20, 40, 80]\n  seeds: 3\n  variants:\n    - tfidf\n    - probe\n"


@pytest.fixture
def folder(tmp_path: Path, reviews: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current folder, with reviews.csv and test.csv."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(reviews / "train.csv", "reviews.csv")
    shutil.copy(reviews / "test.csv", "test.csv")
    return tmp_path


@pytest.fixture
def recipe(folder: Path, tiny_checkpoint: Path) -> Path:
    """Return the recipe for reviews.csv with a study of two quick variants, as a user edited it."""
    path = folder / "reviews.yaml"
    path.write_text(
        "task: classification\ndata:\n  source: reviews.csv\n  test: test.csv\n  text: text\n  label: label\n"
        f"  max_length: 32\nmodel:\n  checkpoint: {tiny_checkpoint}\n# my own comment\n{STUDY}",
        "utf-8",
    )
    return path


@pytest.fixture
def planned_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Estimate only tfidf and probe as quick, without timing a model."""
    quick = ("tfidf", "probe")
    monkeypatch.setattr(
        "kit.studies.plan.estimate",
        lambda plan: Estimate(
            {cell: Span.fixed(1.0 if cell.variant in quick else 100.0) for cell in plan.cells}, parameters={}
        ),
    )


def run(kit: Kit, *arguments: object) -> Result:
    return kit("answer", *arguments, "--engine", "inline")


def test_a_file_becomes_a_decision(folder: Path, kit: Kit, tiny_checkpoint: Path, planned_at_once: None) -> None:
    options = ("--checkpoint", tiny_checkpoint, "--target", 0.4, "--label-cost", 0.5, "--minutes", 0.5)
    done = run(kit, "reviews.csv", "--test", "test.csv", *options)
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[0] == "wrote reviews.yaml: text text, label label"
    assert lines[1] == "plan: tfidf and probe, each with 18, 37, 75, 150 and 300 labels"
    kinds = [line.split(":")[0].split(" ")[0] for line in lines]
    order = [kinds.index(kind) for kind in ("choose", "costs", "more", "report", "export")]
    assert order == sorted(order)
    assert any(line.startswith(("sure: ", "not sure: ")) for line in lines)
    assert lines[-1].startswith("export: kit export runs/answer-reviews --")
    assert (folder / "runs" / "answer-reviews" / "report.html").is_file()
    planned = load_recipe(folder / "reviews.yaml")
    assert planned.study.name == "answer-reviews"
    text = (folder / "reviews.yaml").read_text("utf-8")
    assert text.startswith("# Written by kit answer reviews.csv")
    exported = kit(*lines[-1].removeprefix("export: kit ").split(), "--no-speed")
    assert exported.code == 0, exported.err


def test_an_edited_recipe_is_used_and_continued(recipe: Path, kit: Kit) -> None:
    before = recipe.read_text("utf-8")
    first = run(kit, "reviews.csv", "--target", 0.4)
    assert first.code == 0, first.err
    assert "recipe: reviews.yaml, as it stands: tfidf, probe\n" in first.out
    records = {path: path.stat().st_ino for path in Path("runs").glob("[!.]*/record.json")}
    again = json.loads(run(kit, "reviews.yaml", "--target", 0.4, "--json").out)
    assert recipe.read_text("utf-8") == before
    assert {path: path.stat().st_ino for path in records} == records
    assert again["choice"]["series"] in ("tfidf", "probe")
    assert again["export"].startswith("kit export runs/answer-reviews --")


def test_limits_that_nothing_meets_end_with_the_nearest(recipe: Path, kit: Kit) -> None:
    done = run(kit, "reviews.yaml", "--target", 0.99, "--max-size-mb", 0.001)
    assert done.code == 1
    assert "nothing qualifies" in done.out
    assert "highest accuracy: " in done.out
    assert "export: " not in done.out
    assert "report: runs/answer-reviews/report.html" in done.out


def test_a_study_is_added_to_a_recipe_without_one(recipe: Path, planned_at_once: None) -> None:
    from kit.analysis.advice_options import Wish
    from kit.workflows.answer_recipe import answer_recipe

    edited = recipe.read_text("utf-8")
    recipe.write_text(edited.replace(STUDY, ""), "utf-8")
    added = answer_recipe("reviews.csv", Wish(), 0.001)
    assert added.text.startswith(edited.removesuffix(STUDY))
    assert [variant.name for variant in added.recipe.variants] == ["tfidf"]
    assert "study" not in load_recipe(recipe).model_fields_set  # nothing was written yet


def test_force_plans_the_study_of_a_recipe_again(recipe: Path, planned_at_once: None) -> None:
    from kit.analysis.advice_options import Wish
    from kit.workflows.answer_recipe import answer_recipe

    recipe.write_text(recipe.read_text("utf-8") + "train:\n  epochs: 2\n", "utf-8")
    planned = answer_recipe(str(recipe), Wish(), 0.001, force=True)
    assert planned.text.count("study:") == 1
    assert "# my own comment\ntrain:\n  epochs: 2\nstudy:\n  name: answer-reviews\n" in planned.text
    assert planned.recipe.train.epochs == 2


def test_unclear_columns_name_the_options(folder: Path, kit: Kit) -> None:
    (folder / "tickets.csv").write_text("a,b,c\n" + "\n".join(f"one {i},two {i},three {i}" for i in range(30)))
    done = run(kit, "tickets.csv")
    assert done.code == 2
    assert done.err.startswith("error: --label: ")
    assert not (folder / "tickets.yaml").exists()
    assert not (folder / "runs").exists()


def test_the_recipe_of_another_file_is_kept(recipe: Path, folder: Path, kit: Kit) -> None:
    shutil.copy("reviews.csv", "other.csv")
    done = run(kit, "other.csv", "--recipe", "reviews.yaml")
    assert done.code == 2
    assert done.err == (
        "error: reviews.yaml is the recipe for reviews.csv, not for other.csv\n"
        "  name another recipe with --recipe, or replace this one with --force\n"
    )


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"file": "reviews.csv", "text": "text"}, RecipeError, "--text has no effect: the recipe reviews.yaml"),
        ({"file": "reviews.yaml", "test": "test.csv"}, RecipeError, "--test has no effect"),
        ({"file": "reviews.csv", "target": 80}, DataError, "--target 80: not a value that accuracy can have"),
        ({"file": "reviews.csv", "minutes": 0}, RecipeError, "--minutes 0 is no time"),
        ({"file": "nothing.csv"}, DataError, "there is no file nothing.csv"),
        ({"file": "reviews.csv", "recipe": "."}, OutputError, ". is a folder"),
    ],
)
def test_bad_input_is_refused(recipe: Path, arguments: dict, error: type[Exception], message: str) -> None:
    from kit import answer

    with pytest.raises(error, match=message.replace(".", r"\.")):
        answer(**arguments, quiet=True)
    assert not Path("runs").exists()


def test_mistakes_in_the_recipe_have_their_line(recipe: Path, kit: Kit) -> None:
    recipe.write_text(recipe.read_text("utf-8").replace("- probe", "- prob"), "utf-8")
    done = run(kit, "reviews.csv")
    assert done.code == 2
    assert done.err.startswith("error: reviews.yaml:17: ")


def test_translation_is_refused_in_one_line(captions: Path, kit: Kit, tmp_path: Path) -> None:
    path = tmp_path / "translate.yaml"
    path.write_text(
        f"task: translation\ndata: {{source: {captions}, languages: [en, de]}}\nmodel: {{checkpoint: a/b}}\n"
    )
    done = run(kit, path)
    assert done.code == 2
    assert "task: kit answer plans no study for translation" in done.err
