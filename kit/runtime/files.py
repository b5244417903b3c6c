"""Atomic writes of files and folders, with a clear error where writing fails."""

from __future__ import annotations

import errno
import hashlib
import importlib.util
import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kit.errors import BusyError, OutputError, WriteError
from kit.runtime.signals import note_kept
from kit.runtime.temporary import replaced_folder

CHECKPOINT_SEAL = "files.json"  # the file that is written last into a checkpoint of a training
_NAME_LENGTH = 200  # file systems allow 255 bytes, which include a prefix and a suffix
_REASONS = {
    errno.ENOSPC: ("the disk is full", "free some space, or write somewhere else"),
    errno.ENOMEM: ("the machine is out of memory", "end other programs, and start the same command again"),
    errno.EIO: ("the disk failed", "check the disk, or write somewhere else"),
    errno.EDQUOT: ("the disk quota is used up", "free some space, or write somewhere else"),
    errno.EFBIG: ("the file would exceed the size limit", "raise `ulimit -f`, or write somewhere else"),
    errno.EACCES: ("no permission to write there", "choose a folder that you may write to"),
    errno.EPERM: ("no permission to write there", "choose a folder that you may write to"),
    errno.EROFS: ("the file system is read-only", "choose a folder that you may write to"),
    errno.ENOTDIR: ("a part of the path is a file, not a folder", "choose another folder"),
    errno.ENOTEMPTY: ("something else was put there meanwhile", "start the same command again"),
    errno.EEXIST: ("a file is in the way", "choose another folder"),
    errno.ENAMETOOLONG: ("the path is too long", "choose a shorter one"),
}
# Errors that a check of the folder before the start cannot foresee.
_WHILE_RUNNING = (errno.ENOSPC, errno.ENOMEM, errno.EIO, errno.EDQUOT, errno.EFBIG, errno.ENOTEMPTY)
_FULL = re.compile(r"No space left on device|PytorchStreamWriter failed writing|inline_container.*unexpected pos")
_NUMBER = re.compile(r"os error (\d+)")


@contextmanager
def locked(file: Path, busy: str) -> Iterator[None]:
    """Hold a lock, or raise BusyError at once if another process holds it.

    Args:
        file: The lock's file.
        busy: Activity of the process that holds the lock, for the message: `X is being written`.
    """
    from filelock import FileLock, Timeout

    file.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(file)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise BusyError(f"{busy} by another process", "wait for it, or stop it") from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def writing_to(path: Path, *, began: bool = False) -> Iterator[None]:
    """Turn write errors of the operating system into an OutputError with `path` and the remedy.

    A full or failing disk, and any error after work has begun, raises WriteError, which has exit code 1.

    Args:
        path: The file or folder that is written.
        began: Whether the place took files before.
    """
    try:
        yield
    except Exception as error:
        number = error.errno if isinstance(error, OSError) else None
        # torch and safetensors raise errors of their own, which contain the system's message.
        if number not in _REASONS and (inside := _NUMBER.search(str(error))):
            number = int(inside[1])
        if number not in _REASONS and _FULL.search(str(error)):
            number = errno.ENOSPC
        if number not in _REASONS:
            raise
        reason, hint = _REASONS[number]
        kind = WriteError if began or number in _WHILE_RUNNING else OutputError
        raise kind(f"cannot write to {path}: {reason}", hint) from error


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file in full or not at all: readers see the old content or the new.

    The umask decides who may read the file.
    """
    data = content.encode() if isinstance(content, str) else content
    with writing_to(path):
        make_folder(path.parent)
        draft = path.with_name(f".{path.name[:_NAME_LENGTH]}.{secrets.token_hex(8)}")
        try:
            draft.write_bytes(data)
            move_into_place(draft, path)
        finally:
            draft.unlink(missing_ok=True)


def move_into_place(draft: Path, path: Path) -> None:
    """Replace a file by a finished one on the same file system, in one step that a crash cannot split."""
    with draft.open("rb") as stream:
        os.fsync(stream.fileno())
    draft.replace(path)


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def folder_bytes(folder: Path) -> int:
    """Return the size of all files in a folder; 0 if the folder does not exist."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def publish(draft: Path, final: Path) -> None:
    """Move a finished folder to its place in one step, replacing an existing folder."""
    with writing_to(final):
        _share_as_folder(draft)
        if final.exists():
            with replaced_folder(final) as aside:
                final.rename(aside)
                draft.rename(final)
                remove_left_aside(final)
        else:
            draft.rename(final)
        note_kept(str(final), str(final))


def remove_left_aside(final: Path) -> None:
    """Remove the old content of a folder that an earlier version of kit was killed while replacing."""
    if final.is_dir():
        shutil.rmtree(final.with_name(f".{final.name}.replaced"), ignore_errors=True)


def _share_as_folder(folder: Path) -> None:
    """Let everyone who may read the folder read its files: some libraries write files for their owner only."""
    mode = stat.S_IMODE(folder.stat().st_mode) & 0o666
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink() and stat.S_IMODE(path.stat().st_mode) != mode:
            path.chmod(mode)


def package_folders(package: str) -> list[Path]:
    """Return the folders of an installed Python package.

    The result is empty if it is not installed or not a package.
    """
    try:
        spec = importlib.util.find_spec(package) if package.isidentifier() else None
    except (ImportError, ValueError):
        spec = None
    return [Path(location) for location in (spec and spec.submodule_search_locations) or []]


def require_writable(folder: Path) -> None:
    """Raise OutputError if a folder cannot be written to or created; nothing is written."""
    with writing_to(folder):
        existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not existing.is_dir():
        raise OutputError(f"cannot write to {folder}: {existing} is a file, not a folder", "choose another folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        number = errno.EROFS if os.statvfs(existing).f_flag & os.ST_RDONLY else errno.EACCES
        with writing_to(folder):
            raise OSError(number, os.strerror(number))


@contextmanager
def _before_start() -> Iterator[None]:
    """Turn a WriteError into an OutputError: nothing has begun, so that choosing another folder is enough."""
    try:
        yield
    except WriteError as error:
        raise OutputError(error.problem, error.hint, key=error.key) from error


def require_space(folder: Path, needed_bytes: int) -> None:
    """Create `folder` and raise OutputError if it cannot be written to or its disk lacks `needed_bytes`."""
    with _before_start(), writing_to(folder):
        make_folder(folder)
        try:
            with tempfile.TemporaryFile(dir=folder):
                pass
        except FileNotFoundError as error:  # as /proc does
            raise OutputError(f"cannot write to {folder}: it takes no files", "choose another folder") from error
        free = shutil.disk_usage(folder).free
    if free < needed_bytes:
        raise OutputError(
            f"cannot write to {folder}: a run needs about {needed_bytes / 1e6:.0f} MB, {free / 1e6:.0f} MB are free",
            "free some space, or set `runs:` to a folder on another disk",
        )


def make_folder(folder: Path) -> None:
    """Create a folder and its parents. Raises OutputError if it cannot be created."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileNotFoundError as error:  # as /proc does
        raise OutputError(f"cannot write to {folder}: the folder cannot be created", "choose another folder") from error
