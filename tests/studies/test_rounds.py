"""A study of real cells that runs in rounds: what it leaves out, how it ends, and how it continues."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from kit.analysis.advice_options import Wish
from kit.errors import DataError
from kit.recipe import Recipe, load_recipe
from kit.studies.analyse import analyse
from kit.studies.look_storage import LOOK_FILE, earlier_look, read_looks
from kit.studies.rounds import Rounds, run_in_rounds

OUT_OF_REACH = Wish(target=0.99)


def grid(recipe_file: Path, *overrides: str) -> Recipe:
    """Return the recipe of a study of 16 cells that take three seconds together."""
    cells = ["study.methods=[tfidf, probe]", "study.budgets=[20, 40]", "study.seeds=4", "data.budget=null"]
    return load_recipe(recipe_file, [*cells, *overrides])


def rounds(recipe: Recipe, wish: Wish, minutes: float | None = None) -> Rounds:
    """Run a study in this process: starting workers takes longer than these cells."""
    return run_in_rounds(recipe, wish, engine="inline", quiet=True, minutes=minutes)


def seeds_of(done: Rounds) -> dict[tuple[str, int], int]:
    cells = [outcome.cell for outcome in done.study.finished]
    return {option: sum((cell.variant, cell.budget) == option for cell in cells) for option in
            {(cell.variant, cell.budget) for cell in cells}}  # fmt: skip


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory, reviews: Path, tiny_checkpoint: Path) -> Recipe:
    folder = tmp_path_factory.mktemp("rounds")
    path = folder / "recipe.yaml"
    path.write_text(
        f"task: classification\nruns: {folder / 'runs'}\n"
        f"data: {{source: {reviews}, text: text, label: label, max_length: 32}}\n"
        f"model: {{checkpoint: {tiny_checkpoint}}}\n",
        "utf-8",
    )
    return grid(path)


@pytest.fixture(scope="module")
def done(recipe: Recipe) -> Rounds:
    return rounds(recipe, OUT_OF_REACH)


def elsewhere(done: Rounds, recipe: Recipe, tmp_path: Path) -> Recipe:
    """Return the recipe of a copy of the study."""
    shutil.copytree(done.study.folder.parent, tmp_path / "runs")
    return recipe.model_copy(update={"runs": str(tmp_path / "runs")})


def test_a_target_out_of_reach_ends_sure_and_early(done: Rounds) -> None:
    assert (done.ended, done.look.sure, done.look.choice) == ("sure", True, None)
    assert "no variant reaches accuracy 99.0 % with up to 40 labels" in done.look.claim
    assert set(done.look.dropped) == {"tfidf", "probe"}
    assert seeds_of(done) == {("tfidf", 20): 1, ("probe", 20): 1, ("tfidf", 40): 3, ("probe", 40): 3}


def test_cells_left_out_have_a_reason_in_the_report(done: Rounds) -> None:
    findings = analyse(done.study.folder)
    left_out = [row for row in findings.cells if row.state == "left out"]
    assert len(left_out) == len(done.study.open) == 8
    assert all("certain to miss 99.0 % with 40 labels" in row.error for row in left_out)
    assert findings.unfinished == ""
    assert any("cells were left out (tfidf" in note and "certain to miss" in note for note in findings.notes)


def test_a_later_start_continues_from_the_looks(done: Rounds, recipe: Recipe, tmp_path: Path) -> None:
    copy = elsewhere(done, recipe, tmp_path)
    assert rounds(copy, OUT_OF_REACH).look == done.look
    assert rounds(copy, Wish(target=0.98)).look.number == 1  # another question
    assert [stored.wish.target for stored in read_looks(tmp_path / "runs" / "study")] == [0.98, 0.99]


def test_looks_of_other_inputs_are_forgotten(done: Rounds, recipe: Recipe, tmp_path: Path) -> None:
    folder, cells = done.study.folder, done.study.ledger.cells
    assert earlier_look(folder, OUT_OF_REACH, cells) == done.look
    assert earlier_look(folder, OUT_OF_REACH, dict.fromkeys(cells, "other")) is None


def test_a_damaged_look_starts_the_looks_again(done: Rounds, recipe: Recipe, tmp_path: Path) -> None:
    copy = elsewhere(done, recipe, tmp_path)
    (tmp_path / "runs" / "study" / LOOK_FILE).write_text("[{", "utf-8")
    assert rounds(copy, OUT_OF_REACH).look == done.look


def test_no_cell_starts_after_the_minutes(recipe_file: Path) -> None:
    ended = rounds(grid(recipe_file), OUT_OF_REACH, minutes=0)
    assert (ended.ended, len(ended.study.finished), ended.look.number) == ("time", 0, 0)
    assert len(ended.study.open) == 16


def test_variants_beyond_a_limit_get_no_further_cells(done: Rounds, recipe: Recipe, tmp_path: Path) -> None:
    copy = elsewhere(done, recipe, tmp_path)
    slow = rounds(copy, Wish(max_latency_ms=1e-6))
    assert slow.look.claim == "no variant is within the limits"
    assert all("above 1e-06 ms" in reason for reason in slow.look.dropped.values())
    large = rounds(copy, Wish(max_size_bytes=1_000))
    assert all("above 0.001 MB" in reason for reason in large.look.dropped.values())
    assert len(large.study.finished) == 8


def test_failed_cells_are_not_asked_for_again(recipe_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise DataError("no memory")

    monkeypatch.setattr("kit.studies.cell._cell", fail)
    failed = rounds(grid(recipe_file), OUT_OF_REACH)
    assert len(failed.study.failed) == 16
    assert set(failed.look.dropped.values()) == {"all of its cells failed"}


def test_cells_that_others_are_made_from_are_run_too(recipe_file: Path) -> None:
    taught = grid(recipe_file, "study.methods=[distill]", "study.seeds=1", "study.budgets=[40]", "distill.pool=20")
    ended = rounds(taught, OUT_OF_REACH)
    assert {outcome.cell.variant for outcome in ended.study.finished} == {"finetune", "distill"}


def test_a_target_that_the_metric_cannot_have_is_refused_at_once(recipe_file: Path) -> None:
    with pytest.raises(DataError, match="not a value that accuracy can have"):
        rounds(grid(recipe_file), Wish(target=80))
    assert not (recipe_file.parent / "runs").exists()
