"""Draft of a Record: the locked, hidden folder in which a run works until its Record is complete."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from kit.errors import KitError, OutputError, RecordError, WriteError
from kit.records.record import Record
from kit.runtime.files import folder_bytes, locked, publish, require_space, writing_to
from kit.runtime.leftovers import checkpoint_words, remove_drafts, saved_checkpoints
from kit.runtime.signals import Stopped, forget_earlier, note_kept
from kit.runtime.temporary import note_place

if TYPE_CHECKING:
    from kit.models.checkpoints.checkpoint import Checkpoint


@contextmanager
def open_draft(final: Path, checkpoint: Checkpoint | None, main: bool, force: bool) -> Iterator[Path]:
    """Yield the hidden folder of a run, locked so that two starts of the same run do not mix.

    An interrupted or failed run leaves the folder with its checkpoints, from which the next start continues. The folder
    is removed if it has no checkpoints or if the error makes them useless.

    Args:
        final: Folder of the finished Record.
        checkpoint: Pretrained checkpoint of the run, from whose size the needed space is estimated; None for none.
        main: True in the first process, which creates and locks the folder.
        force: Repeat a finished run.
    """
    draft = final.with_name(f".{final.name}.partial")
    if not main:
        yield draft
        return
    remove_drafts(final.parent)
    note_place(final.parent)
    weights = 0 if checkpoint is None else sum(f.stat().st_size for f in checkpoint.folder.glob("*.safetensors"))
    # The weights and two checkpoints with optimizer state, less the space that an earlier start uses already.
    require_space(final.parent, max(0, 6 * weights + 20_000_000 - folder_bytes(draft)))
    with locked(final.parent / ".locks" / f"{final.name}.lock", f"{final} is being made"):
        try:
            with writing_to(final):
                _prepare(draft, final, force)
            with writing_to(final, began=True), _folder_in_place(draft):
                yield draft
        except Stopped:
            _note_checkpoints(draft, final)
            raise
        except KitError as error:
            checkpoints = [] if error.checkpoints_are_useless else saved_checkpoints(draft)
            if not checkpoints:
                shutil.rmtree(draft, ignore_errors=True)
                forced_marker(final).unlink(missing_ok=True)
            if checkpoints or isinstance(error, OutputError):
                error.hint = "; ".join(filter(None, (error.hint, _saved_words(checkpoints, final.name))))
            raise


def _prepare(draft: Path, final: Path, force: bool) -> None:
    """Publish a complete draft, or create the folder and remove everything except checkpoints and logs from it.

    A forced run that was interrupted continues like any other run: a marker file distinguishes it from a new start.
    """
    marker = forced_marker(final)
    if draft.is_symlink():  # the folder behind a link does not belong to kit
        draft.unlink()
    from_scratch = force and not marker.exists()
    if not from_scratch and _is_complete(draft, final.name):
        publish(draft, final)
        marker.unlink(missing_ok=True)
        draft.mkdir()
        return
    draft.mkdir(parents=True, exist_ok=True)
    for path in draft.iterdir():
        if from_scratch or path.name not in ("checkpoints", "logs"):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    if force:
        marker.touch()


def forced_marker(final: Path) -> Path:
    """Return the path of an empty file that exists while a finished run is being repeated."""
    return final.parent / ".locks" / f"{final.name}.forced"


def _is_complete(draft: Path, run_id: str) -> bool:
    """Return whether an earlier start wrote the whole Record but ended before publishing it."""
    try:
        return Record.load(draft).id == run_id
    except RecordError:
        return False


@contextmanager
def _folder_in_place(draft: Path) -> Iterator[None]:
    """Raise WriteError instead of any error that follows after someone deleted the folder."""
    try:
        yield
    except Exception as error:
        if isinstance(error, KitError) or draft.is_dir():
            raise
        raise WriteError(
            f"cannot write to {draft}: the folder was removed while the run was going on", "start it again"
        ) from error


def _saved_words(checkpoints: list[Path], run_id: str) -> str:
    """Return a sentence on the checkpoint from which the next start of a failed run continues."""
    if not checkpoints:
        return f"nothing of {run_id} was saved: the next start begins anew"
    return f"saved: {checkpoint_words(checkpoints[-1])} of {run_id}; the next start continues from there"


def _note_checkpoints(draft: Path, final: Path) -> None:
    """Note the newest checkpoint of an interrupted run, if any, for the message after the signal."""
    forget_earlier()
    for folder in saved_checkpoints(draft)[-1:]:
        note_kept(final.name, f"{checkpoint_words(folder)} of {final.name}")
