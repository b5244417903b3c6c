"""Names from files and users stay inside their folder."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from kit.errors import KitError, ModelError, OutputError, RecordError
from kit.models.checkpoints.checkpoint import resolve_checkpoint
from kit.publishing.reuse import cached_export
from kit.recipe import ModelSection
from kit.records.record import Record
from kit.runtime.names import plain_name, plain_path, regular_files
from kit.studies.ledger import Ledger
from kit.studies.record_storage import Storage
from tests.support.sealing import edit, edited

BAD_NAMES = [
    "", ".", "..", ".hidden", "/etc", "a/b", "a\\b", "C:", "C:x", "a\0b", "a\nb", "a\x1b[2J", "x" * 201, "é" * 101,
    "a\u202eb", "a\u2028b", "\ud800", " a", "a ", "a.", "NUL", "com1.txt", "a*", None, 3, ["a"], {},
]  # fmt: skip


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_that_are_not_plain_are_refused(name) -> None:
    with pytest.raises(RecordError, match="is not a plain name") as caught:
        plain_name(name, "id")
    assert caught.value.message.isprintable()


@pytest.mark.parametrize("name", ["a", "finetune-minilm-120-s0-509d3d8a", "Übung 1", "x" * 200, "a..b", "日本"])
def test_plain_names_are_returned(name) -> None:
    assert plain_name(name, "id") == name and plain_path(f"model/{name}", "files") == f"model/{name}"


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "model/../../x", "a//b", "a/", "model\\..\\x", "a/" * 9 + "b"])
def test_paths_that_lead_out_are_refused(path) -> None:
    with pytest.raises(RecordError, match="is not a path inside the folder"):
        plain_path(path, "files")


def test_an_absolute_path_is_reported_as_absolute() -> None:
    with pytest.raises(RecordError, match="is not a path inside the folder: it is absolute") as caught:
        plain_path("/etc/passwd", "files")
    assert caught.value.hint == "kit writes no such name: do not use files that you do not trust"


@pytest.fixture
def copy(tiny_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_run, tmp_path / "runs" / tiny_run.name))


NAMES = {
    "id": lambda content: content.update(id="../../victim"),
    "id of another type": lambda content: content.update(id=["a"]),
    "files": lambda content: content["files"].update({"../../victim/secret": "0"}),
    "files elsewhere in the folder": lambda content: content["files"].update({"notes.txt": "0"}),
    "files as a list": lambda content: content.update(files=list(content["files"])),
    "compression": lambda content: content["settings"].update(compression={"source": "../../victim", "start": "a"}),
    "start": lambda content: content["settings"].update(compression={"source": "a", "start": "/victim"}),
    "teachers": lambda content: content["settings"].update(teachers=[{"record": "../victim", "name": "a"}]),
    "settings": lambda content: content["settings"].update(teachers=[3]),
}  # fmt: skip


@pytest.mark.parametrize("place", NAMES)
def test_a_sealed_record_with_a_path_as_name_is_refused(copy: Path, place: str, kit) -> None:
    edit(copy / "record.json", NAMES[place], reseal=True)
    with pytest.raises(RecordError):
        Record.read(copy)
    listed = kit("list", copy.parent)
    assert listed.code == 0 and copy.name not in listed.out and "left out: " in listed.err


def test_a_folder_outside_the_cache_is_not_created_or_removed(tiny_run: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("KIT_CACHE", str(tmp_path / "cache"))
    record = edited(Record.read(tiny_run), id="../../victim")
    with pytest.raises(RecordError, match="is not a plain name"), cached_export(record):
        pytest.fail("entered")


@pytest.mark.parametrize("id_", ["../victim", "/victim", ".."])
def test_a_storage_refuses_a_path_as_id(id_: str, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is not a plain name"):
        Storage(str(tmp_path / "there")).fetch(id_, tmp_path / "runs")
    assert list(tmp_path.iterdir()) == []


def test_a_storage_does_not_return_another_run(copy: Path, tmp_path: Path) -> None:
    storage = Storage(str(tmp_path / "there"))
    storage.keep(Record.load(copy))
    (tmp_path / "there" / copy.name).rename(tmp_path / "there" / "better-run")
    assert not storage.fetch("better-run", tmp_path / "here")
    assert list((tmp_path / "here").iterdir()) == []


def test_links_are_not_copied_to_a_storage(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret", "utf-8")
    (copy / "logs" / "latest").symlink_to(tmp_path / "secret")
    Storage(str(tmp_path / "there")).keep(Record.load(copy))
    assert not (tmp_path / "there" / copy.name / "logs" / "latest").exists()


STUDY_DATA = {
    "description": "films",
    "fingerprints": {"train": "1", "test": "2"},
    **{"training_examples": 1, "test_examples": 1, "warnings": []},
}


@pytest.mark.parametrize("key", STUDY_DATA)
def test_a_study_without_facts_about_its_data_is_damaged(key: str, tiny_run: Path, tmp_path: Path) -> None:
    content = {name: value for name, value in STUDY_DATA.items() if name != key}
    Ledger.start(tmp_path, Record.read(tiny_run).recipe, {}, content)
    with pytest.raises(RecordError, match=f"study.json is damaged: data.{key}: it is missing"):
        Ledger.load(tmp_path)


@pytest.mark.parametrize("method", ["../../victim", "a/b", "", 3, None])
def test_cells_of_a_study_have_plain_names(method, tiny_run: Path, tmp_path: Path) -> None:
    from kit.studies.grid import Cell

    folder = tmp_path / "study"
    Ledger.start(folder, Record.read(tiny_run).recipe, {Cell("tfidf", None, 20, 0): "key"}, STUDY_DATA)
    assert Ledger.load(folder).cells
    edit(folder / "study.json", lambda content: content["cells"][0].update(method=method, budget="../x"))
    with pytest.raises(RecordError):
        Ledger.load(folder)


@pytest.mark.parametrize("name", ["../shard.safetensors", "/etc/passwd", "a/b.safetensors", "..\\x"])
@pytest.mark.parametrize("index", ["model.safetensors.index.json", "pytorch_model.bin.index.json"])
def test_shards_of_a_checkpoint_stay_in_its_folder(name: str, index: str, tiny_checkpoint: Path, tmp_path) -> None:
    import json

    folder = Path(shutil.copytree(tiny_checkpoint, tmp_path / "checkpoint"))
    (folder / "model.safetensors").unlink()
    (folder / index).write_text(json.dumps({"weight_map": {"a": name}}), "utf-8")
    with pytest.raises(ModelError, match="names files outside its folder"):
        resolve_checkpoint(ModelSection(checkpoint=str(folder), allow_pickle=True))


@pytest.mark.parametrize("revision", ["../../x", "/etc", "a/../b", "refs/../../x", "a\0b"])
def test_a_revision_is_not_a_path(revision: str) -> None:
    with pytest.raises(KitError):
        resolve_checkpoint(ModelSection(checkpoint="user/model", revision=revision))


def test_links_are_followed_in_a_folder_and_the_hub_cache(tmp_path: Path) -> None:
    snapshot = tmp_path / "models--user--name" / "snapshots" / "abc"
    blobs = tmp_path / "models--user--name" / "blobs"
    for folder in (snapshot / "1_Pooling", blobs):
        folder.mkdir(parents=True)
    (blobs / "123").write_text("{}", "utf-8")
    (snapshot / "config.json").symlink_to("../../blobs/123")
    (snapshot / "1_Pooling" / "config.json").symlink_to("../../../blobs/123")
    (snapshot / "same.json").symlink_to("config.json")
    assert list(regular_files(snapshot)) == ["1_Pooling/config.json", "config.json", "same.json"]
    assert list(regular_files(snapshot / "1_Pooling")) == ["config.json"]
    (tmp_path / "models--user--other" / "blobs").mkdir(parents=True)
    (tmp_path / "models--user--other" / "blobs" / "4").write_text("secret", "utf-8")
    (snapshot / "other.json").symlink_to("../../../models--user--other/blobs/4")
    with pytest.raises(RecordError, match=r"other\.json is a link that leads out of its folder"):
        regular_files(snapshot)


def test_special_files_and_broken_links_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "config.json")
    with pytest.raises(RecordError, match="is neither a file nor a folder"):
        regular_files(tmp_path)
    (tmp_path / "config.json").unlink()
    for target in ("loop", "nowhere", "/dev/zero"):
        (tmp_path / "loop").symlink_to(target)
        with pytest.raises(RecordError, match="is a link that leads"):
            regular_files(tmp_path)
        (tmp_path / "loop").unlink()


def test_the_hint_for_an_unlisted_link_is_to_remove_it(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "notes.txt").symlink_to("/etc/passwd")
    for listed, hint in (((), "remove it"), (("deep/notes.txt",), "copy the file there if you trust it")):
        with pytest.raises(RecordError, match="leads out of its folder") as caught:
            regular_files(tmp_path, listed=listed)
        assert caught.value.hint == hint


def test_files_of_file_managers_are_left_out_but_not_links(tmp_path: Path) -> None:
    (tmp_path / "onnx").mkdir()
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", "onnx/.DS_Store", "onnx/ds_store", "config.json"):
        (tmp_path / name).write_text("x", "utf-8")
    assert list(regular_files(tmp_path)) == ["config.json", "onnx/ds_store"]
    (tmp_path / ".DS_Store").unlink()
    (tmp_path / ".DS_Store").symlink_to("/etc/passwd")
    with pytest.raises(RecordError, match="leads out of its folder"):
        regular_files(tmp_path)
