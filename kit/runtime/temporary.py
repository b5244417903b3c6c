"""Temporary folders that the next start of kit removes if their process was killed.

Beside each folder is a file NAME.lock, which its process keeps locked: the system releases the lock however the process
ends. The places of such folders are noted in kit's cache, so that any later start of kit finds them.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kit.runtime.cache_folders import cache_root

_LOCK = ".lock"
_MARK = b"kit: locked while a process uses the folder of this name\n"
_SCRATCH = re.compile(r"\.?kit-[a-z]+-[0-9a-f]{16}")
_REPLACED = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{16}\.replaced")
_PLACES = "temporary"  # folder in the cache: one file for each folder that temporary folders were made in


@contextmanager
def temporary_folder(purpose: str, where: Path | None = None) -> Iterator[Path]:
    """Yield an empty folder, and remove it at the end.

    Args:
        purpose: A word in lower case, part of the folder's name.
        where: Folder to make it in, where it is hidden; None for the system's temporary directory,
            where only this user can read it.
    """
    parent, dot = (Path(tempfile.gettempdir()), "") if where is None else (where, ".")
    remove_abandoned(parent)
    folder = parent / f"{dot}kit-{purpose}-{secrets.token_hex(8)}"
    with in_use(folder):
        folder.mkdir(mode=0o700 if where is None else 0o777)  # a folder beside results follows the umask
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def replaced_folder(final: Path) -> Iterator[Path]:
    """Yield a hidden path beside a folder, to which the old folder is moved while it is replaced; removed at the end.

    If the process is killed in between, the next start puts the old folder back if `final` does not exist.
    """
    aside = final.with_name(f".{final.name}.{secrets.token_hex(8)}.replaced")
    with in_use(aside):
        try:
            yield aside
        except BaseException:
            if aside.exists() and not final.exists():
                aside.rename(final)
            raise
        finally:
            shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def in_use(folder: Path) -> Iterator[None]:
    """Hold the lock that marks a folder as used by this process; the lock's file is removed at the end.

    On a file system without locks the folder can be used as well, and no other start removes it.
    """
    file = folder.with_name(folder.name + _LOCK)
    descriptor = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.write(descriptor, _MARK)  # written after locking: other processes remove no lock without it
        note_place(folder.parent)
        yield
    finally:
        file.unlink(missing_ok=True)
        os.close(descriptor)


def noted_places() -> Iterator[tuple[Path, Path]]:
    """Yield the folders that may contain temporary folders, each with the file in the cache that notes it."""
    with suppress(OSError):
        for note in list((cache_root() / _PLACES).iterdir()):
            place = Path(os.fsdecode(note.read_bytes()))
            if place.is_absolute():
                yield place, note


def remove_abandoned(place: Path) -> int:
    """Remove the temporary folders in a place whose process has ended.

    Only folders of this user with a lock of kit beside them are removed, and links are never followed.

    Returns:
        Number of folders still in use.
    """
    used = 0
    with suppress(OSError):
        for entry in list(os.scandir(place)):
            name = entry.name.removesuffix(_LOCK)
            if name != entry.name and (_SCRATCH.fullmatch(name) or _REPLACED.fullmatch(name)):
                used += not _remove_if_abandoned(Path(entry.path), place / name)
    return used


def _remove_if_abandoned(lock: Path, folder: Path) -> bool:
    """Remove a folder and its lock if no process holds the lock.

    Returns False if it is still in use.
    """
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return True  # gone, a link, or another user's
    try:
        if not _is_ours(os.fstat(descriptor)) or os.read(descriptor, len(_MARK) + 1) != _MARK:
            return True
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _restore_or_remove(folder)
        lock.unlink(missing_ok=True)
    except (OSError, ValueError):
        return False  # locked by its process, or a name that is not one
    finally:
        os.close(descriptor)
    return True


def _restore_or_remove(folder: Path) -> None:
    """Put a folder that was moved aside back if nothing took its place; remove any other."""
    try:
        status = folder.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        return
    replaced = _REPLACED.fullmatch(folder.name)
    final = folder.with_name(replaced["name"]) if replaced else folder
    if replaced and not os.path.lexists(final):
        folder.rename(final)
    else:
        shutil.rmtree(folder, ignore_errors=True)


def _is_ours(status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode) and status.st_uid == os.getuid()


def note_place(place: Path) -> None:
    """Note in the cache that a folder may contain temporary folders; do nothing if the cache cannot be written."""
    place = place.absolute()
    note = cache_root() / _PLACES / hashlib.sha256(os.fsencode(place)).hexdigest()[:16]
    with suppress(OSError):
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_bytes(os.fsencode(place))
