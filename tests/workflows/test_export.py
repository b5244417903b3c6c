"""Export: real models, loaded in processes without kit; what is refused, what must not leave, what is left behind."""

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
from kit.publishing.hub_push import Pushed, Target
from kit.publishing.manifest import read_manifest
from kit.publishing.privacy import scan
from kit.publishing.private_paths import public
from kit.publishing.verify import Proof
from kit.runs.derived_recipes import compression_recipe
from kit.runtime.signals import NOTHING_SAVED
from kit.workflows import bench_worker
from kit.workflows.bench import _Sample as Sample
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
print(json.dumps([each["label"] for each in classify(json.loads(sys.argv[2]))]))
"""


def lines_of(card: Path) -> dict[str, str]:
    """The lines of a card that use each format, as people copy them."""
    return dict(re.findall(r"\*\*(\S+)\*\*.*\n\n```python\n((?s:.*?))```", card.read_text("utf-8")))


pytestmark = pytest.mark.usefixtures("forked_proofs")


def run_lines(
    code: str,
    *arguments: str,
    where: Path,
    run=subprocess.run,
    without: str = "import sys; sys.modules['kit'] = None\n",
) -> str:
    """What lines print, in a process of their own, beside the exported folder."""
    command = [sys.executable, "-c", without + code, *arguments]
    ran = run(command, capture_output=True, text=True, check=False, timeout=200, cwd=where)
    assert ran.returncode == 0, ran.stderr[-2000:]
    return ran.stdout.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def exported(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory, forked_proofs: None) -> Exported:
    """Three formats in one folder."""
    folder = tmp_path_factory.mktemp("export") / "exported"
    return export(tiny_run, formats=FORMATS, to=folder, with_code=True, speed=False)


def test_each_format_answers_as_the_run_did(exported: Exported, tiny_run: Path) -> None:
    assert list(exported.proofs) == ["safetensors", "onnx", "int8-onnx"]
    assert exported.proofs["safetensors"].retained is None and exported.proofs["int8-onnx"].retained.value > 0.8
    assert exported.proofs["onnx"].agreement.value == 1
    before = [answer["scores"] for answer in predict(tiny_run, TEXTS)]
    for folder, tolerance in ((exported.folder, 1e-5), (exported.folder / "onnx", 1e-4)):
        after = [answer["scores"] for answer in predict(folder, TEXTS)]
        for one, other in zip(before, after, strict=True):
            assert one.keys() == other.keys()
            assert np.allclose(list(one.values()), list(other.values()), atol=tolerance)
    assert len(list(predict(exported.folder / "int8-onnx", TEXTS))) == len(TEXTS)


def test_the_lines_of_the_card_run_as_they_stand(exported: Exported, tiny_run: Path, plain: PlainProcesses) -> None:
    lines = lines_of(exported.folder / "README.md")
    assert list(lines) == ["safetensors", "onnx", "int8-onnx"]
    labels = run_lines(PLAIN, lines["safetensors"], json.dumps(TEXTS), where=exported.folder.parent, run=plain.run)
    assert json.loads(labels) == [each["label"] for each in predict(tiny_run, TEXTS)]
    [told] = predict(tiny_run, "a text")
    assert run_lines(lines["onnx"], where=exported.folder.parent, run=plain.run) == told["label"]


def test_what_was_proven_is_found_again(exported: Exported, tiny_run: Path, tmp_path: Path) -> None:
    """Only for the same run, formats and kit, where each file is as it was written, the card too."""
    folder, said = Path(shutil.copytree(exported.folder, tmp_path / "exported")), []
    before = {path: path.stat().st_ino for path in folder.rglob("*")}

    def again(**changes) -> Exported:
        said.clear()
        wanted = {"formats": FORMATS, "to": folder, "with_code": True, "speed": False, "say": said.append}
        return export(tiny_run, **{**wanted, **changes})

    assert again().proofs == exported.proofs and said == [f"found the folder again that was proven for {tiny_run.name}"]
    assert {path: path.stat().st_ino for path in folder.rglob("*")} == before
    one = again(formats=["safetensors"])
    assert "in a fresh process" in said[0] and list(one.proofs) == ["safetensors"]
    (folder / "README.md").write_text("# Mine", "utf-8")
    again(formats=["safetensors"])
    assert "in a fresh process" in said[0] and "# Mine" not in (folder / "README.md").read_text("utf-8")
    other = Path(shutil.copytree(tiny_run, tmp_path / "runs" / tiny_run.name))
    edit(other / "record.json", lambda content: content["seconds"].update(total=1.0), reseal=True)
    export(other, to=folder, with_code=True, speed=False, say=said.append)
    assert "in a fresh process" in said[-1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["exported", "runs"]


def test_tfidf_is_proven_without_torch() -> None:
    code = "import sys, kit.models.backends.tfidf; assert not {'torch', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_agreement_of_a_proof_names_its_examples() -> None:
    line = Proof(60, False, False, 1e-7, None, Estimate(0.983, 0.95, 1.0), alone=True).line
    assert line.startswith("without kit the same labels as with it on all 60 test examples")
    assert line.endswith("agrees with the run's answers in batches on 98.3 % [95.0, 100.0] of these test examples")


def test_the_card_says_what_the_record_says(exported: Exported, tiny_run: Path) -> None:
    card = ModelCard.load(exported.folder / "README.md")
    record = Record.load(tiny_run)
    [accuracy] = [each for each in card.data.eval_results if each.metric_type == "accuracy"]
    assert accuracy.metric_value == round(record.metrics["accuracy"].value, 4)
    for said in (
        "`negative`, `positive`", "trust_remote_code", "onnxruntime.InferenceSession", "Texts are cut after 32 tokens",
        record.content["data"]["fingerprints"]["test"][:16], "- `int8-onnx`: without kit the same",
        "`pip install onnxruntime tokenizers`",
        f"torch=={record.content['provenance']['versions']['torch']}",
    ):  # fmt: skip
        assert said in card.text, said
    block = card.text.split("```yaml\n")[1].split("```")[0]
    recipe = Recipe.model_validate(yaml.safe_load(block))
    assert recipe.train == record.recipe.train and recipe.data.budget == 120


def test_nothing_of_this_machine_is_in_the_folder(exported: Exported, tiny_run: Path, tiny_checkpoint: Path) -> None:
    assert list(scan(exported.folder, (tiny_run.parent, tiny_checkpoint))) == []


def test_an_exported_folder_is_not_taken_for_a_record(exported: Exported) -> None:
    with pytest.raises(RecordError, match="is an exported folder, not a Record") as caught:
        Record.load(exported.folder)
    assert caught.value.hint == "name the run that it was made from: `record` in its kit.json"


def test_what_tells_of_this_machine_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token, mine = "hf_" + "a1B2" * 9, "short-token-of-mine"
    monkeypatch.setenv("HF_TOKEN", mine)
    monkeypatch.setattr("getpass.getuser", lambda: "anna")
    (tmp_path / "config.json").write_text(json.dumps({"from": "file:///data/me/run", "token": token}), "utf-8")
    (tmp_path / "weights.bin").write_bytes(b"\0" * ((1 << 24) - 3) + b"/home/somebody/data" + b"\0" * 100)
    (tmp_path / "note.txt").write_text(f"{mine} /scratch/anna/x", "utf-8")
    words = (
        "https://huggingface.co/anna/model /application b/data/me /data/mean (said /home/me/x) https://x.org/home/you/"
    )
    (tmp_path / "vocabulary.txt").write_text(words, "utf-8")
    found = {(leak.file, leak.what) for leak in scan(tmp_path, (Path("/data/me"), Path("/application")))}
    assert found == {
        ("config.json", "the path /data/me"),
        ("config.json", "a token (hf_a...)"),
        ("weights.bin", "a path of a user (/home/somebody/)"),
        ("vocabulary.txt", "a path of a user (/home/me/)"),
        ("note.txt", "your token for the Hub"),
        ("note.txt", "the path with your name, anna"),
    }


def test_a_recipe_keeps_no_folder_of_this_machine() -> None:
    kept = {"where": {"a": "/b"}, "labels": ["/help", "~"], "n": 3}
    content = {"source": "/data/of/me/tickets.csv", "test": ["~/x.csv", "rel/y.csv", "../me/z.csv"], **kept}
    assert public(content) == {"source": "tickets.csv", "test": ["x.csv", "rel/y.csv", "z.csv"], **kept}


def test_the_command_says_where_to_push(tiny_run: Path, monkeypatch, kit) -> None:
    asked = []
    monkeypatch.setattr(
        sys.modules["kit.workflows.export"],
        "export",
        lambda run, **wanted: asked.append(wanted) or pytest.fail("asked"),
    )
    words = ("--push", "user/name", "--pr", "--public", "--revision", "v1", "--message", "first", "--overwrite")
    words = (*words, "--with-code")
    for arguments in (words, words[:2]):
        with pytest.raises(pytest.fail.Exception):
            kit("export", tiny_run, *arguments)
    assert [each["target"] for each in asked] == [
        Target("user/name", private=False, revision="v1", message="first", pull_request=True, overwrite=True),
        Target("user/name", private=True),
    ]
    assert [each["with_code"] for each in asked] == [True, False]
    assert kit("export", tiny_run, "--to", "out", "--pr").code == 2


def test_a_push_that_failed_has_no_second_proof(exported: Exported, tiny_run: Path, tmp_path, monkeypatch) -> None:
    """Where it was only to be pushed, the proven folder waits in the cache for the same command."""
    monkeypatch.setenv("KIT_CACHE", str(tmp_path))
    monkeypatch.setattr(hub_module, "require_target", lambda target: None)
    pushed, said = [], []

    def push(folder: Path, target: Target, about: str) -> Pushed:
        pushed.append({path.name: path.read_bytes() for path in folder.iterdir()})
        if len(pushed) == 1:
            raise ExportError("--push: the Hub is busy")
        return Pushed("a1b2", "https://hub/user/name")

    monkeypatch.setattr(hub_module, "push", push)
    wanted = {"target": Target("user/name"), "with_code": True, "speed": False, "say": said.append}
    with pytest.raises(ExportError, match="is busy"):
        export(tiny_run, **wanted)
    [waiting] = [path for path in (tmp_path / "exports").iterdir() if path.is_dir()]
    assert read_manifest(waiting).record == tiny_run.name and "in a fresh process" in " ".join(said)
    said.clear()
    done = export(tiny_run, **wanted)
    assert "in a fresh process" not in " ".join(said) and pushed[1] == pushed[0]
    assert done.folder is None and done.pushed.commit == "a1b2" and not waiting.exists()


def test_an_exported_folder_that_was_changed_is_refused(exported: Exported, tmp_path: Path) -> None:
    changed = tmp_path / "changed"
    shutil.copytree(exported.folder, changed)
    (changed / "README.md").write_text("my own card", "utf-8")  # a card may be edited
    assert read_manifest(changed).labels == ("negative", "positive")
    with (changed / "tokenizer.json").open("a") as stream:
        stream.write(" ")
    with pytest.raises(RecordError, match=r"tokenizer\.json was changed"):
        list(predict(changed, "a text"))


def test_where_an_answer_differs_nothing_is_left(tiny_run: Path, tmp_path: Path, monkeypatch, kit) -> None:
    """The weights are damaged on their way out: the only thing that is put in by hand."""
    from safetensors.numpy import load_file, save_file

    write = formats_module.write_format

    def damaged(made, record, folder) -> None:
        write(made, record, folder)
        tensors = load_file(folder / "model.safetensors")
        tensors["classifier.weight"] = -tensors["classifier.weight"]
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})

    monkeypatch.setattr(formats_module, "write_format", damaged)
    result = kit("export", tiny_run, "--to", tmp_path / "out", "--with-code", "--no-speed")
    assert result.code == 1
    assert "of 100 test examples are not answered as" in result.err and "nothing was exported" in result.err
    assert result.err.count(" before, ") == 5 and "Traceback" not in result.err
    assert list(tmp_path.iterdir()) == []


def test_folders_of_others_are_left_alone(exported: Exported, tiny_run: Path, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work", "utf-8")
    shutil.copytree(exported.folder, tmp_path / "ours")
    (tmp_path / "ours" / "notes.txt").write_text("on this model", "utf-8")
    monkeypatch.chdir(tmp_path / "mine")
    refused = {
        tmp_path / "mine" / "thesis.txt": "is a file, not a folder",
        tmp_path / "ours": r"holds notes\.txt, not by kit",
        tmp_path: "holds the current folder, and would be replaced",
        tiny_run.parent: "holds the run, and would be replaced",
        tiny_run / "model" / "exported": "is in the folder of the run's model",
        tmp_path / ("x" * 300): "the path is too long",
        Path("/proc/exported"): "cannot write to /proc",
    }
    for to, words in refused.items():
        with pytest.raises(OutputError, match=words):
            export(tiny_run, to=to, speed=False, overwrite=to.name != "ours")
    monkeypatch.chdir("/")
    with pytest.raises(OutputError, match="is not empty and was not made by kit export"):
        export(tiny_run, to=tmp_path / "mine", speed=False)
    with pytest.raises(RecipeError, match="nowhere to export to"):
        export(tiny_run)
    assert (tmp_path / "mine" / "thesis.txt").read_text("utf-8") == "years of work"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "ours"]


@pytest.mark.parametrize(
    ("number", "code", "words"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "stopped by SIGTERM")]
)
def test_an_export_that_is_stopped_leaves_nothing(number, code, words, start, tiny_run: Path, tmp_path: Path) -> None:
    """Nor the process that proves: it is found by the draft that it was given."""
    process = start("export", tiny_run, "--to", tmp_path / "out", "--with-code", "--no-speed")
    while process.poll() is None and not probes_of(process.pid):
        time.sleep(0.05)
    [probe] = probes_of(process.pid)
    process.send_signal(number)
    _, err = process.communicate()
    assert process.wait() == code and err.splitlines()[1:] == [f"error: {words}", f"  {NOTHING_SAVED}"]
    assert list(tmp_path.iterdir()) == [] and not Path(f"/proc/{probe}").exists()


def probes_of(pid: int) -> list[str]:
    """Ids of the proofs that a process has started."""
    started = Path(f"/proc/{pid}/task/{pid}/children").read_text("utf-8").split()
    return [each for each in started if "probe.py" in Path(f"/proc/{each}/cmdline").read_text("utf-8")]


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


def test_a_record_that_was_changed_by_hand_is_refused(tiny_run: Path, tmp_path: Path) -> None:
    for words, damage in DAMAGES.items():
        shutil.copytree(tiny_run, tmp_path / "run", dirs_exist_ok=True)
        edit(tmp_path / "run" / "record.json", damage, reseal=True)
        with pytest.raises(RecordError, match=f"is damaged: {words}"):
            export(tmp_path / "run", to=tmp_path / "out", speed=False)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory, reviews: Path, tiny_checkpoint: Path) -> dict[str, Path]:
    """Runs of other kinds: words alone, a head of the architecture's own, and adapters."""
    runs = str(tmp_path_factory.mktemp("others") / "runs")
    data = {"source": str(reviews), "text": "text", "label": "label", "budget": 60, "max_length": 32}
    shared = {"task": "classification", "runs": runs, "data": data}
    native = {"checkpoint": str(tiny_checkpoint), "pooling": "native"}
    return {
        "words": finetune(Recipe(method="tfidf", **shared), quiet=True).folder,
        "native": finetune(Recipe(model=native, train={"epochs": 1}, **shared), quiet=True).folder,
        "lora": finetune(Recipe(method="lora", model=native, train={"epochs": 1}, **shared), quiet=True).folder,
    }


def test_what_cannot_be_exported_is_refused_with_the_way_out(others: dict[str, Path], tiny_run: Path, tmp_path) -> None:
    refused = {
        ("words", "onnx"): "onnx: tfidf-60-s0-[0-9a-f]* is TF-IDF with a linear model",
        ("native", "gguf"): "--format: kit cannot export .* as gguf\n  available: safetensors, onnx",
        ("native", "adapter"): "has no adapter\n  train with method lora, or leave --format out",
        ("lora", "adapter"): "which it belongs to, is not on the Hub\n  --format safetensors",
    }
    for (run, name), words in refused.items():
        with pytest.raises((ModelError, RecipeError), match=words):
            export(others[run], formats=[name], to=tmp_path / "out")
    step = compression_recipe(tiny_run).model_dump()
    step["compress"] |= {"steps": [{"early-exit": {"threshold": 0.9}}], "gate": {"retained": None}}
    exits = compress(Recipe.model_validate(step), quiet=True).record
    with pytest.raises(ModelError, match=f"early exits.*\n  export the run it was made of: {tiny_run.name}"):
        export(exits.folder, to=tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_shape_that_transformers_has_no_class_for_leaves_as_a_graph(tiny_run: Path, tmp_path: Path, kit) -> None:
    """Nobody is asked to trust code, unless the one who exports said so."""
    refused = kit("export", tiny_run, "--to", tmp_path / "out", "--format", "safetensors,onnx", "--no-speed")
    assert refused.code == 2 and "Traceback" not in refused.err
    assert f"--format safetensors: plain transformers has no class for the shape of {tiny_run.name}" in refused.err
    assert "--with-code takes that file along, and then loading needs trust_remote_code=True; --format onnx needs" in (
        refused.err
    )
    assert list(tmp_path.iterdir()) == []
    done = export(tiny_run, to=tmp_path / "out", speed=False)
    assert list(done.proofs) == ["onnx"] and not list(done.folder.rglob("*.py"))
    assert "trust_remote_code" not in (done.folder / "README.md").read_text("utf-8")


@pytest.mark.parametrize("run", ["words", "native"])
def test_other_kinds_of_models_go_out_as_they_are(run: str, others: dict[str, Path], tmp_path: Path) -> None:
    done = export(others[run], to=tmp_path / "out", speed=False)
    config = tmp_path / "out" / "config.json"
    if run == "native":
        assert "auto_map" not in json.loads(config.read_text("utf-8"))
        assert "trust_remote_code" not in (done.folder / "README.md").read_text("utf-8")
    before, after = (list(predict(folder, TEXTS)) for folder in (others[run], done.folder))
    assert [each["label"] for each in before] == [each["label"] for each in after]
    (tmp_path / "link").symlink_to(tmp_path / "out")
    again = export(others[run], to=tmp_path / "link", speed=False)  # what kit made is replaced, a link leads there
    assert again.size_bytes == done.size_bytes and again.folder == tmp_path / "out"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "out"] and (tmp_path / "link").is_symlink()


ODD = ["<script>alert(1)</script>", "a|b", "two\nlines", "`ticks`", "/help/me", "under_score_d"]


def test_odd_labels_and_pairs(reviews: Path, tiny_checkpoint: Path, tmp_path: Path, plain: PlainProcesses) -> None:
    """Several labels a pair of texts, as a graph, and one label a pair in TF-IDF: cards and their lines."""
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
        assert "Gives two texts (`a|b` and `other`)" in card and "`<script>alert(1)</script>`, " in card
        assert "`two lines`" in card and ModelCard(card).data.eval_results
        without = "" if name == "tfidf" else "import sys; sys.modules['kit'] = None\n"
        printed = run_lines(lines_of(done.folder / "README.md")[name], where=tmp_path, run=plain.run, without=without)
        [told] = predict(record.folder, [pair])
        assert ast.literal_eval(printed) == ([told] if name == "tfidf" else told["labels"])
    card = (tmp_path / "tfidf" / "README.md").read_text("utf-8")
    assert "\n## Reproduce this model\n" in card and "```sh\nkit finetune model.yaml\n```" in card
    assert "`/help/me`" in card
    assert "kit itself, installed from a copy of its repository: `pip install .` there" in card
    assert "pip install kit" not in card
    assert words.labels == tuple(read_manifest(tmp_path / "tfidf").recipe["data"]["labels"])


QUANTIZED = {
    "int8-torch": ("torchao", "transformers torch torchao"),
    "int8-bnb": ("bitsandbytes", "transformers torch bitsandbytes accelerate"),
    "nf4-bnb": ("bitsandbytes", "transformers torch bitsandbytes accelerate"),
}


def test_quantized_models_of_torch_load_without_kit(tiny_run: Path, tmp_path: Path, plain: PlainProcesses) -> None:
    done = export(tiny_run, formats=list(QUANTIZED), to=tmp_path / "out", with_code=True, speed=False)
    card = (done.folder / "README.md").read_text("utf-8")
    for name, (library, packages) in QUANTIZED.items():
        folder = done.folder if name == "int8-torch" else done.folder / name
        config = json.loads((folder / "config.json").read_text("utf-8"))
        assert config["quantization_config"]["quant_method"] == library
        assert f"**{name}**" in card and f"`pip install {packages}`" in card
        assert done.proofs[name].retained.value > 0.7 and done.proofs[name].agreement.value > 0.7
    answers = run_lines(
        PLAIN, lines_of(done.folder / "README.md")[name], json.dumps(TEXTS), where=tmp_path, run=plain.run
    )
    assert json.loads(answers) == [each["label"] for each in predict(folder, TEXTS)]


def test_a_model_that_rounds_activations_by_the_batch_is_proven_text_by_text(tiny_run: Path, tmp_path: Path) -> None:
    content = compression_recipe(tiny_run).model_dump()
    content["compress"] |= {"steps": [{"int8-torch": {"activations": True}}], "gate": {"retained": None}}
    record = compress(Recipe.model_validate(content), quiet=True).record
    done = export(record.folder, to=tmp_path / "out", with_code=True, speed=False)
    assert done.proofs["safetensors"].agreement.value > 0.9 and done.proofs["safetensors"].examples == 100
    assert len(list(predict(done.folder, TEXTS))) == len(TEXTS)
    [step] = read_manifest(done.folder).recipe["compress"]["steps"]
    assert (step["technique"], step["activations"]) == ("int8-torch", True)


class Measured:
    """What `kit.bench` measures a model in, here within this process: `tests.workflows.test_bench` has real ones."""

    def __init__(self, name: str, folder: Path, backend: str, sample: Sample) -> None:
        self.name, self.folder, self.backend, self._held = name, folder, backend, {}
        self._context = {"folder": str(folder), "backend": backend, **asdict(sample)}

    def ask(self, do: str, **job: object) -> dict[str, object]:
        bench_worker._held = self._held
        return bench_worker.serve(self._context, {"do": do, **job})

    def close(self) -> None:
        self._held.clear()


def test_a_pruned_model_in_16_bits_takes_its_shape_along(tiny_run: Path, tmp_path: Path, monkeypatch) -> None:
    """With its speed, against the run that it was made of."""
    monkeypatch.setattr(bench_worker, "_held", {})
    monkeypatch.setattr(import_module("kit.workflows.bench"), "_Process", Measured)
    monkeypatch.setattr("kit.runtime.quiet_libraries.quiet_libraries", lambda: None)
    content = compression_recipe(tiny_run).model_dump()
    steps = ["vocabulary", {"prune": {"heads": 0.5, "neurons": 0.5, "epochs": 0}}, "float16"]
    content["compress"] |= {"steps": steps, "gate": {"retained": None}}
    record = compress(Recipe.model_validate(content), quiet=True).record
    with pytest.raises(ModelError, match=f"no class for the shape of {record.id}"):
        export(record.folder, to=tmp_path / "out")
    done = export(record.folder, to=tmp_path / "out", with_code=True)
    assert done.proofs["safetensors"].largest_difference < 1e-4
    card = (done.folder / "README.md").read_text("utf-8")
    speeds = [line for line in card.split("## Speed and size")[1].split("## Proof")[0].splitlines() if "|" in line]
    assert "one text, median ms" in speeds[0] and "x as fast" in speeds[3] and len(speeds) == 4
    assert "dtype='float32'" in card and "float16: " in card
    assert re.search(r"- Texts are cut after 32 tokens \(\d+\.\d % of the test texts\)", card)
    assert re.search(r"- Its vocabulary has [\d,]+ of 30,522 tokens: about \d+ % of new texts", card)
    assert card.index("- vocabulary: ") < card.index("- prune ") < card.index("- float16: ")


def test_a_proof_fails_where_labels_are_in_another_order(tiny_run: Path, tmp_path: Path, monkeypatch) -> None:
    write = formats_module.write_format

    def swapped(made, record, folder) -> None:
        write(made, record, folder)
        config = json.loads((folder / "config.json").read_text("utf-8"))
        config["id2label"] = {"0": "positive", "1": "negative"}
        (folder / "config.json").write_text(json.dumps(config), "utf-8")

    monkeypatch.setattr(formats_module, "write_format", swapped)
    with pytest.raises(ExportError, match="labels are positive, negative, not negative, positive, in order"):
        export(tiny_run, to=tmp_path / "out", with_code=True, speed=False)
    assert list(tmp_path.iterdir()) == []
