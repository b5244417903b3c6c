"""The next start removes folders of killed processes, and nothing else."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kit.records.record import Record
from kit.runtime.cache_folders import cache_root
from kit.runtime.files import CHECKPOINT_SEAL, locked, publish
from kit.runtime.leftovers import remove_drafts, remove_leftovers
from kit.runtime.temporary import in_use, remove_abandoned, replaced_folder, temporary_folder

KILLED = """
import os, signal, sys
from pathlib import Path
from kit.runtime.temporary import replaced_folder, temporary_folder
where = Path(sys.argv[1])
old = where / "old"
with temporary_folder("probe") as one, temporary_folder("export", where) as two, replaced_folder(old) as aside:
    (one / "text").write_text("a text")
    (two / "model").mkdir()
    old.rename(aside)
    print(one, two, aside, sep="\\n", flush=True)
    sys.stdin.read(1)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with its own temporary directory, cache and export folder."""
    for name in ("tmp", "out/old", "cache"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.setenv("KIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", None)
    return tmp_path


def test_the_next_start_removes_folders_of_killed_processes(places: Path) -> None:
    (places / "out" / "old" / "weights").write_text("mine", "utf-8")
    command = [sys.executable, "-c", KILLED, str(places / "out")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        left = [Path(process.stdout.readline().strip()) for _ in range(3)]
        remove_leftovers.__wrapped__()
        assert all(folder.is_dir() for folder in left)  # its process lives
        process.stdin.write("x")
        process.stdin.flush()
        assert process.wait() == -signal.SIGKILL
    assert all(folder.is_dir() for folder in left)
    remove_leftovers.__wrapped__()
    assert not any(folder.exists() for folder in left) and list((places / "tmp").iterdir()) == []
    assert [path.name for path in (places / "out").iterdir()] == ["old"]
    assert (places / "out" / "old" / "weights").read_text("utf-8") == "mine"  # nothing had taken its place
    assert list((cache_root() / "temporary").iterdir()) == []


def abandoned(folder: Path, text: str = "") -> Path:
    """Create a folder as a killed process leaves it."""
    folder.mkdir()
    (folder / "file").write_text(text, "utf-8")
    mark = "kit: locked while a process uses the folder of this name\n"
    folder.with_name(f"{folder.name}.lock").write_text(mark, "utf-8")
    return folder


HASH = "0123456789abcdef"


def test_only_folders_of_kit_are_removed(places: Path) -> None:
    out = places / "out"
    for name in ("kit-tools", "kit-export-1", f"thesis-{HASH}", ".git", f"kit-export-{HASH}x", f".x.{HASH}"):
        abandoned(out / name)
    (out / f".kit-export-{HASH}").mkdir()  # without a lock
    (out / f"kit-notes-{HASH}.lock").write_text("mine", "utf-8")
    (out / f"kit-notes-{HASH}").mkdir()
    before = sorted(path.name for path in out.rglob("*"))
    remove_abandoned(out)
    assert sorted(path.name for path in out.rglob("*")) == before
    abandoned(out / f".kit-probe-{HASH}")
    remove_abandoned(out)
    assert sorted(path.name for path in out.rglob("*")) == before


def test_links_in_place_of_folders_or_locks_are_not_followed(places: Path) -> None:
    victim = abandoned(places / "victim", "mine")
    name = places / "out" / f".kit-export-{HASH}"
    abandoned(name)
    shutil.rmtree(name)
    name.symlink_to(victim)
    remove_abandoned(places / "out")
    assert (victim / "file").read_text("utf-8") == "mine"
    name.unlink()
    name.mkdir()
    name.with_name(f"{name.name}.lock").symlink_to(victim.with_name("victim.lock"))
    (name / "inside").symlink_to(victim)
    remove_abandoned(places / "out")
    assert name.is_dir()
    name.with_name(f"{name.name}.lock").unlink()
    shutil.rmtree(name)
    abandoned(name)
    (name / "inside").symlink_to(victim)
    remove_abandoned(places / "out")
    assert not name.exists() and (victim / "file").read_text("utf-8") == "mine"


def test_folders_of_other_users_stay(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = abandoned(places / "tmp" / f"kit-probe-{HASH}")
    monkeypatch.setattr(os, "getuid", lambda: folder.stat().st_uid + 1)
    remove_abandoned(places / "tmp")
    assert folder.is_dir()


def test_a_folder_that_was_replaced_is_restored_or_removed(places: Path) -> None:
    old = abandoned(places / "out" / f".new.{HASH}.replaced", "old")
    (places / "out" / "new").mkdir()
    remove_abandoned(places / "out")
    assert not old.exists() and list((places / "out" / "new").iterdir()) == []
    draft = places / "out" / "draft"
    draft.mkdir()
    publish(draft, places / "out" / "new")
    assert sorted(path.name for path in (places / "out").iterdir()) == ["new", "old"]


def test_a_replacement_that_fails_leaves_the_old_folder(places: Path) -> None:
    final = places / "out" / "old"
    with pytest.raises(ValueError, match="failed"), replaced_folder(final) as aside:
        final.rename(aside)
        raise ValueError("failed")
    assert [path.name for path in (places / "out").iterdir()] == ["old"]


def test_a_temporary_folder_is_private_and_removed(places: Path) -> None:
    with temporary_folder("probe") as folder:
        assert folder.parent == places / "tmp" and folder.stat().st_mode & 0o777 == 0o700
        assert remove_abandoned(places / "tmp") == 1 and folder.is_dir()
    assert list((places / "tmp").iterdir()) == []


def test_an_unwritable_cache_is_ignored(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KIT_CACHE", "/proc/none")
    with in_use(places / "out" / f".kit-export-{HASH}"), temporary_folder("export", places / "out"):
        remove_leftovers.__wrapped__()


def test_drafts_without_checkpoints_are_removed(tiny_run: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    (runs / ".locks").mkdir(parents=True)
    names = ("compressed", "running", "linked", "trained", tiny_run.name)
    for name in (*names, "foreign"):
        (runs / f".{name}.partial" / "model").mkdir(parents=True)
    for name in names:
        (runs / ".locks" / f"{name}.lock").touch()
    shutil.rmtree(runs / f".{tiny_run.name}.partial")
    shutil.copytree(tiny_run, runs / f".{tiny_run.name}.partial")  # killed just before it was published
    checkpoint = runs / ".trained.partial" / "checkpoints" / "checkpoint-3"
    checkpoint.mkdir(parents=True)
    (checkpoint / CHECKPOINT_SEAL).touch()
    shutil.rmtree(runs / ".linked.partial")
    (tmp_path / "victim").mkdir()
    (runs / ".linked.partial").symlink_to(tmp_path / "victim")
    with locked(runs / ".locks" / "running.lock", "it is running"):
        assert remove_drafts(runs) == 1
    left = {path.name for path in runs.glob(".*.partial")}
    assert left == {f".{name}.partial" for name in ("running", "linked", "trained", "foreign", tiny_run.name)}
    assert (tmp_path / "victim").is_dir() and Record.load(runs / f".{tiny_run.name}.partial")
