"""Hashes in record.json and kit.json: changed manifests and model files are refused."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from functools import partial
from pathlib import Path

import pytest

from kit import Recipe, finetune, predict
from kit.distillation.teacher import resolve_teacher
from kit.errors import ModelError, RecordError
from kit.models.backends.backend import Backend
from kit.models.kinds import backend_of
from kit.publishing.manifest import read_manifest, written_files
from kit.publishing.saved_model import find_served
from kit.records.record import Record, is_exported
from kit.runs.derived_recipes import compression_recipe
from kit.runtime.file_types import ChainContent
from kit.runtime.seals import read_sealed, sealed
from kit.workflows.compress import compress
from kit.workflows.export import Exported, export
from tests.support.sealing import edit

TFIDF = {"tfidf.json": '{"id2label": {"0": "negative", "1": "positive"}}', "tfidf.safetensors": ""}


@pytest.fixture
def copy(tiny_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_run, tmp_path / "runs" / tiny_run.name))


@pytest.fixture(scope="module")
def words(reviews: Path, tmp_path_factory: pytest.TempPathFactory, forked_proofs: None) -> Exported:
    """An exported TF-IDF run, which is fast to train."""
    folder = tmp_path_factory.mktemp("words")
    data = {"source": str(reviews), "text": "text", "label": "label", "budget": 60}
    record = finetune(Recipe(task="classification", method="tfidf", runs=str(folder / "runs"), data=data), quiet=True)
    return export(record.folder, to=folder / "exported", speed=False)


@pytest.fixture
def exported(words: Exported, tmp_path: Path) -> Path:
    return Path(shutil.copytree(words.folder, tmp_path / "exported"))


def raise_accuracy(content) -> None:
    content["metrics"]["accuracy"].update(value=0.999, low=0.99, high=1.0)


@pytest.mark.parametrize("unsealed", [False, True])
def test_edited_record_is_refused_by_every_command(copy: Path, unsealed: bool, kit, tmp_path: Path) -> None:
    edit(copy / "record.json", raise_accuracy)
    if unsealed:
        edit(copy / "record.json", lambda content: content.pop("sha256"))
    words = "has no hash of its content" if unsealed else "record.json was changed"
    verbs = {
        "predict": [copy, "a fine film"],
        "evaluate": [copy],
        "export": [copy, "--to", tmp_path / "out"],
        "bench": [copy],
        "compress": [copy, "--steps", "onnx"],
    }
    for verb, arguments in verbs.items():
        result = kit(verb, *arguments)
        assert (result.code, words in result.err) == (2, True), (verb, result.err)
    with pytest.raises(RecordError, match=words):
        resolve_teacher(str(copy))
    listed = kit("list", copy.parent)
    assert (listed.code, "99" in listed.out, words in listed.err) == (0, False, True)


def drop_entry(folder: Path) -> None:
    """Change the weights of a model and remove their file from the list."""
    edit(folder / "record.json", lambda content: content["files"].pop("model/model.safetensors"), reseal=True)
    weights = folder / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"abcd")


def drop_predictions(folder: Path) -> None:
    edit(folder / "record.json", lambda content: content["files"].pop("predictions.parquet"), reseal=True)


def add(name: str, text: str = "{}"):
    def change(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")

    return change


@pytest.mark.parametrize(
    "damage",
    [
        drop_entry,
        drop_predictions,
        add("model/tfidf.json", TFIDF["tfidf.json"]),
        add("model/onnx.json"),
        add("model/ct2.json"),
        add("model/decoder.onnx"),
        add("model/adapter_config.json", '{"base_model_name_or_path": "user/evil"}'),
        add("model/modeling_evil.py", "1/0"),
        add("model/chat_template.jinja"),
        add("model/.hidden"),
        add("model/target/tokenizer.json"),
    ],
)
def test_run_with_unlisted_files_is_refused(copy: Path, damage) -> None:
    damage(copy)
    for load in (Record.load, find_served, lambda folder: resolve_teacher(str(folder / "model")), recipe_and_compress):
        with pytest.raises(RecordError, match=r"does not list|are not listed"):
            load(copy)


def recipe_and_compress(folder: Path) -> None:
    compress(compression_recipe(folder), quiet=True)


def test_other_files_in_a_run_are_ignored(copy: Path) -> None:
    (copy / "notes.txt").write_text("my notes", "utf-8")
    (copy / "chain.json").write_text("{}", "utf-8")
    assert Record.load(copy).id == copy.name


def test_renamed_run_loads_with_its_old_id(copy: Path) -> None:
    moved = copy.rename(copy.with_name("mine"))
    assert Record.load(moved).id == copy.name


def test_record_names_the_backend_of_the_model(copy: Path) -> None:
    assert Record.load(copy).to_dict()["backend"] == "torch"
    edit(copy / "record.json", lambda content: content.pop("backend"), reseal=True)  # earlier versions wrote none
    assert Record.load(copy).backend is Backend.TORCH
    edit(copy / "record.json", lambda content: content.update(backend="tfidf"), reseal=True)
    with pytest.raises(RecordError, match="names the backend tfidf, its files are those of torch"):
        find_served(copy)


@pytest.mark.parametrize(
    ("names", "backend"),
    [
        (["config.json", "model.safetensors", "adapter/adapter_config.json"], Backend.TORCH),
        (["config.json", "model-00001-of-00002.safetensors"], Backend.TORCH),
        (["config.json", "onnx.json", "model.onnx"], Backend.ONNX),
        (["config.json", "onnx.json", "encoder.onnx", "decoder.onnx"], Backend.ONNX_TRANSLATOR),
        (["config.json", "ct2.json", "model.bin"], Backend.CT2),
        (["tfidf.json", "tfidf.safetensors"], Backend.TFIDF),
        (["adapter_config.json", "adapter_model.safetensors"], Backend.ADAPTER),
    ],
)
def test_backend_follows_from_the_listed_files(names, backend) -> None:
    assert backend_of(names, Path("model")) is backend


@pytest.mark.parametrize("name", ["tfidf.json", "onnx.json", "ct2.json", "decoder.onnx", "adapter_config.json"])
def test_folder_with_files_of_two_models_is_refused(name: str, tiny_run: Path, tmp_path: Path, kit) -> None:
    folder = Path(shutil.copytree(tiny_run / "model", tmp_path / "plain"))
    (folder / name).write_text("{}", "utf-8")
    with pytest.raises(ModelError, match=f"has files of several models: .*{name}|has files of several models: {name}"):
        backend_of((path.name for path in folder.iterdir()), folder)


def update(content, **values) -> None:
    content.update(values)


def test_code_in_a_model_folder_does_not_run(tiny_run: Path, tmp_path: Path, kit) -> None:
    """The code does not run even if config.json, the list of files and the hash refer to it."""
    copy = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    proof = tmp_path / "executed"
    (copy / "model" / "evil.py").write_text(f"open({str(proof)!r}, 'w')\nclass Evil: pass\n", "utf-8")
    auto = {"AutoConfig": "evil.Evil", "AutoModelForSequenceClassification": "evil.Evil", "AutoTokenizer": "evil.Evil"}
    for kind in ("kit_evil", "kit_pooled", "evil", "bert"):
        edit(copy / "model" / "config.json", partial(update, model_type=kind, auto_map=auto))
        edit(copy / "model" / "tokenizer_config.json", partial(update, auto_map=auto))
        files = {
            path.relative_to(copy).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in (copy / "model").rglob("*")
            if path.is_file()
        }
        edit(copy / "record.json", partial(update, files=Record.read(copy).content.files | files), reseal=True)
        result = kit("predict", copy, "a fine film")
        assert "Traceback" not in result.err and not proof.exists(), (kind, result.err)
    assert result.code == 2


def test_exported_folder_with_added_documents_predicts(exported: Path, words: Exported) -> None:
    assert read_manifest(exported).backends == {"tfidf": Backend.TFIDF}
    (exported / "LICENSE").write_text("MIT", "utf-8")
    (exported / "plot.png").write_bytes(b"")
    (exported / "README.md").write_text("# Mine", "utf-8")
    (exported / ".gitattributes").write_text("*.onnx filter=lfs", "utf-8")
    for folder in (".git/hooks", ".cache/huggingface"):
        (exported / folder).mkdir(parents=True)
        (exported / folder / "x").write_text("x", "utf-8")
    texts = ["a fine film", "so dull"]
    assert list(predict(exported, texts)) == list(predict(words.record.folder, texts))


EDITS = {
    "labels": lambda content: content["labels"].reverse(),
    "an entry of files": lambda content: content["files"].pop("tfidf.safetensors"),
    "the hash": lambda content: content.pop("sha256"),
    "formats": lambda content: content.update(formats={"tfidf": "../other"}),
    "the recipe": lambda content: content["recipe"]["data"].update(max_length=4),
    "the format": lambda content: (content.pop("sha256"), content.update(format=1)),
}


@pytest.mark.parametrize("edited", EDITS)
def test_edited_manifest_is_refused_by_every_command(exported: Path, edited: str, kit) -> None:
    edit(exported / "kit.json", EDITS[edited])
    for verb in (["predict", exported, "a fine film"], ["bench", exported, "--texts", exported / "README.md"]):
        result = kit(*verb)
        assert (result.code, "kit.json" in result.err, "Traceback" in result.err) == (2, True, False), (
            verb,
            result.err,
        )


RESEALED = {
    "formats": lambda content: content.update(formats={"tfidf": "../other"}),
    "a name of a format": lambda content: content.update(formats={"../x": "."}, backends={"../x": "tfidf"}),
    "files": lambda content: content["files"].update({"../../victim": "0"}),
    "record": lambda content: content.update(record="../../victim"),
    "backend": lambda content: content.update(backends={"tfidf": "pickle"}),
    "types": lambda content: content.update(formats=3),
    "a missing entry": lambda content: content["files"].pop("tfidf.safetensors"),
}


@pytest.mark.parametrize("damage", RESEALED)
def test_damaged_manifest_with_a_valid_hash_is_refused(exported: Path, damage: str) -> None:
    edit(exported / "kit.json", RESEALED[damage], reseal=True)
    with pytest.raises(RecordError):
        find_served(exported)


@pytest.mark.parametrize("name", ["onnx.json", "config.json", "evil.py", "onnx/model.onnx", "pickle.bin"])
def test_exported_folder_with_an_unlisted_file_is_refused(exported: Path, name: str) -> None:
    add(name)(exported)
    with pytest.raises(RecordError, match=f"has files that kit.json does not list: {name}"):
        find_served(exported)


@pytest.mark.parametrize("name", [".DS_Store", "Thumbs.db", "desktop.ini"])
def test_files_of_file_managers_are_ignored(exported: Path, copy: Path, name: str) -> None:
    add(name, "x")(exported)
    add(f"model/{name}", "x")(copy)
    assert find_served(exported).model_folder == exported
    assert f"model/{name}" not in Record.load(copy).listed_files()


def test_manifest_with_a_text_as_format_version_is_damaged(exported: Path) -> None:
    edit(exported / "kit.json", lambda content: content.update(format="2"), reseal=True)
    with pytest.raises(RecordError, match='format is "2", which is not a whole number'):
        find_served(exported)


def test_edited_manifest_lists_no_written_files(exported: Path) -> None:
    assert written_files(exported) is not None
    edit(exported / "kit.json", lambda content: content["files"].update({"thesis.txt": "0"}))
    assert written_files(exported) is None
    edit(exported / "kit.json", lambda content: content["files"].update({"../thesis.txt": "0"}), reseal=True)
    assert written_files(exported) is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is damaged"),
        ("{", "is damaged"),
        ("[]", "it does not contain a JSON object"),
        ("{}", "was not written by `kit"),
    ],
)
def test_file_that_is_not_a_manifest_is_reported(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "kit.json").write_text(content, "utf-8")
    with pytest.raises(RecordError, match=rf"kit\.json .*{message}"):
        find_served(tmp_path)
    with pytest.raises(RecordError, match=r"is not a Record: it has no record\.json"):
        Record.read(tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("recipe", {"task": "zzz"}, "its recipe is not valid"),
        ("labels", [None], "labels.0: it is not text"),
        ("how", None, "how: it is not text"),
        ("backends", {}, "backends does not name the library of each format"),
        ("files", ["a"], "files: it is not an object"),
    ],
)
def test_manifest_with_wrong_types_is_refused(exported: Path, key: str, value: object, message: str) -> None:
    edit(exported / "kit.json", lambda content: content.update({key: value}), reseal=True)
    with pytest.raises(RecordError) as caught:
        find_served(exported)
    assert caught.value.message == f"{exported / 'kit.json'} is damaged: {message}"


def test_error_for_a_missing_format_names_the_formats(exported: Path) -> None:
    with pytest.raises(RecordError, match="has no model in onnx") as caught:
        find_served(exported / "onnx")
    assert caught.value.hint == "it has tfidf in the folder itself"


def forge(folder: Path, name: str, change) -> None:
    """Edit a JSON file of a model and update its hash in record.json."""
    file = folder / name
    content = json.loads(file.read_text("utf-8"))
    file.write_text(json.dumps(change(content)), "utf-8")
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    edit(folder / "record.json", lambda record: record["files"].update({name: sha256}), reseal=True)


TFIDF_CHANGES = {
    "nothing": lambda content: {},
    "no labels": lambda content: {**content, "id2label": None},
    "labels from 1": lambda content: {**content, "id2label": {"1": "a", "2": "b"}},
    "a missing word": lambda content: {**content, "vocabulary": content["vocabulary"][1:]},
    "no words": lambda content: {**content, "vocabulary": None},
    "another type": lambda content: {**content, "ngrams": []},
}


@pytest.mark.parametrize("change", TFIDF_CHANGES)
def test_forged_tfidf_model_is_refused(words: Exported, tmp_path: Path, change: str) -> None:
    copy = Path(shutil.copytree(words.record.folder, tmp_path / "copy"))
    forge(copy, "model/tfidf.json", TFIDF_CHANGES[change])
    with pytest.raises(ModelError, match=r"is damaged: id2label|cannot be loaded: ") as caught:
        list(predict(copy, ["a text"]))
    assert not any(word in str(caught.value) for word in ("NoneType", "subscriptable", "Error"))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("config.json", lambda content: {**content, "id2label": None}),
        ("config.json", lambda content: {"id2label": {}}),
        ("tokenizer_config.json", lambda content: {**content, "model_max_length": -1}),
        ("tokenizer_config.json", lambda content: {**content, "model_max_length": "x"}),
    ],
)
def test_forged_network_is_refused(copy: Path, name: str, change) -> None:
    forge(copy, f"model/{name}", change)
    with pytest.raises(ModelError):
        list(predict(copy, ["a text"]))


@pytest.mark.parametrize("kind", ["device", "pipe"])
def test_manifest_that_is_not_a_file_is_not_read(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "kit.json"
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    assert not is_exported(tmp_path)
    with pytest.raises(RecordError, match="is not a file"):
        read_manifest(tmp_path)


def test_manifests_are_plain_json(exported: Path) -> None:
    content = json.loads((exported / "kit.json").read_text("utf-8"))
    assert content["format"] == 2 and len(content["sha256"]) == 64


def test_chain_with_wrong_types_is_damaged(tmp_path: Path) -> None:
    for content, key in (({"source": "a", "lines": 3}, "lines"), ({"lines": []}, "source")):
        (tmp_path / "chain.json").write_text(json.dumps(sealed(content)), "utf-8")
        with pytest.raises(RecordError, match=rf"chain\.json is damaged: {key}: it is"):
            read_sealed(tmp_path / "chain.json", ChainContent, "")


@pytest.mark.parametrize("content", ["{", "[]", '{"source": "a", "lines": ["100 %"]}', '{"sha256": "0", "lines": []}'])
def test_edited_chain_stops_the_export(content: str, copy: Path, tmp_path: Path) -> None:
    (copy / "chain.json").write_text(content, "utf-8")
    with pytest.raises(RecordError, match=r"chain\.json") as caught:
        export(copy, to=tmp_path / "out", formats=["onnx"], speed=False)
    assert "repeat the `kit compress` command" in caught.value.hint
