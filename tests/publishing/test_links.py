"""Links that lead out of a folder are refused, so that no other file gets into a run, an export or the Hub."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import kit.publishing.hub_push as hub_module
from kit.distillation.teacher import resolve_teacher
from kit.errors import ExportError, ModelError, OutputError, RecordError
from kit.models.checkpoints.checkpoint import resolve_checkpoint
from kit.publishing.formats import plan_formats, write_format
from kit.publishing.hub_push import Target, push
from kit.publishing.remote import State
from kit.recipe import ModelSection
from kit.records.record import Record
from kit.workflows.export import export

SECRET = "nobody may read this"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "secret").write_text(SECRET, "utf-8")
    return tmp_path / "private" / "secret"


@pytest.fixture
def checkpoint(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "checkpoint"))


@pytest.mark.parametrize(
    "name",
    ["chat_template.jinja", "added_tokens.json", "modeling_own.py", ".gitattributes", "README.md", "1_Pooling/x.json"],
)
def test_checkpoint_with_a_link_out_of_its_folder_is_refused(name: str, checkpoint: Path, secret: Path, kit) -> None:
    (checkpoint / name).symlink_to(secret)
    with pytest.raises(ModelError, match=rf"model\.checkpoint: .*{name} is a link that leads out of its folder"):
        resolve_checkpoint(ModelSection(checkpoint=str(checkpoint), trust_remote_code=True))
    with pytest.raises(ModelError, match=rf"distill\.teacher: .*{name} is a link"):
        resolve_teacher(str(checkpoint))
    if name == "chat_template.jinja":
        result = kit("bench", checkpoint, "--texts", secret)
        assert (result.code, f"{name} is a link" in result.err, SECRET in result.err) == (2, True, False)


def test_relative_links_and_links_to_folders_are_refused(checkpoint: Path, secret: Path) -> None:
    (checkpoint / "chat_template.jinja").symlink_to(Path("..") / "private" / "secret")
    with pytest.raises(ModelError, match="is a link that leads out of its folder"):
        resolve_checkpoint(ModelSection(checkpoint=str(checkpoint)))
    (checkpoint / "chat_template.jinja").unlink()
    (checkpoint / "additional_chat_templates").symlink_to(secret.parent)
    with pytest.raises(ModelError, match="additional_chat_templates is a link"):
        resolve_checkpoint(ModelSection(checkpoint=str(checkpoint)))


def test_snapshot_in_the_hub_cache_is_a_checkpoint(tiny_checkpoint: Path, tmp_path: Path) -> None:
    repository = tmp_path / "models--user--name"
    snapshot, blobs = repository / "snapshots" / "abc", repository / "blobs"
    blobs.mkdir(parents=True)
    for number, path in enumerate(path for path in tiny_checkpoint.rglob("*") if path.is_file()):
        shutil.copyfile(path, blobs / str(number))
        link = snapshot / path.relative_to(tiny_checkpoint)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(blobs / str(number))
    (tmp_path / "by-another-name").symlink_to(snapshot)
    for folder in (snapshot, tmp_path / "by-another-name"):
        resolved = resolve_checkpoint(ModelSection(checkpoint=str(folder)))
        assert resolved.sha256 == resolve_checkpoint(ModelSection(checkpoint=str(tiny_checkpoint))).sha256


@pytest.fixture
def run(tiny_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_run, tmp_path / "runs" / tiny_run.name))


@pytest.mark.parametrize("name", ["model", "model/tokenizer.json", "predictions.parquet", "model/chat_template.jinja"])
def test_run_with_a_link_out_of_its_folder_is_refused(name: str, run: Path, tmp_path: Path) -> None:
    """A link is refused even if it leads to the original content."""
    elsewhere = tmp_path / "elsewhere"
    if (run / name).exists():
        (run / name).rename(elsewhere)
    else:
        elsewhere.write_text(SECRET, "utf-8")
    (run / name).symlink_to(elsewhere)
    with pytest.raises(RecordError, match=f"{name} is a link"):
        Record.load(run)
    with pytest.raises(RecordError, match=f"{name} is a link"):
        export(run, to=tmp_path / "out", speed=False)


def test_only_listed_files_are_copied(run: Path, secret: Path, tmp_path: Path) -> None:
    """This includes files that are added after the run was verified."""
    record = Record.load(run)
    [planned] = plan_formats(record, ["safetensors"], with_code=True)
    (run / "model" / "notes.json").write_text(SECRET, "utf-8")
    write_format(planned, record, tmp_path / "out")
    written = {path.name for path in (tmp_path / "out").iterdir()}
    listed = {name.removeprefix("model/") for name in record.to_dict()["files"] if name.startswith("model/")}
    assert written == listed | {"modeling_kit_pooled.py"}
    (run / "model" / "more.json").symlink_to(secret)
    with pytest.raises(RecordError, match=r"more\.json is a link"):
        write_format(planned, record, tmp_path / "out")


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_folder_with_links_is_not_replaced(kind: str, tiny_run: Path, secret: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "link").symlink_to(secret if kind == "file" else secret.parent)
    with pytest.raises(OutputError, match="is not empty and was not written by kit export"):
        export(tiny_run, to=tmp_path / "out", speed=False)
    assert secret.read_text("utf-8") == SECRET


def test_links_are_not_pushed(secret: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / ".gitattributes").symlink_to(secret)
    monkeypatch.setattr(hub_module, "send", lambda name, request, **options: None)
    monkeypatch.setattr(hub_module, "find_state", lambda name, revision: State("abc", {}))
    with pytest.raises(ExportError, match=r"\.gitattributes is a link that leads out of its folder"):
        push(tmp_path / "folder", Target("user/name"), "about")
