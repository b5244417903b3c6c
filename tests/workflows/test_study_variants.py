"""A study of variants: students of a named teacher, compression chains, cells without a source, undone steps."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file, save_file

from kit.analysis.advice_options import Wish
from kit.analysis.findings import Findings
from kit.compression.gate import Gate
from kit.errors import RecipeError
from kit.measurement.speed import speeds_from_json
from kit.recipe import Recipe
from kit.recipe.load import load_recipe, recipe_to_yaml, validated
from kit.records.record import Record
from kit.reporting.cost_tables import speeds
from kit.reporting.csv_markdown import markdown
from kit.reporting.figures.every import all_figures
from kit.reporting.page import page
from kit.runs.request import make_request
from kit.studies.analyse import analyse
from kit.studies.engines.choice import Place
from kit.studies.grid import Cell
from kit.studies.ledger import Ledger
from kit.studies.plan import plan_study
from kit.studies.work import Study
from kit.workflows.advise import advise
from kit.workflows.choose import choose_run
from kit.workflows.study import study, time_again

VARIANTS = [
    "tfidf",
    {"name": "slow", "method": "finetune", "set": {"train.epochs": 3}},
    {"name": "small student", "method": "distill", "of": "slow", "set": {"distill.student.layers": [0]}},
    {"name": "half", "of": "slow", "steps": ["float16"]},
    {"name": "tiny", "of": "small student", "steps": ["vocabulary", "float16"]},
]


def variants_recipe(recipe_file: Path, variants: list[object] = VARIANTS, **sections: object) -> Recipe:
    overrides = ["study.budgets=[40]", "study.seeds=1", "data.budget=null", "distill.pool=40"]
    content = load_recipe(recipe_file, overrides).model_dump()
    content["study"] |= {"methods": load_recipe(recipe_file).study.methods, "variants": variants}
    return validated(content | sections)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, reviews: Path, tiny_checkpoint: Path) -> Study:
    folder = tmp_path_factory.mktemp("variants")
    path = folder / "recipe.yaml"
    path.write_text(
        f"task: classification\nruns: {folder / 'runs'}\n"
        f"data: {{source: {reviews}, text: text, label: label, max_length: 32}}\n"
        f"model: {{checkpoint: {tiny_checkpoint}}}\ntrain: {{epochs: 1, evaluations: 1, refit: false}}\n",
        "utf-8",
    )
    recipe = variants_recipe(path)
    (folder / "variants.yaml").write_text(recipe_to_yaml(recipe), "utf-8")
    return study(recipe, engine="inline", quiet=True)


@pytest.fixture(scope="module")
def findings(done: Study) -> Findings:
    return analyse(done.folder)


def record_of(done: Study, variant: str) -> Record:
    (outcome,) = [outcome for outcome in done.finished if outcome.cell.variant == variant]
    record = done.ledger.record(outcome, whole=True)
    assert record is not None
    return record


def test_every_variant_has_a_record_made_from_its_source(done: Study) -> None:
    assert {outcome.cell.variant for outcome in done.finished} == {
        "tfidf", "slow", "small student", "half", "tiny",
    }  # fmt: skip
    slow, student, half, tiny = (record_of(done, name) for name in ("slow", "small student", "half", "tiny"))
    assert slow.recipe.train.epochs == 3
    assert Path(str(student.recipe.distill.teacher)) == slow.folder
    assert half.content.settings.compression is not None and half.content.settings.compression.source == slow.id
    vocabulary = tiny.content.settings.compression
    assert vocabulary is not None
    middle = Record.read(tiny.folder.parent / vocabulary.source)
    assert middle.content.settings.compression is not None
    assert middle.content.settings.compression.source == student.id
    assert half.content.model_bytes < 0.6 * slow.content.model_bytes


def test_every_variant_is_timed_and_analysed(done: Study, findings: Findings) -> None:
    series = {one.name: one for one in findings.series}
    assert {name: (one.method, one.source, one.steps) for name, one in series.items()} == {
        "tfidf": ("tfidf", "", ()),
        "slow": ("finetune", "", ()),
        "small student": ("distill", "slow", ()),
        "half": ("finetune", "slow", ("float16",)),
        "tiny": ("distill", "small student", ("vocabulary", "float16")),
    }
    assert all(one.speed is not None and one.model_bytes for one in series.values())
    for speed in done.ledger.speeds().values():
        assert (speed.batch, speed.memory_bytes) == (32, 100_000_000)
        assert speed.texts_per_second is not None and speed.texts_per_second > 10
    table = speeds(findings)
    assert {"Texts per second", "Peak memory"} <= {column.name for column in table.columns}


def test_all_models_are_timed_again_without_a_cell(done: Study, monkeypatch: pytest.MonkeyPatch, kit) -> None:
    monkeypatch.setattr("kit.studies.cell.finetune", None)
    before = done.ledger.speeds()
    changes = time_again(done.ledger.recipe, Place("inline"), quiet=True)
    now = done.ledger.speeds()
    assert now.keys() == before.keys() and now != before
    assert {one.series: (one.before, one.now) for one in changes} == {
        name: (before[record_of(done, name).id], now[record_of(done, name).id])
        for name in ("tfidf", "slow", "small student", "half", "tiny")
    }
    shown = kit(
        "study",
        done.folder.parent.parent / "variants.yaml",
        "--set",
        "study.name=study",
        "--time-again",
        "--engine",
        "inline",
    )
    assert shown.code == 0, shown.err
    assert "latency changed beyond the intervals: " in shown.out and "the Records are unchanged" in shown.out
    assert done.ledger.speeds() != now


def test_a_study_without_models_has_nothing_to_time(recipe_file: Path, kit) -> None:
    shown = kit("study", recipe_file, "--time-again", "--engine", "inline", "--set", "study.methods=[tfidf]")
    assert shown.code == 2
    assert "study-recipe has no finished cell with a model: there is nothing to time" in shown.err
    assert f"run its cells first: `kit study {recipe_file} --set 'study.methods=[tfidf]'`" in shown.err


def test_speeds_of_earlier_versions_are_read(done: Study) -> None:
    content = json.loads((done.folder / "speed.json").read_text())
    for speed in content["speeds"].values():
        for key in ("texts_per_second", "batch", "memory_bytes"):
            del speed[key]
    earlier = speeds_from_json(json.dumps(content).encode())
    assert {(one.texts_per_second, one.memory_bytes) for one in earlier.values()} == {(None, None)}
    assert {"Texts per second"} <= {one.name for one in speeds(analyse(done.folder)).columns}


def test_comparisons_with_sources_equal_independent_numbers(done: Study, findings: Findings) -> None:
    compared = {(one.series, one.source): one for one in findings.against_sources}
    assert set(compared) == {("small student", "slow"), ("half", "slow"), ("tiny", "small student")}
    for (name, source), one in compared.items():
        logits, shares = [], []
        for variant in (name, source):
            table = pq.read_table(record_of(done, variant).folder / "predictions.parquet").to_pydict()
            labels = record_of(done, variant).labels
            truth = np.array([labels.index(row[0] if isinstance(row, list) else row) for row in table["labels"]])
            logits.append(np.array(table["logits"]))
            shares.append(np.mean(logits[-1].argmax(1) == truth))
        assert one.change.difference.value == pytest.approx(shares[0] - shares[1])
        assert one.retained is not None and one.retained.value == pytest.approx(shares[0] / shares[1])
        assert one.agreement.value == pytest.approx(np.mean(logits[0].argmax(1) == logits[1].argmax(1)))
        assert one.calibration is not None and one.calibration.low <= one.calibration.value <= one.calibration.high
        assert (one.budget, one.seeds, one.undone) == (40, 1, 0)
    assert any(line.startswith(("Compression: half (", "Compression: tiny (")) for line in findings.answer)
    assert any(line.startswith("Distillation: small student ") for line in findings.answer)


def test_the_report_has_the_comparisons_with_sources(done: Study, findings: Findings) -> None:
    text = markdown(findings)
    assert "## Compression and distillation" in text and "| half | slow | 40 |" in text
    assert "Compression and distillation" in page(findings, all_figures(findings))


def test_a_named_variant_is_exported_with_its_study_on_the_card(done: Study, kit, tmp_path: Path) -> None:
    exported = kit("export", done.folder, "--variant", "half", "--to", tmp_path / "out", "--no-speed", "--with-code")
    assert exported.code == 0, exported.err
    card = (tmp_path / "out" / "README.md").read_text("utf-8")
    assert f"chosen in the study {done.folder.name}" in card.replace("\\", "")
    assert "compared with slow with 40 labels" in card
    assert json.loads((tmp_path / "out" / "kit.json").read_text("utf-8"))["record"] == record_of(done, "half").id


def test_the_choice_of_the_advice_is_the_run_to_export(done: Study) -> None:
    wish = Wish(max_size_bytes=1.01 * record_of(done, "half").content.model_bytes)
    choice = choose_run(done.folder, wish)
    advice = advise(done.folder, max_size_mb=wish.max_size_bytes / 1e6)
    assert advice.choice is not None
    assert choice.run == record_of(done, advice.choice.series).folder
    assert choice.lines[0].startswith(f"chosen in the study {done.folder.name}")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--variant", "haf"], "--variant: the study has no variant haf\n  did you mean half?"),
        (["--variant", "half", "--budget", 50], "--budget: half has no cells with 50 labels\n  its budgets are 40"),
        (["--target", 1.0, "--max-size-mb", 0.001], "no model of the study meets the target and the limits"),
    ],
)
def test_choices_that_a_study_does_not_have_are_refused(done: Study, kit, tmp_path: Path, options, message) -> None:
    refused = kit("export", done.folder, "--to", tmp_path / "out", *options)
    assert refused.code == 2 and message in refused.err


def test_options_of_studies_are_refused_for_a_run(done: Study, kit, tmp_path: Path) -> None:
    refused = kit("export", record_of(done, "half").folder, "--to", tmp_path / "out", "--variant", "half")
    assert refused.code == 2 and "is not a study, to which --variant" in refused.err


def test_a_cell_without_a_model_says_how_to_keep_it(done: Study, tmp_path: Path, kit) -> None:
    shutil.copytree(done.folder.parent, tmp_path / "runs")
    shutil.rmtree(tmp_path / "runs" / record_of(done, "half").id / "model")
    refused = kit("export", tmp_path / "runs" / done.folder.name, "--variant", "half", "--to", tmp_path / "out")
    assert refused.code == 2 and "kept no model" in refused.err
    assert "study.keep_models=true" in refused.err


def test_the_next_start_runs_nothing(done: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kit.runs.write_record._fit_and_write", lambda *_: pytest.fail("a cell was run again"))
    again = study(done.ledger.recipe, name=done.folder.name, engine="inline", quiet=True)
    assert {outcome.record for outcome in again.finished} == {outcome.record for outcome in done.finished}


def test_cells_of_a_failed_source_are_skipped_with_the_reason(recipe_file: Path) -> None:
    """The step from the vocabulary of a student fails with its teacher, two cells before."""
    failing = {"name": "slow", "method": "finetune", "set": {"train.select": "best"}}
    recipe = variants_recipe(recipe_file, [VARIANTS[0], failing, *VARIANTS[2:]])
    content = recipe.model_dump()
    content["data"]["validation"] = 0  # the best weights cannot be selected without validation examples
    result = study(validated(content), engine="inline", quiet=True)
    assert [outcome.cell.variant for outcome in result.finished] == ["tfidf"]
    assert [outcome.cell.variant for outcome in result.failed] == ["slow"]
    reasons = {outcome.cell.variant: outcome.error for outcome in result.skipped}
    assert "slow" in reasons["small student"] and "which it is made from, failed" in reasons["small student"]
    assert "small student" in reasons["tiny"] and "was skipped" in reasons["tiny"]
    states = {row.series: row.state for row in analyse(result.folder).cells}
    assert states == {
        "tfidf": "finished", "slow": "failed", "small student": "skipped", "half": "skipped", "tiny": "skipped",
    }  # fmt: skip


def test_an_undone_step_leaves_the_model_it_was_applied_to(recipe_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kit.compression.gate.Judge.gate", lambda *_: Gate(None, 0.1, ("agrees on 10.0 %",)))
    variants = ["finetune", {"name": "half", "of": "finetune", "steps": ["float16"]}]
    result = study(variants_recipe(recipe_file, variants), engine="inline", quiet=True)
    source, half = result.finished
    assert half.cell.variant == "half" and half.record == source.record
    assert half.undone == ("float16: agrees on 10.0 %",)
    (row,) = [row for row in analyse(result.folder).cells if row.series == "half"]
    assert row.undone == half.undone
    (compared,) = analyse(result.folder).against_sources
    assert (compared.undone, compared.agreement.value) == (1, 1.0)
    assert "half has the same runs as finetune: the gate undid its steps." in analyse(result.folder).notes


@pytest.mark.parametrize(
    ("variants", "refused"),
    [
        (
            "finetune, {name: a, method: finetune, set: {train.freeze_embeddings: true}}",
            "a has the same runs as finetune",
        ),
        ("finetune, distill, {name: a, method: distill, of: finetune}", "a has the same runs as distill"),
        ("tfidf, {name: a, method: tfidf, set: {tfidf.analyzer: word}}", "a has the same runs as tfidf"),
        ("tfidf, {name: a, method: distill, of: tfidf}", "a cannot be run: its teacher tfidf has no layers; name a"),
    ],
)
def test_variants_that_could_not_add_anything_are_refused(recipe_file: Path, kit, variants, refused) -> None:
    with recipe_file.open("a", encoding="utf-8") as file:
        file.write(f"study:\n  budgets: [40, 80]\n  variants: [{variants}]\n")
    line = recipe_file.read_text("utf-8").count("\n")
    study_command = kit("study", recipe_file, "--dry-run", "--set", "data.budget=null", "--set", "distill.pool=40")
    assert study_command.code == 2 and refused in study_command.err
    assert f"{recipe_file}:{line}: study.variants[" in study_command.err


def test_the_largest_checkpoint_teaches_the_others(recipe_file: Path, tiny_checkpoint: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    shutil.copytree(tiny_checkpoint, small)
    (small / "tokenizer_config.json").write_text('{"model_max_length": 32}', "utf-8")  # another checkpoint by its files
    student = {"name": "student", "method": "distill", "teacher_checkpoint": str(tiny_checkpoint)}
    recipe = variants_recipe(recipe_file, ["finetune", student])
    study_section = recipe.study.model_copy(update={"checkpoints": [str(tiny_checkpoint), str(small)]})
    done = study(recipe.model_copy(update={"study": study_section}), engine="inline", quiet=True)
    finished = {outcome.cell.series: done.ledger.record(outcome) for outcome in done.finished}
    assert set(finished) == {
        ("finetune", str(tiny_checkpoint)), ("finetune", str(small)), ("student", str(small)),
    }  # fmt: skip
    teacher, taught = finished["finetune", str(tiny_checkpoint)], finished["student", str(small)]
    assert teacher is not None and taught is not None
    assert taught.recipe.distill.teacher == str(teacher.folder)
    assert taught.content.checkpoint is not None and taught.content.checkpoint.name == str(small)
    compared = {(one.series, one.source) for one in analyse(done.folder).against_sources}
    assert compared == {("student small", "finetune tiny-bert")}


def test_a_student_larger_than_its_teacher_is_refused(recipe_file: Path, tiny_checkpoint: Path, kit, tmp_path) -> None:
    shutil.copytree(tiny_checkpoint, tmp_path / "larger")
    weights = load_file(tmp_path / "larger" / "model.safetensors")
    more = weights | {"more": np.zeros(3, np.float32)}
    save_file(more, tmp_path / "larger" / "model.safetensors", {"format": "pt"})
    student = f"{{name: a, method: distill, set: {{distill.student.checkpoint: {tmp_path / 'larger'}}}}}"
    with recipe_file.open("a", encoding="utf-8") as file:
        file.write(f"study: {{budgets: [40], variants: [finetune, {student}]}}\n")
    refused = kit("study", recipe_file, "--dry-run", "--set", "data.budget=null", "--set", "distill.pool=40")
    numbers = sum(tensor.size for tensor in weights.values())
    assert refused.code == 2 and "recipe.yaml:12: study.variants[1]: a cannot be run: the student " in refused.err
    assert f"is larger than its teacher {tiny_checkpoint}: {numbers + 3:,} weights against {numbers:,}" in refused.err


def test_variants_that_are_equal_at_one_budget_only_are_distinct(recipe_file: Path) -> None:
    """The default number of epochs falls with the budget."""
    defaults = ["train.epochs=null", "study.variants=[finetune]", "study.budgets=[40, 250]", "train.batch_size=4"]
    plan = plan_study(load_recipe(recipe_file, defaults))
    epochs = [
        make_request(plan.grid.recipe_of(cell), plan.shared).recipe.train.epochs for cell in plan.cells if not cell.seed
    ]
    assert epochs[0] != epochs[1]
    variants = f"study.variants=[finetune, {{name: long, method: finetune, set: {{train.epochs: {epochs[0]}}}}}]"
    recipe = load_recipe(recipe_file, [defaults[0], variants, *defaults[2:]])
    assert {cell.variant for cell in plan_study(recipe).cells} == {"finetune", "long"}
    one_budget = recipe.model_copy(update={"study": recipe.study.model_copy(update={"budgets": [40]})})
    with pytest.raises(RecipeError, match="long has the same runs as finetune"):
        plan_study(one_budget)


def test_studies_of_earlier_versions_are_read(done: Study, tmp_path: Path) -> None:
    """They call a variant a method."""
    cell = Cell("tfidf", None, 40, 0)
    ledger = Ledger.start(tmp_path / "study", done.ledger.recipe, {cell: "key"}, done.ledger.content["data"])
    (outcome,) = [outcome for outcome in done.finished if outcome.cell.variant == "tfidf"]
    ledger.write(replace(outcome, cell=cell, key="key"))
    for path in (tmp_path / "study").rglob("*.json"):
        path.write_text(path.read_text("utf-8").replace('"variant"', '"method"'), "utf-8")
    older = Ledger.load(tmp_path / "study")
    assert older.cells == {cell: "key"}
    assert older.outcome(cell, "key") == replace(outcome, cell=cell, key="key")


def test_chains_take_their_source_from_a_storage(recipe_file: Path, tmp_path: Path) -> None:
    """The worker that compresses may be another one than the worker that trained."""
    variants = ["tfidf", "finetune", {"name": "half", "of": "finetune", "steps": ["vocabulary", "float16"]}]
    recipe = variants_recipe(recipe_file, variants)
    result = study(recipe, engine="inline", storage=f"file://{tmp_path / 'storage'}", quiet=True)
    assert [outcome.cell.variant for outcome in result.finished] == ["tfidf", "finetune", "half"]
    half = record_of(result, "half")
    assert half.content.settings.compression is not None
    kept = {path.parent.name for path in (tmp_path / "storage").glob("*/record.json")}
    assert {outcome.record for outcome in result.finished} <= kept
    assert half.content.settings.compression.source in kept, "the Record of the step before"
