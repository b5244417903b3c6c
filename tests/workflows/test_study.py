"""Whole studies of real cells on a tiny checkpoint: killed, simultaneous, damaged, short of time."""

from __future__ import annotations

import json
import random
import re
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kit.errors import BudgetError, RecipeError
from kit.recipe import Recipe, load_recipe
from kit.studies.ledger import Ledger
from kit.studies.work import Study
from kit.workflows.study import study as run_study
from tests.conftest import Kit
from tests.support.processes import Forked

Start = Callable[..., Forked]
Table = dict[str, tuple[str, dict[str, float]]]


def small(recipe_file: Path, *overrides: str) -> Recipe:
    """Return the recipe of a study of four cells that take a second together."""
    grid = ["study.methods=[tfidf, probe]", "study.budgets=[20, 40]", "study.seeds=1", "data.budget=null"]
    return load_recipe(recipe_file, [*grid, *overrides])


def study(recipe: Recipe) -> Study:
    """Run a study in this process: starting workers takes longer than these cells."""
    return run_study(recipe, engine="inline", quiet=True)


def table(folder: Path) -> Table:
    """Return the id and metrics of each cell's Record."""
    ledger = Ledger.load(folder)
    rows: Table = {}
    for cell, key in ledger.cells.items():
        outcome = ledger.outcome(cell, key)
        assert outcome is not None, f"{cell.name} has not ended"
        assert outcome.state == "finished", outcome.error
        record = ledger.record(outcome, whole=True)
        assert record is not None
        rows[cell.name] = (record.id, {name: estimate.value for name, estimate in record.metrics.items()})
    return rows


def trainings(runs: Path) -> dict[str, int]:
    """Return the inode of each record.json, which changes if the run is repeated; drafts are left out."""
    return {path.parent.name: path.stat().st_ino for path in runs.glob("[!.]*/record.json")}


def test_a_larger_grid_runs_only_new_cells(recipe_file: Path) -> None:
    recipe = small(recipe_file)
    first = study(recipe)
    assert (len(first.finished), len(first.failed), len(first.open)) == (4, 0, 0)
    inodes = trainings(Path(recipe.runs))
    wider = small(recipe_file, "study.budgets=[20, 40, 60]")
    second = study(wider)
    assert len(second.finished) == 6
    again = trainings(Path(recipe.runs))
    assert {name: again[name] for name in inodes} == inodes
    assert len(again) == 6


def test_a_changed_grid_reports_dropped_cells(recipe_file: Path, kit: Kit) -> None:
    options = [f"--set={override}" for override in ("study.budgets=[20, 40]", "study.seeds=1", "data.budget=null")]
    first = kit("study", recipe_file, "--engine", "inline", *options, "--set", "study.methods=[tfidf, probe]")
    assert first.code == 0
    assert "finished cell" not in first.err
    smaller = kit("study", recipe_file, "--engine", "inline", *options, "--set", "study.methods=[tfidf]")
    assert "2 finished cells of the study that was in " in smaller.err
    assert "are not part of this one: the report leaves them out" in smaller.err
    options += ["--set=study.methods=[tfidf]", "--set=data.validation=0.3"]
    changed = kit("study", recipe_file, "--engine", "inline", *options)
    assert changed.code == 0
    what = "data.validation null (now 0.3)"
    assert f"2 cells finished before with {what}, and are trained again" in changed.err
    assert "finished cells of the study" not in changed.err


def test_cells_and_finetune_runs_share_records(recipe_file: Path, kit: Kit, capsys: pytest.CaptureFixture[str]) -> None:
    done = kit("finetune", recipe_file, "--set", "method=tfidf", "--set", "data.budget=20", "--json")
    recipe = small(recipe_file)
    inodes = trainings(Path(recipe.runs))
    run_study(recipe, engine="inline")
    assert "4 cells: 2 series, 2 budgets; 1 of them finished before; " in capsys.readouterr().err
    after = trainings(Path(recipe.runs))
    assert {name: after[name] for name in inodes} == inodes == {json.loads(done.out)["id"]: next(iter(inodes.values()))}


def test_a_failed_cell_is_recorded_and_retried(recipe_file: Path, kit_forked: Kit) -> None:
    # A native head gives no text vectors, so `train.contrastive` fails.
    overrides = ["study.methods=[tfidf, finetune]", "study.budgets=[20]", "study.seeds=1", "data.budget=null",
             "model.pooling=native", "train.contrastive=0.5"]  # fmt: skip
    options = [part for override in overrides for part in ("--set", override)]
    failed = kit_forked("study", recipe_file, "--engine", "inline", *options)
    assert failed.code == 1
    assert "1 of the study's cells failed" in failed.err
    assert "train.contrastive: it needs text vectors" in failed.err
    assert "tfidf" in failed.out
    folder = recipe_file.parent / "runs" / "study-recipe"
    ledger = Ledger.load(folder)
    states = {cell.variant: ledger.outcome(cell, key).state for cell, key in ledger.cells.items()}  # type: ignore[union-attr]
    assert states == {"tfidf": "finished", "finetune": "failed"}
    mended = kit_forked("study", recipe_file, *options[:-2], "--engine", "inline", "--json")
    assert mended.code == 0, mended.err
    content = json.loads(mended.out)
    assert {cell["variant"] for cell in content["cells"]} == {"tfidf", "finetune"}
    assert content["failed"] == content["open"] == []


def test_a_damaged_record_of_a_cell_is_repeated(recipe_file: Path) -> None:
    recipe = small(recipe_file)
    folder = study(recipe).folder
    before = table(folder)
    runs = Path(recipe.runs)
    inodes = trainings(runs)
    damaged = before["tfidf-20-s0"][0]
    predictions = runs / damaged / "predictions.parquet"
    predictions.write_bytes(predictions.read_bytes()[:-10] + b"0123456789")
    gone = before["tfidf-40-s0"][0]
    shutil.rmtree(runs / gone)
    edited = next(row[0] for name, row in before.items() if name.startswith("probe") and "-40-" in name)
    content = json.loads((runs / edited / "record.json").read_text("utf-8"))
    content["metrics"]["accuracy"]["value"] = 0.99
    (runs / edited / "record.json").write_text(json.dumps(content), "utf-8")
    (folder / "cells" / "probe-junk.json").write_text("{")
    next(folder.glob("cells/probe-*-20-s0.json")).write_text('{"cell": 3}')
    assert Ledger.load(folder).damage == [
        f"{next(folder.glob('cells/probe-*-20-s0.json'))} is damaged: a value is missing or has another type; the next "
        "start of the study runs the cell again"
    ]
    study(recipe)
    assert table(folder) == before and Ledger.load(folder).damage == []
    again = trainings(runs)
    assert again[damaged] != inodes[damaged] and again[edited] != inodes[edited]
    assert gone in again
    kept = [name for name in inodes if name not in (damaged, gone, edited)]
    assert {name: again[name] for name in kept} == {
        name: inodes[name] for name in kept
    }  # found, though its file was damaged


def test_open_cells_are_run_by_the_next_start(recipe_file: Path) -> None:
    recipe = small(recipe_file, "study.max_minutes=0.0001")
    stopped = study(recipe)
    assert len(stopped.open) + len(stopped.finished) == 4
    assert stopped.open
    assert len(study(small(recipe_file)).finished) == 4


def test_one_model_per_series_is_always_kept(recipe_file: Path, kit: Kit) -> None:
    done = study(small(recipe_file, "study.keep_models=false"))
    kept = {outcome.cell.name: done.ledger.record(outcome).model_folder.is_dir() for outcome in done.finished}  # type: ignore[union-attr]
    assert {name.split("-")[0] for name, exists in kept.items() if exists} == {"tfidf", "probe"}
    assert sorted(kept.values()) == [False, False, True, True]
    assert all(outcome.record in done.ledger.speeds() for outcome in done.finished if kept[outcome.cell.name])
    without = next(outcome for outcome in done.finished if not kept[outcome.cell.name])
    assert done.ledger.record(without).to_dict()["model_bytes"] > 1_000  # type: ignore[union-attr]
    refused = kit("predict", done.folder.parent / without.record, "a text")
    assert refused.code == 2
    assert "kept no model" in refused.err
    assert "keep_models" in refused.err
    assert all(
        done.ledger.record(outcome).model_folder.is_dir()  # type: ignore[union-attr]
        for outcome in study(small(recipe_file)).finished
    )


def test_an_unsuitable_method_is_refused_before_any_run(recipe_file: Path) -> None:
    with pytest.raises(RecipeError, match=r"probe cannot be run: model\.pooling: native has no text vectors"):
        study(small(recipe_file, "model.pooling=native"))
    assert not (recipe_file.parent / "runs").exists()


def test_an_impossible_budget_is_refused_before_any_run(recipe_file: Path) -> None:
    with pytest.raises(BudgetError, match=r"study\.budgets: 5000 is more than the \d+ training examples"):
        study(small(recipe_file, "study.budgets=[20, 5000]"))
    assert not (recipe_file.parent / "runs").exists()


@pytest.mark.parametrize("options", [["--address", "auto"], ["--engine", "inline", "--workers", "2"]])
def test_options_of_other_engines_are_refused(recipe_file: Path, kit: Kit, options) -> None:
    done = kit("study", recipe_file, *options)
    assert done.code == 2
    assert "only --engine" in done.err


def test_a_missing_checkpoint_of_the_grid_is_reported(recipe_file: Path, kit: Kit) -> None:
    done = kit("study", recipe_file, "--set", "study.checkpoints=[nope/nope]")
    assert done.code == 2
    assert "--set study.checkpoints=[nope/nope]: study.checkpoints: nope/nope" in done.err


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("study.budgets=[]", "study.budgets must not be empty"),
        ("study.methods=[]", "study.methods must not be empty"),
        ("study.seeds=[]", "study.seeds must not be empty"),
        ("study.seeds=0", "study.seeds must be at least 1, got 0"),
        ("study.budgets=[1]", r"study.budgets[0] must be at least 2, got 1"),
        ("study.methods=[finetun]", "did you mean finetune?"),
        ("study.budget=[50]", "study.budget is not a key; budget belongs in data"),
        ("study.name=../up", "study.name"),
        ("study.gpus=2", "study.gpus must be at most 1, got 2"),
        ("study.max_minutes=0", "study.max_minutes must be greater than 0, got 0"),
        ("study.checkpoints=[no/where]", "no/where"),
        ("task=translation", "task: translation needs data.languages"),
    ],
)
def test_invalid_studies_have_exit_code_2(recipe_file: Path, kit: Kit, override, message) -> None:
    done = kit("study", recipe_file, "--set", override)
    assert done.code == 2
    assert message in done.err
    assert "Traceback" not in done.err
    assert not (recipe_file.parent / "runs").exists()


def columns(line: str) -> list[str]:
    """Return the cells of a row of a printed table."""
    return re.split(r"\s{2,}", line.strip())


def test_the_dry_run_prints_times_and_runs_nothing(recipe_file: Path, kit: Kit) -> None:
    done = kit(
        "study", recipe_file, "--dry-run", "--set", "study.methods=[tfidf, probe, finetune]", "--set",
        "study.budgets=[40, 80]", "--set", "study.seeds=2", "--set", "data.budget=null",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "12 cells, 0 of them finished; about" in done.out
    rows = [columns(line) for line in done.out.splitlines() if columns(line)[0] in ("tfidf", "probe", "finetune")]
    assert sorted((row[0], row[3], row[4]) for row in rows) == sorted(
        (method, budget, "2") for method in ("tfidf", "probe", "finetune") for budget in ("40", "80")
    )
    assert not (recipe_file.parent / "runs").exists()


def test_the_dry_run_leaves_out_finished_cells(recipe_file: Path, kit: Kit) -> None:
    run_study(small(recipe_file), name="study-recipe", engine="inline", quiet=True)
    overrides = ["study.methods=[tfidf, probe]", "study.budgets=[20, 40, 60]", "study.seeds=1", "data.budget=null"]
    done = kit("study", recipe_file, "--dry-run", *[part for override in overrides for part in ("--set", override)])
    assert "6 cells, 4 of them finished; about" in done.out
    rows = [columns(line) for line in done.out.splitlines() if columns(line)[0] in ("tfidf", "probe")]
    assert [(row[0], row[3]) for row in rows] == [("probe", "60"), ("tfidf", "60")]


def test_the_dry_run_needs_no_weights(recipe_file: Path, kit: Kit, tiny_checkpoint: Path, tmp_path: Path) -> None:
    """A teacher of two layers, a student of one layer, and only their configurations and tokenizers."""
    for layers, name in ((2, "large"), (1, "small")):
        shutil.copytree(tiny_checkpoint, tmp_path / name, ignore=shutil.ignore_patterns("*.safetensors"))
        config = json.loads((tmp_path / name / "config.json").read_text("utf-8")) | {"num_hidden_layers": layers}
        (tmp_path / name / "config.json").write_text(json.dumps(config), "utf-8")
    large, small_one = tmp_path / "large", tmp_path / "small"
    variants = (
        f"[finetune, {{name: half, of: student, steps: [float16]}}, {{name: student, method: distill, "
        f"teacher_checkpoint: {large}, set: {{distill.pool: 40}}}}]"
    )
    options = (f"study.checkpoints=[{large}, {small_one}]", f"study.variants={variants}", "study.budgets=[40]",
               "study.seeds=1", "data.budget=null", "distill.student=layers:1")  # fmt: skip
    command = ["study", recipe_file, *[part for option in options for part in ("--set", option)]]
    done = kit(*command, "--dry-run")
    assert done.code == 0, done.err
    rows = [columns(line) for line in done.out.splitlines() if columns(line)[0] in ("finetune", "student", "half")]
    parameters = {(row[0], Path(row[1]).name): row[2] for row in rows}
    assert set(parameters) == {("finetune", "large"), ("finetune", "small"), ("student", "small"), ("half", "small")}
    assert parameters["student", "small"] == parameters["half", "small"] == parameters["finetune", "small"]
    assert "2 checkpoints without weights on this machine" in done.out
    started = kit(*command)
    assert started.code == 2 and "has no model.safetensors" in started.err


def test_simultaneous_starts_run_each_cell_once(recipe_file: Path, start: Start) -> None:
    options = ["--set", "study.methods=[finetune, probe]", "--set", "study.budgets=[40]", "--set", "study.seeds=2",
               "--set", "data.budget=null", "--engine", "inline"]  # fmt: skip
    both = [start("study", recipe_file, *options) for _ in range(2)]
    runs = recipe_file.parent / "runs"
    inodes: dict[str, int] = {}
    while any(process.poll() is None for process in both):
        now = trainings(runs)
        assert {name: now.get(name) for name in inodes} == inodes, "a cell was run twice"
        inodes = now
        time.sleep(0.02)
    ends = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], ends
    folder = runs / "study-recipe"
    assert len(table(folder)) == len(trainings(runs)) == 4
    assert "Traceback" not in "".join(err for _, err in ends)
    # Each waits for the cells of the other, so both print the whole table.
    assert ends[0][0].split("next:")[0] == ends[1][0].split("next:")[0]


def test_a_study_killed_ten_times_has_the_same_results(
    recipe_file: Path, tmp_path: Path, start: Start, kit_forked: Kit
) -> None:
    """SIGKILL at random moments, of a study with cells in its own process or in a worker."""
    command = ["study", recipe_file, "--set", "study.methods=[probe, finetune]", "--set",
               "study.budgets=[20, 40]", "--set", "study.seeds=2", "--set", "data.budget=null", "--set",
               "train.checkpoint_seconds=0"]  # fmt: skip
    whole, runs = tmp_path / "whole", tmp_path / "killed"
    began = time.monotonic()
    done = kit_forked(*command, "--engine", "inline", "--set", f"runs={whole}")
    longest = (time.monotonic() - began) / 8  # so that work is left for every kill
    assert done.code == 0, done.err
    expected = table(whole / "study-recipe")
    moments = random.Random(3)
    inodes: dict[str, int] = {}
    for number in range(10):
        engine = () if number == 5 else ("--engine", "inline")  # worker processes if no engine is set
        process = start(*command, *engine, "--set", f"runs={runs}")
        while not engine and len(trainings(runs)) == len(inodes):  # it takes long to start
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(moments.uniform(0, longest))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "the study had ended"
        now = trainings(runs)
        assert {name: now.get(name) for name in inodes} == inodes, "a finished cell was lost or run again"
        inodes = now
    last = kit_forked(*command, "--engine", "inline", "--set", f"runs={runs}")
    assert last.code == 0, last.err
    assert table(runs / "study-recipe") == expected
    assert {name: number for name, number in trainings(runs).items() if name in inodes} == inodes
    assert not list(runs.glob(".*.partial"))
