"""Export: real models, loaded in processes without kit; what is refused, what must not leave, what is left behind."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from huggingface_hub import ModelCard

import kit.publishing.formats as formats_module
from kit import Recipe, Record, finetune, predict
from kit.compress import compress, recipe_of
from kit.errors import ExportError, ModelError, OutputError, RecipeError, RecordError
from kit.export import Exported, export, public
from kit.publishing.manifest import read_manifest
from kit.publishing.scan import scan

TEXTS = ["a gripping, funny film", "so dull that i left", "日本 😀", "   "]
PLAIN = """
import json, sys
sys.modules["kit"] = None
from transformers import pipeline
classify = pipeline("text-classification", sys.argv[1], truncation=True, trust_remote_code=True)
print(json.dumps([each["label"] for each in classify(json.loads(sys.argv[2]))]))
"""


@pytest.fixture(scope="module")
def exported(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Three formats in one folder, measured."""
    folder = tmp_path_factory.mktemp("export") / "exported"
    return export(tiny_run, formats=["safetensors", "onnx", "int8-onnx"], to=folder)


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


def test_the_folder_loads_with_plain_transformers(exported: Exported, tiny_run: Path) -> None:
    command = [sys.executable, "-c", PLAIN, str(exported.folder), json.dumps(TEXTS)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert json.loads(ran.stdout.strip().splitlines()[-1]) == [each["label"] for each in predict(tiny_run, TEXTS)]


def test_the_card_says_what_the_record_says(exported: Exported, tiny_run: Path) -> None:
    card = ModelCard.load(exported.folder / "README.md")
    record = Record.load(tiny_run)
    [accuracy] = [each for each in card.data.eval_results if each.metric_type == "accuracy"]
    assert accuracy.metric_value == round(record.metrics["accuracy"].value, 4)
    for said in (
        "`negative`, `positive`", "trust_remote_code", "onnxruntime.InferenceSession", "Texts are cut after 32 tokens",
        record.content["data"]["fingerprints"]["test"][:16], "one text, median ms", "int8\\-onnx",
        f"torch=={record.content['provenance']['versions']['torch']}",
    ):  # fmt: skip
        assert said in card.text, said
    block = card.text.split("```yaml\n")[1].split("```")[0]
    recipe = Recipe.model_validate(yaml.safe_load(block))
    assert recipe.train == record.recipe.train and recipe.data.budget == 120


def test_nothing_of_this_machine_is_in_the_folder(exported: Exported, tiny_run: Path, tmp_path: Path) -> None:
    assert list(scan(exported.folder, (tiny_run.parent,))) == []
    token = "hf_" + "a1B2" * 9
    (tmp_path / "config.json").write_text(json.dumps({"from": str(tiny_run), "token": token}), "utf-8")
    (tmp_path / "weights.bin").write_bytes(b"\0" * ((1 << 24) - 3) + b"/home/somebody/data" + b"\0" * 100)
    found = {(leak.file, leak.what) for leak in scan(tmp_path, (tiny_run.parent,))}
    assert ("config.json", f"the path {tiny_run.parent}") in found
    assert ("config.json", "a token (hf_a...)") in found
    assert ("weights.bin", "a path of a user (/home/somebody/)") in found
    assert token not in str(found)


def test_a_recipe_keeps_no_folder_of_this_machine() -> None:
    content = {"source": "/data/of/me/tickets.csv", "where": {"a": "b/c"}, "test": ["~/x.csv", "rel/y.csv"], "n": 3}
    assert public(content) == {"source": "tickets.csv", "where": {"a": "b/c"}, "test": ["x.csv", "rel/y.csv"], "n": 3}


def test_an_exported_folder_that_was_changed_is_refused(exported: Exported, tmp_path: Path) -> None:
    import shutil

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
    result = kit("export", tiny_run, "--to", tmp_path / "out", "--no-speed")
    assert result.code == 1
    assert "of 100 test examples are not answered as" in result.err and "nothing was exported" in result.err
    assert result.err.count(" before, ") == 5 and "Traceback" not in result.err
    assert list(tmp_path.iterdir()) == []


def test_folders_of_others_are_left_alone(tiny_run: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work", "utf-8")
    with pytest.raises(OutputError, match="is not empty and was not made by kit export"):
        export(tiny_run, to=tmp_path / "mine", speed=False)
    with pytest.raises(OutputError, match="is a file, not a folder"):
        export(tiny_run, to=tmp_path / "mine" / "thesis.txt", speed=False)
    with pytest.raises(RecipeError, match="nowhere to export to"):
        export(tiny_run)
    assert (tmp_path / "mine" / "thesis.txt").read_text("utf-8") == "years of work"


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
        ("native", "gguf"): "--format: gguf is no format of .*\n  formats: safetensors, onnx",
        ("native", "adapter"): "has no adapter\n  train with method lora",
        ("lora", "adapter"): "which it belongs to, is not on the Hub\n  --format safetensors",
    }
    for (run, name), words in refused.items():
        with pytest.raises((ModelError, RecipeError), match=words):
            export(others[run], formats=[name], to=tmp_path / "out")
    step = recipe_of(tiny_run).model_dump()
    step["compress"] |= {"steps": [{"early-exit": {"threshold": 0.9}}], "gate": {"retained": None}}
    exits = compress(Recipe.model_validate(step), quiet=True).record
    with pytest.raises(ModelError, match=f"early exits.*\n  export the run it was made of: {tiny_run.name}"):
        export(exits.folder, to=tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("run", ["words", "native"])
def test_other_kinds_of_models_go_out_as_they_are(run: str, others: dict[str, Path], tmp_path: Path) -> None:
    done = export(others[run], to=tmp_path / "out", speed=False)
    config = tmp_path / "out" / "config.json"
    if run == "native":
        assert "auto_map" not in json.loads(config.read_text("utf-8"))
        assert "trust_remote_code" not in (done.folder / "README.md").read_text("utf-8")
    before, after = (list(predict(folder, TEXTS)) for folder in (others[run], done.folder))
    assert [each["label"] for each in before] == [each["label"] for each in after]
    again = export(others[run], to=tmp_path / "out", speed=False)  # one that kit made is replaced
    assert again.size_bytes == done.size_bytes and [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_pruned_model_in_16_bits_takes_its_shape_along(tiny_run: Path, tmp_path: Path) -> None:
    content = recipe_of(tiny_run).model_dump()
    steps = [{"prune": {"heads": 0.5, "neurons": 0.5, "epochs": 0}}, "float16"]
    content["compress"] |= {"steps": steps, "gate": {"retained": None}}
    record = compress(Recipe.model_validate(content), quiet=True).record
    done = export(record.folder, to=tmp_path / "out", speed=False)
    assert done.proofs["safetensors"].largest_difference < 1e-4
    card = (done.folder / "README.md").read_text("utf-8")
    assert "dtype='float32'" in card and "float16: " in card


def test_a_proof_fails_where_labels_are_in_another_order(tiny_run: Path, tmp_path: Path, monkeypatch) -> None:
    write = formats_module.write_format

    def swapped(made, record, folder) -> None:
        write(made, record, folder)
        config = json.loads((folder / "config.json").read_text("utf-8"))
        config["id2label"] = {"0": "positive", "1": "negative"}
        (folder / "config.json").write_text(json.dumps(config), "utf-8")

    monkeypatch.setattr(formats_module, "write_format", swapped)
    with pytest.raises(ExportError, match="labels are positive, negative, not negative, positive, in order"):
        export(tiny_run, to=tmp_path / "out", speed=False)
    assert list(tmp_path.iterdir()) == []
