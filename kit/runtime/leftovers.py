"""Removal of files that killed processes left behind, at the next start of kit."""

from __future__ import annotations

import os
import re
import shutil
import stat
from contextlib import suppress
from functools import cache
from pathlib import Path

from kit.errors import BusyError
from kit.runtime.files import CHECKPOINT_SEAL, locked
from kit.runtime.temporary import noted_places, remove_abandoned

_TRAININGS = {"checkpoints": "", "refit": " of the second training (refit)"}
_DRAFT = re.compile(r"\.(?P<run>[^.].*)\.partial")


@cache  # once for each process
def remove_leftovers() -> None:
    """Remove temporary folders and drafts of this user's killed processes, in all places noted in the cache."""
    for place, note in noted_places():
        if not remove_abandoned(place) + remove_drafts(place):
            with suppress(OSError):
                note.unlink()


@cache  # once for each folder in a process: a study makes many runs in one
def remove_drafts(runs: Path) -> int:
    """Remove the drafts of runs that no process works on and that cannot be continued.

    Only folders of this user with a lock of kit are removed, while the lock is held.

    Returns:
        Number of drafts in use.
    """
    used = 0
    with suppress(OSError):
        for entry in list(os.scandir(runs)):
            match = _DRAFT.fullmatch(entry.name)
            if match is not None and entry.is_dir(follow_symlinks=False):
                used += _in_use(Path(entry.path), runs / ".locks" / f"{match['run']}.lock")
    return used


def _in_use(draft: Path, lock: Path) -> bool:
    """Return whether a process works on a draft; remove the draft if not, unless the next start continues from it."""
    try:
        status = lock.lstat()
        if not stat.S_ISREG(status.st_mode) or {status.st_uid, draft.lstat().st_uid} != {os.getuid()}:
            return False
        with locked(lock, f"{draft} is being written"):
            if not _is_worth_keeping(draft):
                shutil.rmtree(draft, ignore_errors=True)
    except BusyError:
        return True
    except OSError:
        return False  # not a draft of kit, or gone meanwhile
    return False


def _is_worth_keeping(draft: Path) -> bool:
    """Return whether a draft has a checkpoint, or a complete Record that was not yet moved to its place.

    An incomplete checkpoint counts too: the next start of the run reports it.
    """
    return (draft / "record.json").exists() or any(draft.rglob("checkpoint-*/"))


def saved_checkpoints(draft: Path) -> list[Path]:
    """Return the complete checkpoints in a draft, in order of their steps."""
    folders = [path.parent for path in draft.rglob(f"checkpoint-*/{CHECKPOINT_SEAL}")]
    numbered = [folder for folder in folders if folder.name.rpartition("-")[2].isdigit()]
    return sorted(numbered, key=lambda folder: (len(folder.parts), int(folder.name.rpartition("-")[2])))


def checkpoint_words(checkpoint: Path) -> str:
    """Return the step of a checkpoint and the training that it belongs to, for the user."""
    training = _TRAININGS.get(checkpoint.parent.name, f" of {checkpoint.parent.name}")
    return f"step {checkpoint.name.rpartition('-')[2]}{training}"


def saved_in(runs: Path) -> str:
    """Return the newest checkpoint of each unfinished run in a folder, for the user.

    The result is empty if there is none.
    """
    with suppress(OSError):
        drafts = [(match["run"], path) for path in runs.iterdir() if (match := _DRAFT.fullmatch(path.name))]
        saved = [(run, saved_checkpoints(path)[-1:]) for run, path in sorted(drafts) if not path.is_symlink()]
        return ", ".join(f"{checkpoint_words(newest)} of {run}" for run, folders in saved for newest in folders)
    return ""
