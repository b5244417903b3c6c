"""Export of real models, loaded in processes without kit; refusals, private content and interrupted exports."""

from __future__ import annotations

import ast
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import yaml
from huggingface_hub import ModelCard

import kit.publishing.formats as formats_module
import kit.publishing.hub_push as hub_module
from kit import Recipe, Record, finetune, predict
from kit.errors import ExportError, ModelError, OutputError, RecipeError, RecordError
from kit.measurement.intervals import Estimate
from kit.models import model_worker
from kit.models.model_process import MeasuredTexts
from kit.publishing.hub_push import Pushed, Target
from kit.publishing.manifest import read_manifest
from kit.publishing.privacy import scan
from kit.publishing.private_paths import public
from kit.publishing.verify import Proof
from kit.runs.derived_recipes import compression_recipe
from kit.runtime.signals import NOTHING_SAVED
from kit.workflows.compress import compress
from kit.workflows.export import Exported, export
from tests.support.plain_processes import PlainProcesses
from tests.support.sealing import edit

TEXTS = ["a gripping, funny film", "so dull that i left", "日本 😀", "   "]
FORMATS = ["safetensors", "onnx", "int8-onnx"]
PLAIN = """
import json, sys
sys.modules["kit"] = None
exec(sys.argv[1])
print(json.dumps([prediction["label"] for prediction in classify(json.loads(sys.argv[2]))]))
"""


def examples_of(card: Path) -> dict[str, str]:
    """Return the Python example of each format on a card."""
    return dict(re.findall(r"\*\*(\S+)\*\*.*\n\n```python\n((?s:.*?))```", card.read_text("utf-8")))


pytestmark = pytest.mark.usefixtures("forked_proofs")


def run_example(
    code: str,
    *arguments: str,
    where: Path,
    run=subprocess.run,
    without: str = "import sys; sys.modules['kit'] = None\n",
) -> str:
    """Return the last printed line of an example that runs in a new process in the folder `where`."""
    command = [sys.executable, "-c", without + code, *arguments]
    process = run(command, capture_output=True, text=True, check=False, timeout=200, cwd=where)
    assert process.returncode == 0, process.stderr[-2000:]
    return process.stdout.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def exported(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory, forked_proofs: None) -> Exported:
    """A folder with three formats."""
    folder = tmp_path_factory.mktemp("export") / "exported"
    return export(tiny_run, formats=FORMATS, to=folder, with_code=True, speed=False)


def test_each_format_predicts_as_the_run_did(exported: Exported, tiny_run: Path) -> None:
    assert list(exported.proofs) == ["safetensors", "onnx", "int8-onnx"]
    assert exported.proofs["safetensors"].retained is None and exported.proofs["int8-onnx"].retained.value > 0.8
    assert exported.proofs["onnx"].agreement.value == 1
    before = [prediction["scores"] for prediction in predict(tiny_run, TEXTS)]
    for folder, tolerance in ((exported.folder, 1e-5), (exported.folder / "onnx", 1e-4)):
        after = [prediction["scores"] for prediction in predict(folder, TEXTS)]
        for one, other in zip(before, after, strict=True):
            assert one.keys() == other.keys()
            assert np.allclose(list(one.values()), list(other.values()), atol=tolerance)
    assert len(list(predict(exported.folder / "int8-onnx", TEXTS))) == len(TEXTS)


def test_examples_on_the_card_run_unchanged(exported: Exported, tiny_run: Path, plain: PlainProcesses) -> None:
    examples = examples_of(exported.folder / "README.md")
    assert list(examples) == ["safetensors", "onnx", "int8-onnx"]
    labels = run_example(PLAIN, examples["safetensors"], json.dumps(TEXTS), where=exported.folder.parent, run=plain.run)
    assert json.loads(labels) == [prediction["label"] for prediction in predict(tiny_run, TEXTS)]
    [prediction] = predict(tiny_run, "a text")
    assert run_example(examples["onnx"], where=exported.folder.parent, run=plain.run) == prediction["label"]


def test_verified_folder_is_reused(exported: Exported, tiny_run: Path, tmp_path: Path) -> None:
    """Reuse needs the same run, formats and kit, and unchanged files, the card included."""
    folder, messages = Path(shutil.copytree(exported.folder, tmp_path / "exported")), []
    before = {path: path.stat().st_ino for path in folder.rglob("*")}

    def export_again(**changes) -> Exported:
        messages.clear()
        options = {"formats": FORMATS, "to": folder, "with_code": True, "speed": False, "say": messages.append}
        return export(tiny_run, **{**options, **changes})

    assert export_again().proofs == exported.proofs and messages == [f"reusing the verified folder of {tiny_run.name}"]
    assert {path: path.stat().st_ino for path in folder.rglob("*")} == before
    one = export_again(formats=["safetensors"])
    assert "in a new process" in messages[0] and list(one.proofs) == ["safetensors"]
    (folder / "README.md").write_text("# Mine", "utf-8")
    export_again(formats=["safetensors"])
    assert "in a new process" in messages[0] and "# Mine" not in (folder / "README.md").read_text("utf-8")
    other = Path(shutil.copytree(tiny_run, tmp_path / "runs" / tiny_run.name))
    edit(other / "record.json", lambda content: content["seconds"].update(total=1.0), reseal=True)
    export(other, to=folder, with_code=True, speed=False, say=messages.append)
    assert "in a new process" in messages[-1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["exported", "runs"]


def test_tfidf_is_verified_without_torch() -> None:
    code = "import sys, kit.models.backends.tfidf; assert not {'torch', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_proof_line_names_its_examples() -> None:
    line = Proof(60, False, False, 1e-7, None, Estimate(0.983, 0.95, 1.0), alone=True).line
    assert line.startswith("predicts the same labels as kit on all 60 test examples")
    assert line.endswith("agrees with the run's batched predictions on 98.3 % [95.0, 100.0] of these test examples")


def test_card_contains_the_results_of_the_record(exported: Exported, tiny_run: Path) -> None:
    card = ModelCard.load(exported.folder / "README.md")
    record = Record.load(tiny_run)
    [accuracy] = [result for result in card.data.eval_results if result.metric_type == "accuracy"]
    assert accuracy.metric_value == round(record.metrics["accuracy"].value, 4)
    for text in (
        "`negative`, `positive`", "trust_remote_code", "onnxruntime.InferenceSession",
        "Texts are truncated to 32 tokens",
        record.to_dict()["data"]["fingerprints"]["test"][:16], "- `int8-onnx`: predicts the same",
        "`pip install onnxruntime tokenizers`",
        f"torch=={record.to_dict()['provenance']['versions']['torch']}",
    ):  # fmt: skip
        assert text in card.text, text
    block = card.text.split("```yaml\n")[1].split("```")[0]
    recipe = Recipe.model_validate(yaml.safe_load(block))
    assert recipe.train == record.recipe.train and recipe.data.budget == 120


def test_exported_folder_has_no_private_content(exported: Exported, tiny_run: Path, tiny_checkpoint: Path) -> None:
    assert list(scan(exported.folder, (tiny_run.parent, tiny_checkpoint))) == []


def test_exported_folder_is_not_a_record(exported: Exported) -> None:
    with pytest.raises(RecordError, match="is an exported folder, not a Record") as caught:
        Record.load(exported.folder)
    assert caught.value.hint == "name the run that it was made from: `record` in its kit.json"


def test_private_content_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret, short_token = "hf_" + "a1B2" * 9, "short-token-of-mine"
    monkeypatch.setenv("HF_TOKEN", short_token)
    monkeypatch.setattr("getpass.getuser", lambda: "anna")
    (tmp_path / "config.json").write_text(json.dumps({"from": "file:///data/me/run", "token": secret}), "utf-8")
    (tmp_path / "weights.bin").write_bytes(b"\0" * ((1 << 24) - 3) + b"/home/somebody/data" + b"\0" * 100)
    (tmp_path / "note.txt").write_text(f"{short_token} /scratch/anna/x", "utf-8")
    words = (
        "https://huggingface.co/anna/model /application b/data/me /data/mean (said /home/me/x) https://x.org/home/you/"
    )
    (tmp_path / "vocabulary.txt").write_text(words, "utf-8")
    leaks = {(leak.file, leak.what) for leak in scan(tmp_path, (Path("/data/me"), Path("/application")))}
    assert leaks == {
        ("config.json", "the path /data/me"),
        ("config.json", "a token (hf_a...)"),
        ("weights.bin", "a path of a user (/home/somebody/)"),
        ("vocabulary.txt", "a path of a user (/home/me/)"),
        ("note.txt", "your token for the Hub"),
        ("note.txt", "the path with your name, anna"),
    }


def test_public_recipe_has_no_local_folders() -> None:
    kept = {"where": {"a": "/b"}, "labels": ["/help", "~"], "n": 3}
    content = {"source": "/data/of/me/tickets.csv", "test": ["~/x.csv", "rel/y.csv", "../me/z.csv"], **kept}
    assert public(content) == {"source": "tickets.csv", "test": ["x.csv", "rel/y.csv", "z.csv"], **kept}


def test_options_of_the_command_set_the_target(tiny_run: Path, monkeypatch, kit) -> None:
    calls = []
    monkeypatch.setattr(
        sys.modules["kit.workflows.export"],
        "export",
        lambda run, **options: calls.append(options) or pytest.fail("called"),
    )
    options = ("--push", "user/name", "--pr", "--public", "--revision", "v1", "--message", "first", "--overwrite")
    options = (*options, "--with-code")
    for arguments in (options, options[:2]):
        with pytest.raises(pytest.fail.Exception):
            kit("export", tiny_run, *arguments)
    assert [call["target"] for call in calls] == [
        Target("user/name", private=False, revision="v1", message="first", pull_request=True, overwrite=True),
        Target("user/name", private=True),
    ]
    assert [call["with_code"] for call in calls] == [True, False]
    assert kit("export", tiny_run, "--to", "out", "--pr").code == 2


def test_repeated_push_needs_no_second_verification(exported: Exported, tiny_run: Path, tmp_path, monkeypatch) -> None:
    """Without --to, the verified folder waits in the cache for the same command."""
    monkeypatch.setenv("KIT_CACHE", str(tmp_path))
    monkeypatch.setattr(hub_module, "require_target", lambda target: None)
    pushed, messages = [], []

    def push(folder: Path, target: Target, about: str) -> Pushed:
        pushed.append({path.name: path.read_bytes() for path in folder.iterdir()})
        if len(pushed) == 1:
            raise ExportError("--push: the Hub is busy")
        return Pushed("a1b2", "https://hub/user/name")

    monkeypatch.setattr(hub_module, "push", push)
    options = {"target": Target("user/name"), "with_code": True, "speed": False, "say": messages.append}
    with pytest.raises(ExportError, match="is busy"):
        export(tiny_run, **options)
    [waiting] = [path for path in (tmp_path / "exports").iterdir() if path.is_dir()]
    assert read_manifest(waiting).record == tiny_run.name and "in a new process" in " ".join(messages)
    messages.clear()
    again = export(tiny_run, **options)
    assert "in a new process" not in " ".join(messages) and pushed[1] == pushed[0]
    assert again.folder is None and again.pushed.commit == "a1b2" and not waiting.exists()


def test_changed_exported_folder_is_refused(exported: Exported, tmp_path: Path) -> None:
    changed = tmp_path / "changed"
    shutil.copytree(exported.folder, changed)
    (changed / "README.md").write_text("my own card", "utf-8")  # a card may be edited
    assert read_manifest(changed).labels == ("negative", "positive")
    with (changed / "tokenizer.json").open("a") as stream:
        stream.write(" ")
    with pytest.raises(RecordError, match=r"tokenizer\.json was changed"):
        list(predict(changed, "a text"))


def test_failed_verification_leaves_nothing(tiny_run: Path, tmp_path: Path, monkeypatch, kit) -> None:
    """The weights are damaged while they are written."""
    from safetensors.numpy import load_file, save_file

    write = formats_module.write_format

    def damaged(planned, record, folder) -> None:
        write(planned, record, folder)
        tensors = load_file(folder / "model.safetensors")
        tensors["classifier.weight"] = -tensors["classifier.weight"]
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})

    monkeypatch.setattr(formats_module, "write_format", damaged)
    result = kit("export", tiny_run, "--to", tmp_path / "out", "--with-code", "--no-speed")
    assert result.code == 1
    assert "of 100 test examples differ from those of" in result.err and "nothing was exported" in result.err
    assert result.err.count(" before, ") == 5 and "Traceback" not in result.err
    assert list(tmp_path.iterdir()) == []


def test_folders_of_others_are_not_replaced(exported: Exported, tiny_run: Path, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work", "utf-8")
    shutil.copytree(exported.folder, tmp_path / "ours")
    (tmp_path / "ours" / "notes.txt").write_text("on this model", "utf-8")
    monkeypatch.chdir(tmp_path / "mine")
    refused = {
        tmp_path / "mine" / "thesis.txt": "is a file, not a folder",
        tmp_path / "ours": r"contains notes\.txt, which kit did not export",
        tmp_path: "contains the current folder, which would be replaced",
        tiny_run.parent: "contains the run, which would be replaced",
        tiny_run / "model" / "exported": "is in the folder of the run's model",
        tmp_path / ("x" * 300): "the path is too long",
        Path("/proc/exported"): "cannot write to /proc",
    }
    for to, words in refused.items():
        with pytest.raises(OutputError, match=words):
            export(tiny_run, to=to, speed=False, overwrite=to.name != "ours")
    monkeypatch.chdir("/")
    with pytest.raises(OutputError, match="is not empty and was not written by kit export"):
        export(tiny_run, to=tmp_path / "mine", speed=False)
    with pytest.raises(RecipeError, match="no place to export to"):
        export(tiny_run)
    assert (tmp_path / "mine" / "thesis.txt").read_text("utf-8") == "years of work"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "ours"]


@pytest.mark.parametrize(
    ("number", "code", "words"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "stopped by SIGTERM")]
)
def test_interrupted_export_leaves_nothing(number, code, words, start, tiny_run: Path, tmp_path: Path) -> None:
    """The process that verifies the export ends too."""
    process = start("export", tiny_run, "--to", tmp_path / "out", "--with-code", "--no-speed")
    while process.poll() is None and not checks_of(process.pid):
        time.sleep(0.05)
    [check] = checks_of(process.pid)
    process.send_signal(number)
    _, err = process.communicate()
    assert process.wait() == code and err.splitlines()[1:] == [f"error: {words}", f"  {NOTHING_SAVED}"]
    assert list(tmp_path.iterdir()) == [] and not Path(f"/proc/{check}").exists()


def checks_of(pid: int) -> list[str]:
    """Return the ids of the standalone checks that a process has started."""
    started = Path(f"/proc/{pid}/task/{pid}/children").read_text("utf-8").split()
    return [child for child in started if "standalone_check.py" in Path(f"/proc/{child}/cmdline").read_text("utf-8")]


DAMAGES = {
    "record.json has accuracy 0.990": lambda content: content["metrics"]["accuracy"].update(value=0.99, high=1.0),
    "record.json has labels positive, negative, not negative, positive": lambda content: content["labels"].reverse(),
    "record.json has data.text_columns a, b": lambda content: content["data"].update(text_columns=["a", "b"]),
    "data.sizes.budget: it is missing": lambda content: content["data"].update(sizes={}),
    "checkpoint.name: it is missing": lambda content: content.update(checkpoint={}),
    "settings: it is not an object": lambda content: content.update(provenance=1, settings=None),
    "model_bytes: it is not a whole number": lambda content: content.update(metrics={}, model_bytes="many"),
    "data.fingerprints.test: it is missing": lambda content: content["data"]["fingerprints"].pop("test"),
    "provenance.cpu: it is missing": lambda content: content["provenance"].pop("cpu"),
}


def test_edited_record_is_refused(tiny_run: Path, tmp_path: Path) -> None:
    for words, damage in DAMAGES.items():
        shutil.copytree(tiny_run, tmp_path / "run", dirs_exist_ok=True)
        edit(tmp_path / "run" / "record.json", damage, reseal=True)
        with pytest.raises(RecordError, match=f"is damaged: {words}"):
            export(tmp_path / "run", to=tmp_path / "out", speed=False)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory, reviews: Path, tiny_checkpoint: Path) -> dict[str, Path]:
    """Runs of other kinds: TF-IDF, a native head, and LoRA."""
    runs = str(tmp_path_factory.mktemp("others") / "runs")
    data = {"source": str(reviews), "text": "text", "label": "label", "budget": 60, "max_length": 32}
    shared = {"task": "classification", "runs": runs, "data": data}
    native = {"checkpoint": str(tiny_checkpoint), "pooling": "native"}
    return {
        "words": finetune(Recipe(method="tfidf", **shared), quiet=True).folder,
        "native": finetune(Recipe(model=native, train={"epochs": 1}, **shared), quiet=True).folder,
        "lora": finetune(Recipe(method="lora", model=native, train={"epochs": 1}, **shared), quiet=True).folder,
    }


def test_impossible_exports_are_refused_with_a_hint(others: dict[str, Path], tiny_run: Path, tmp_path) -> None:
    refused = {
        ("words", "onnx"): "onnx: tfidf-60-s0-[0-9a-f]* is TF-IDF with a linear model",
        ("native", "gguf"): "--format: kit cannot export .* as gguf\n  available: safetensors, onnx",
        ("native", "adapter"): "has no adapter\n  train with method lora, or leave --format out",
        ("lora", "adapter"): "its base checkpoint .* is not on the Hub\n  --format safetensors",
    }
    for (run, name), words in refused.items():
        with pytest.raises((ModelError, RecipeError), match=words):
            export(others[run], formats=[name], to=tmp_path / "out")
    step = compression_recipe(tiny_run).model_dump()
    step["compress"] |= {"steps": [{"early-exit": {"threshold": 0.9}}], "gate": {"retained": None}}
    exits = compress(Recipe.model_validate(step), quiet=True).record
    with pytest.raises(ModelError, match=f"early exits.*\n  export the run it was compressed from: {tiny_run.name}"):
        export(exits.folder, to=tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_architecture_unknown_to_transformers_is_exported_as_onnx(tiny_run: Path, tmp_path: Path, kit) -> None:
    """Users of the model need not trust code unless --with-code was used."""
    refused = kit("export", tiny_run, "--to", tmp_path / "out", "--format", "safetensors,onnx", "--no-speed")
    assert refused.code == 2 and "Traceback" not in refused.err
    assert f"--format safetensors: transformers alone cannot load the architecture of {tiny_run.name}" in refused.err
    assert (
        "--with-code adds that file, and loading then needs trust_remote_code=True; --format onnx needs" in refused.err
    )
    assert list(tmp_path.iterdir()) == []
    done = export(tiny_run, to=tmp_path / "out", speed=False)
    assert list(done.proofs) == ["onnx"] and not list(done.folder.rglob("*.py"))
    assert "trust_remote_code" not in (done.folder / "README.md").read_text("utf-8")


@pytest.mark.parametrize("run", ["words", "native"])
def test_other_kinds_of_models_are_exported_unchanged(run: str, others: dict[str, Path], tmp_path: Path) -> None:
    done = export(others[run], to=tmp_path / "out", speed=False)
    config = tmp_path / "out" / "config.json"
    if run == "native":
        assert "auto_map" not in json.loads(config.read_text("utf-8"))
        assert "trust_remote_code" not in (done.folder / "README.md").read_text("utf-8")
    before, after = (list(predict(folder, TEXTS)) for folder in (others[run], done.folder))
    assert [row["label"] for row in before] == [row["label"] for row in after]
    (tmp_path / "link").symlink_to(tmp_path / "out")
    again = export(others[run], to=tmp_path / "link", speed=False)  # an exported folder is replaced through a link too
    assert again.size_bytes == done.size_bytes and again.folder == tmp_path / "out"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "out"] and (tmp_path / "link").is_symlink()


ODD = ["<script>alert(1)</script>", "a|b", "two\nlines", "`ticks`", "/help/me", "under_score_d"]


def test_cards_of_odd_labels_and_pairs_work(
    reviews: Path, tiny_checkpoint: Path, tmp_path: Path, plain: PlainProcesses
) -> None:
    """A multi-label model of pairs as ONNX, and a TF-IDF model of pairs with one label."""
    import pandas as pd

    (tmp_path / "data").mkdir()
    for name in ("train", "test"):
        texts = pd.read_csv(reviews / f"{name}.csv").text[:90]
        frame = pd.DataFrame({"a|b": texts, "other": texts[::-1].values})
        frame["one"] = [ODD[number % len(ODD)] for number in range(len(frame))]
        frame["some"] = [[ODD[0], ODD[2]] if number % 2 else [ODD[1]] for number in range(len(frame))]
        frame.to_json(tmp_path / "data" / f"{name}.jsonl", orient="records", lines=True)
    data = {"source": str(tmp_path / "data"), "text": ["a|b", "other"], "budget": 60, "max_length": 32}
    shared = {"task": "classification", "runs": str(tmp_path / "runs")}
    words = finetune(Recipe(method="tfidf", data=data | {"label": "one"}, **shared), quiet=True)
    several = data | {"label": "some", "multi_label": True}
    model, train = {"checkpoint": str(tiny_checkpoint)}, {"epochs": 1, "refit": False}
    some = finetune(Recipe(model=model, train=train, data=several, **shared), quiet=True)
    pair = ("a text", "another")
    for record, name in ((words, "tfidf"), (some, "onnx")):
        done = export(record.folder, formats=[name], to=tmp_path / name, speed=False)
        card = (done.folder / "README.md").read_text("utf-8")
        assert "labels to a pair of texts (`a|b` and `other`)" in card and "`<script>alert(1)</script>`, " in card
        assert "`two lines`" in card and ModelCard(card).data.eval_results
        without = "" if name == "tfidf" else "import sys; sys.modules['kit'] = None\n"
        printed = run_example(
            examples_of(done.folder / "README.md")[name], where=tmp_path, run=plain.run, without=without
        )
        [prediction] = predict(record.folder, [pair])
        assert ast.literal_eval(printed) == ([prediction] if name == "tfidf" else prediction["labels"])
    card = (tmp_path / "tfidf" / "README.md").read_text("utf-8")
    assert "\n## Reproduce this model\n" in card and "```sh\nkit finetune model.yaml\n```" in card
    assert "`/help/me`" in card
    assert "kit, installed from a clone of its repository with `pip install .`" in card
    assert "pip install kit" not in card
    assert words.labels == tuple(read_manifest(tmp_path / "tfidf").recipe["data"]["labels"])


QUANTIZED = {
    "int8-torch": ("torchao", "transformers torch torchao"),
    "int8-bnb": ("bitsandbytes", "transformers torch bitsandbytes accelerate"),
    "nf4-bnb": ("bitsandbytes", "transformers torch bitsandbytes accelerate"),
}


def test_quantized_torch_models_load_without_kit(tiny_run: Path, tmp_path: Path, plain: PlainProcesses) -> None:
    done = export(tiny_run, formats=list(QUANTIZED), to=tmp_path / "out", with_code=True, speed=False)
    card = (done.folder / "README.md").read_text("utf-8")
    for name, (library, packages) in QUANTIZED.items():
        folder = done.folder if name == "int8-torch" else done.folder / name
        config = json.loads((folder / "config.json").read_text("utf-8"))
        assert config["quantization_config"]["quant_method"] == library
        assert f"**{name}**" in card and f"`pip install {packages}`" in card
        assert done.proofs[name].retained.value > 0.7 and done.proofs[name].agreement.value > 0.7
    labels = run_example(
        PLAIN, examples_of(done.folder / "README.md")[name], json.dumps(TEXTS), where=tmp_path, run=plain.run
    )
    assert json.loads(labels) == [prediction["label"] for prediction in predict(folder, TEXTS)]


def test_batch_dependent_model_is_verified_text_by_text(tiny_run: Path, tmp_path: Path) -> None:
    content = compression_recipe(tiny_run).model_dump()
    content["compress"] |= {"steps": [{"int8-torch": {"activations": True}}], "gate": {"retained": None}}
    record = compress(Recipe.model_validate(content), quiet=True).record
    done = export(record.folder, to=tmp_path / "out", with_code=True, speed=False)
    assert done.proofs["safetensors"].agreement.value > 0.9 and done.proofs["safetensors"].examples == 100
    assert len(list(predict(done.folder, TEXTS))) == len(TEXTS)
    [step] = read_manifest(done.folder).recipe["compress"]["steps"]
    assert (step["technique"], step["activations"]) == ("int8-torch", True)


class Measured:
    """Stand-in for the processes of `kit bench` within this process; `tests.workflows.test_bench` has real ones."""

    def __init__(self, name: str, folder: Path, texts: MeasuredTexts, backend: str) -> None:
        self.name, self.folder, self.backend, self._held = name, folder, backend, {}
        self._context = {"folder": str(folder), "backend": backend, "trusted": False, **asdict(texts)}

    def ask(self, do: str, **job: object) -> dict[str, object]:
        model_worker._state = self._held
        return model_worker.serve(self._context, {"do": do, **job})

    def close(self) -> None:
        self._held.clear()


def test_pruned_float16_model_needs_its_code(tiny_run: Path, tmp_path: Path, monkeypatch) -> None:
    """The card also has the speed relative to the original run."""
    monkeypatch.setattr(model_worker, "_state", {})
    monkeypatch.setattr(import_module("kit.workflows.bench"), "ModelProcess", Measured)
    monkeypatch.setattr("kit.runtime.quiet_libraries.quiet_libraries", lambda: None)
    content = compression_recipe(tiny_run).model_dump()
    steps = ["vocabulary", {"prune": {"heads": 0.5, "neurons": 0.5, "epochs": 0}}, "float16"]
    content["compress"] |= {"steps": steps, "gate": {"retained": None}}
    record = compress(Recipe.model_validate(content), quiet=True).record
    with pytest.raises(ModelError, match=f"cannot load the architecture of {record.id}"):
        export(record.folder, to=tmp_path / "out")
    done = export(record.folder, to=tmp_path / "out", with_code=True)
    assert done.proofs["safetensors"].largest_difference < 1e-4
    card = (done.folder / "README.md").read_text("utf-8")
    speeds = [
        line for line in card.split("## Speed and size")[1].split("## Verification")[0].splitlines() if "|" in line
    ]
    assert "one text, median ms" in speeds[0] and "x as fast" in speeds[3] and len(speeds) == 4
    assert "dtype='float32'" in card and "float16: " in card
    assert re.search(r"- Texts are truncated to 32 tokens \(\d+\.\d % of the test texts are longer\)", card)
    assert re.search(r"- The vocabulary was reduced to [\d,]+ of 6,000 tokens: about \d+ % of new texts", card)
    assert card.index("- vocabulary: ") < card.index("- prune ") < card.index("- float16: ")


def test_verification_fails_if_labels_change_order(tiny_run: Path, tmp_path: Path, monkeypatch) -> None:
    write = formats_module.write_format

    def swapped(planned, record, folder) -> None:
        write(planned, record, folder)
        config = json.loads((folder / "config.json").read_text("utf-8"))
        config["id2label"] = {"0": "positive", "1": "negative"}
        (folder / "config.json").write_text(json.dumps(config), "utf-8")

    monkeypatch.setattr(formats_module, "write_format", swapped)
    with pytest.raises(ExportError, match="labels are positive, negative, not negative, positive, in order"):
        export(tiny_run, to=tmp_path / "out", with_code=True, speed=False)
    assert list(tmp_path.iterdir()) == []
