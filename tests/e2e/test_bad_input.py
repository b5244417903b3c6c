"""Invalid input: one clear line, exit code 2, no traceback, no partial files."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
from importlib import import_module
from pathlib import Path

import pytest
import torch

CSV = "text,label\n" + "".join(f"a fine film number {i},{'good' if i % 2 else 'bad'}\n" for i in range(40))


@pytest.fixture
def folder(tmp_path: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the working folder, with a valid data.csv and recipe.yaml; each test breaks one thing."""
    monkeypatch.chdir(tmp_path)
    Path("data.csv").write_text(CSV, "utf-8")
    Path("recipe.yaml").write_text(
        "task: classification\n"
        "data:\n"
        "  source: data.csv\n"
        "  text: text\n"
        "  label: label\n"
        "  max_length: 16\n"
        f"model:\n  checkpoint: {tiny_checkpoint}\n"
        "train: {epochs: 1}\n",
        "utf-8",
    )
    return tmp_path


@pytest.fixture
def refused(kit, folder):
    """Return a function that runs `kit finetune recipe.yaml`, checks its refusal and returns the message."""

    def run(*arguments: str) -> str:
        before = {path for path in folder.rglob("*") if "runs" in path.parts}
        done = kit("finetune", "recipe.yaml", *arguments)
        assert done.code == 2, (done.code, done.err)
        assert "Traceback" not in done.err + done.out
        assert done.err.startswith("error: ") or "\nerror: " in done.err
        left = [p for p in folder.glob("runs/*") if p.name != ".locks"]
        assert {path for path in folder.rglob("*") if "runs" in path.parts} - before <= set(folder.glob("runs/.locks*"))
        assert not left
        return done.err

    return run


def test_the_right_recipe_is_not_refused(kit, folder) -> None:
    assert kit("finetune", "recipe.yaml").code == 0


def test_missing_recipe(kit, folder) -> None:
    done = kit("finetune", "recipes.yaml")
    assert done.code == 2
    assert "recipes.yaml" in done.err and "Traceback" not in done.err


def test_missing_file(refused) -> None:
    Path("data.csv").unlink()
    assert "data.csv" in refused()


def test_wrong_column_lists_the_columns(refused) -> None:
    message = refused("--set", "data.label=lable")
    assert "data.label: column 'lable' is not in data.csv (columns: text, label)" in message
    assert "did you mean 'label'?" in message.lower()


def test_a_test_label_missing_in_train(refused) -> None:
    Path("test.csv").write_text("text,label\na film,good\nanother,superb\n")
    assert "superb" in refused("--set", "data.test=test.csv")


def test_one_class_only(refused) -> None:
    Path("data.csv").write_text(CSV.replace(",good", ",bad"))
    assert "every training example has the label 'bad'" in refused()


def test_budget_larger_than_the_data(refused) -> None:
    message = refused("--set", "data.budget=5000")
    assert "data.budget" in message and "5000" in message


def test_budget_smaller_than_the_class_count(refused) -> None:
    rows = "".join(f"text number {i} here,c{i % 5}\n" for i in range(50))
    Path("data.csv").write_text("text,label\n" + rows)
    message = refused("--set", "data.budget=4")
    assert "4" in message and "5 classes" in message


@pytest.mark.parametrize("content", ["", "text,label\n"])
def test_empty_file(refused, content) -> None:
    Path("data.csv").write_text(content)
    assert "data.csv" in refused()


def test_file_that_is_not_utf8(refused) -> None:
    Path("data.csv").write_bytes(CSV.encode() + "caf\xe9,good\n".encode("latin-1"))
    message = refused()
    assert "data.csv" in message and "UTF-8" in message


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("train: {epochs: [1}\n", "recipe.yaml:10"),
        ("task: sentiment\n", "twice"),
        ("runs: !!python/object:os.system {}\n", "python/object"),
        ("train2: {}\n", "train2"),
    ],
)
def test_recipes_that_are_not_valid(refused, change, expected) -> None:
    with Path("recipe.yaml").open("a") as file:
        file.write(change)
    message = refused()
    assert "recipe.yaml" in message
    assert expected in message or "duplicate" in message.lower()


def test_several_mistakes_are_reported_at_once(refused) -> None:
    message = refused("--set", "train.learning_rte=1", "--set", "train.batch_size=0")
    assert "2 problems, nothing was run" in message
    assert "did you mean learning_rate?" in message


@pytest.mark.parametrize("broken", ["truncated", "no tokenizer", "pickle"])
def test_checkpoints_that_cannot_be_used(refused, tiny_checkpoint, broken) -> None:
    import torch
    from safetensors.torch import load_file

    copy = Path(shutil.copytree(tiny_checkpoint, "copy"))
    weights = copy / "model.safetensors"
    if broken == "truncated":
        weights.write_bytes(weights.read_bytes()[:10_000])
    elif broken == "no tokenizer":
        (copy / "tokenizer.json").unlink()
    else:
        torch.save(load_file(weights), copy / "pytorch_model.bin")
        weights.unlink()
    expected = {"truncated": "truncated or damaged", "no tokenizer": "no tokenizer", "pickle": "in a pickle"}
    assert expected[broken] in refused("--set", "model.checkpoint=copy")


@pytest.mark.parametrize(
    ("override", "key"),
    [("model.checkpoint=nobody/nothing", "model.checkpoint"), ("data.source=nobody/nothing", "data.source")],
)
def test_no_network_and_a_hub_id(refused, override, key) -> None:
    message = refused("--set", override)
    assert key in message and "Hub" in message


@pytest.mark.parametrize("runs", ["/sys/kit-runs", "/proc/kit-runs"])
def test_a_runs_folder_that_cannot_be_written(refused, runs) -> None:
    assert f"cannot write to {runs}" in refused("--set", f"runs={runs}")


def test_a_runs_folder_that_is_a_file(refused) -> None:
    Path("blocked").write_text("a file")
    assert "cannot write to blocked" in refused("--set", "runs=blocked")


def test_a_translation_without_its_languages(refused) -> None:
    assert "task: translation needs data.languages, source and target language ([en, de])" in refused(
        "--set", "task=translation"
    )


def test_a_missing_tracker(refused) -> None:
    assert "train.report_to: tracker 'wandbb' is not available" in refused("--set", "train.report_to=[wandbb]")


def test_bf16_on_a_processor_without_it(refused, monkeypatch) -> None:
    monkeypatch.setattr("kit.training.hardware.computes_bf16", lambda device: False)
    assert "does not compute in bfloat16" in refused("--set", "train.precision=bf16")


def test_training_that_diverges_exits_with_1_and_leaves_nothing(kit, folder) -> None:
    done = kit("finetune", "recipe.yaml", "--set", "train.weight_decay=1e38", "--set", "train.learning_rate=1")
    assert done.code == 1
    assert "is no longer a number" in done.err and "lower `train.learning_rate`" in done.err
    assert "Traceback" not in done.err
    assert [path.name for path in Path("runs").iterdir()] == [".locks"]


def write_nothing(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def small_disk(tmp_path: Path, monkeypatch):
    """Yield a file system of 1 MB; a folder that seems to be one if the machine cannot mount it, as only root may."""
    mount = tmp_path / "disk"
    mount.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(mount)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        monkeypatch.setattr("kit.runtime.files.shutil.disk_usage", lambda _: shutil._ntuple_diskusage(2**20, 0, 2**20))
        monkeypatch.setattr("torch.save", write_nothing)
        monkeypatch.setattr("transformers.modeling_utils.safe_save_file", write_nothing)
    yield mount
    if mounted.returncode == 0:
        subprocess.run(["umount", "-l", str(mount)], check=True)


def test_a_small_disk_is_refused_before_training(kit, folder, small_disk) -> None:
    done = kit("finetune", "recipe.yaml", "--set", f"runs={small_disk / 'runs'}")
    assert done.code == 2
    assert "MB are free" in done.err
    assert not [path for path in (small_disk / "runs").iterdir() if path.name != ".locks"]


def test_a_disk_that_fills_during_training_is_one_line(kit, folder, small_disk, monkeypatch) -> None:
    """Writing fails inside libraries, after the check in advance passed."""
    monkeypatch.setattr("kit.runtime.files.shutil.disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 0, 10**9))
    done = kit("finetune", "recipe.yaml", "--set", f"runs={small_disk / 'runs'}")
    assert done.code == 1, done.err
    assert "the disk is full" in done.err
    assert "Traceback" not in done.err
    drafts = list((small_disk / "runs").glob(".*.partial"))
    checkpoints = [file for draft in drafts for file in draft.rglob("checkpoint-*/files.json")]
    assert bool(drafts) is bool(checkpoints), "a draft is kept only for its checkpoints"
    assert ("; the next start continues from there" in done.err) is bool(checkpoints)


SAVING = ("--set", "train.checkpoint_seconds=0", "--set", "train.epochs=3", "--set", "train.evaluations=3", "--json")
REFUSALS = {
    "optimizer": ("torch.save", RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 1 vs 0")),
    "predictions": ("pyarrow.parquet.write_table", OSError(errno.EDQUOT, "Disk quota exceeded")),
}


@pytest.mark.parametrize("where", REFUSALS)
def test_a_refused_write_keeps_the_checkpoints(kit, folder, where, monkeypatch) -> None:
    undisturbed = json.loads(kit("finetune", "recipe.yaml", *SAVING, "--set", "runs=whole").out)
    name, refusal = REFUSALS[where]
    module, _, function = name.rpartition(".")
    original = getattr(import_module(module), function)

    def refused(*arguments, **settings):
        if any(Path("runs").glob(".*.partial/checkpoints/checkpoint-*/files.json")):
            raise refusal
        return original(*arguments, **settings)

    with monkeypatch.context() as patched:
        patched.setattr(name, refused)
        done = kit("finetune", "recipe.yaml", *SAVING)
    assert done.code == 1 and "Traceback" not in done.err and "unexpected; `--debug`" not in done.err, done.err
    assert "cannot write to runs" in done.err
    (kept,) = Path("runs").glob(".*.partial/checkpoints")
    steps = [int(path.parent.name.rpartition("-")[2]) for path in kept.glob("checkpoint-*/files.json")]
    again = kit("finetune", "recipe.yaml", *SAVING)
    assert f"continued from step {max(steps)} of" in again.err or "first training: finished by an earlier" in again.err
    assert json.loads(again.out)["metrics"] == undisturbed["metrics"]


def test_a_runs_folder_deleted_during_training_is_one_line(kit, folder, monkeypatch) -> None:
    def deleted(*arguments, **settings):
        shutil.rmtree("runs")
        return original(*arguments, **settings)

    original = torch.save
    monkeypatch.setattr("torch.save", deleted)
    done = kit("finetune", "recipe.yaml", *SAVING)
    assert done.code == 1 and "Traceback" not in done.err
    assert "the folder was removed while the run was going on" in done.err


def test_the_debug_flag_shows_the_traceback(kit_forked, folder) -> None:
    done = kit_forked("check", "recipe.yaml", "--set", "data.label=x", "--debug")
    assert "Traceback" in done.err
    assert done.code != 0


@pytest.mark.parametrize("command", ["evaluate", "predict"])
def test_a_folder_without_a_record(kit, folder, command) -> None:
    done = kit(command, "nowhere", *(["text"] if command == "predict" else []))
    assert done.code == 2
    assert "nowhere is not a Record: there is no such folder" in done.err
    assert "hf download USER/NAME --local-dir FOLDER" in done.err


def test_predicting_a_missing_file(kit, folder) -> None:
    kit("finetune", "recipe.yaml")
    (run,) = [path for path in Path("runs").iterdir() if not path.name.startswith(".")]
    done = kit("predict", run, "--file", "nothing.txt")
    assert (done.code, "there is no file nothing.txt" in done.err) == (2, True)
    done = kit("predict", run, "--file", "data.csv", "a text")
    assert (done.code, "exclude each other" in done.err) == (2, True)


@pytest.mark.parametrize("command", ["check", "finetune"])
def test_texts_longer_than_the_positions_of_the_model(kit, folder, command) -> None:
    done = kit(command, "recipe.yaml", "--set", "data.max_length=1024")
    assert done.code == 2
    assert "--set data.max_length=1024: data.max_length: 1024 tokens are more than the 512" in done.err
    assert not list(folder.glob("runs/[!.]*"))


@pytest.mark.parametrize("command", ["check", "finetune"])
def test_layers_that_need_padding(kit, folder, tiny_checkpoint, command) -> None:
    from transformers import DebertaV2Config, DebertaV2Model

    shutil.copytree(
        tiny_checkpoint, "other", ignore=shutil.ignore_patterns("*.safetensors", "1_Pooling", "modules.json")
    )
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    DebertaV2Model(DebertaV2Config(**shape, vocab_size=30_522)).save_pretrained("other")
    settings = ("--set", "model.checkpoint=other", "--set", "train.padding_free=true")
    done = kit(command, "recipe.yaml", *settings)
    assert done.code == 2, done.out
    assert "train.padding_free: a deberta-v2 model cannot be trained without padding" in done.err
    assert "Traceback" not in done.err


def test_check_refuses_like_a_run(kit, folder) -> None:
    assert "train.report_to" in kit("check", "recipe.yaml", "--set", "train.report_to=[foo]").err
    Path("file").touch()
    done = kit("check", "recipe.yaml", "--set", "runs=file/runs")
    assert (done.code, "is a file, not a folder" in done.err) == (2, True)


def test_the_order_of_sentiment_labels_is_not_guessed(kit, folder) -> None:
    rows = "".join(f"film {i},{('bad', 'ok', 'good')[i % 3]}\n" for i in range(60))
    Path("data.csv").write_text("text,label\n" + rows, "utf-8")
    done = kit("check", "recipe.yaml", "--set", "task=sentiment")
    assert done.code == 2
    assert "task sentiment needs the order of its 3 labels (bad, good, ok)" in done.err
    ordered = kit("check", "recipe.yaml", "--set", "task=sentiment", "--set", "data.labels=[bad, ok, good]")
    assert (ordered.code, "bad, ok, good" in ordered.out) == (0, True)
