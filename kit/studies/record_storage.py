"""Storage that every machine sees: Records go there from where they are made, and from there to the study's folder.

    URL/<id>/record.json    written last: without it, or if a file is not the one that it names, there is no Record
             ...            the Record's other files

The URL is one of fsspec's: a folder, s3://bucket/folder, gs://bucket/folder, ... What fails is tried again a few times.

Knows file systems and the layout of Records. Knows nothing of studies or engines.
"""

from __future__ import annotations

import json
import os
import shutil
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

from kit.errors import OutputError, RecordError, first_line
from kit.records.record import Record
from kit.runtime.file_types import RECORD_FILE
from kit.runtime.files import publish
from kit.runtime.names import plain_name

_WAITS_S = (0.5, 2.0, 8.0)  # before each further attempt
_MINE = "memory"  # the file system that only its own process sees
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Storage:
    """A place for Records. url: as fsspec writes it; a path is the same as `file://`."""

    url: str

    @property
    def in_this_process(self) -> bool:
        """Whether no other process sees what is put there."""
        return bool(self._place[0].protocol == _MINE)

    def absolute(self) -> Storage:
        """The same place for processes that start in other folders."""
        file_system, root = self._place
        return Storage(str(file_system.unstrip_protocol(root)))

    def require_writable(self) -> None:
        """Put a small file there and take it away. Raises OutputError if that cannot be done."""
        file_system, root = self._place
        path = f"{root}/.kit-{uuid.uuid4().hex}"
        self._patiently("writing", lambda: file_system.pipe_file(path, b"kit"))
        self._patiently("writing", lambda: file_system.rm_file(path))

    def keep(self, record: Record) -> None:
        """Put a Record there; one that is there already stays. Raises OutputError if it cannot be put there whole."""
        file_system, root = self._place
        there = f"{root}/{record.id}"
        seal = (record.folder / RECORD_FILE).read_bytes()
        earlier = self._seal(record.id)
        if earlier == seal:
            return
        if earlier is not None:  # another Record of the same run: it must not vouch for files that are replaced now
            self._patiently("writing", lambda: file_system.rm_file(f"{there}/{RECORD_FILE}"))
        for file in sorted(path for path in record.folder.rglob("*") if path.is_file() and not path.is_symlink()):
            name = file.relative_to(record.folder).as_posix()
            if name != RECORD_FILE:
                self._patiently("writing", partial(file_system.put_file, str(file), f"{there}/{name}"))
        self._patiently("writing", lambda: file_system.pipe_file(f"{there}/{RECORD_FILE}", seal))

    def fetch(self, run_id: str, runs: Path) -> bool:
        """Copy a Record, without its logs, to the folder `runs`. Returns whether it is there, and whole.

        A Record that is half-written or damaged counts as none. Raises OutputError if the storage does not answer.
        """
        plain_name(run_id, f"{self.url}: id", OutputError)
        seal = self._seal(run_id)
        if seal is None:
            return False
        if _is_sealed_by(seal, runs / run_id):
            return True
        draft = runs / f".{run_id}.{os.getpid()}.fetched"
        draft.mkdir(parents=True, exist_ok=True)
        try:
            self._copy(run_id, seal, draft)
            if Record.load(draft).id != run_id:
                raise RecordError(f"{self.url}/{run_id} is the Record of another run")
            publish(draft, runs / run_id)
        except RecordError:
            return False
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        return True

    def _copy(self, run_id: str, seal: bytes, draft: Path) -> None:
        file_system, root = self._place
        (draft / RECORD_FILE).write_bytes(seal)
        for name in Record.read(draft).content["files"]:
            (draft / name).parent.mkdir(parents=True, exist_ok=True)
            try:
                self._patiently("reading", partial(file_system.get_file, f"{root}/{run_id}/{name}", str(draft / name)))
            except FileNotFoundError as error:
                raise RecordError(f"{self.url}/{run_id} is damaged: {name} is missing") from error

    def _seal(self, run_id: str) -> bytes | None:
        """record.json as it is there; None where it is not."""
        file_system, root = self._place
        try:
            return bytes(self._patiently("reading", lambda: file_system.cat_file(f"{root}/{run_id}/{RECORD_FILE}")))
        except FileNotFoundError:
            return None

    @cached_property
    def _place(self) -> tuple[Any, str]:
        """The file system and the path in it. Raises OutputError if there is no such file system."""
        from fsspec.core import url_to_fs
        from fsspec.implementations.local import LocalFileSystem

        try:
            file_system, root = url_to_fs(self.url)
        except ImportError as error:
            package = getattr(error.__cause__, "name", None)
            hint = f"pip install {package}, on every machine" if package else ""
            raise OutputError(f"--storage {self.url}: {first_line(error)}", hint) from error
        except ValueError as error:
            raise OutputError(
                f"--storage {self.url}: {first_line(error)}", "e.g. a folder, s3://bucket/folder or gs://bucket/folder"
            ) from error
        if isinstance(file_system, LocalFileSystem):  # object stores make folders as they are named
            file_system = LocalFileSystem(auto_mkdir=True)
        return file_system, str(root).rstrip("/")

    def _patiently(self, doing: str, call: Callable[[], _Result]) -> _Result:
        """What `call` gives, if need be after some attempts. Raises OutputError with the reason of the last one."""
        for wait_s in (*_WAITS_S, None):
            try:
                return call()
            except FileNotFoundError:
                if doing == "reading":
                    raise
                reason = "there is no such bucket or folder"
            except Exception as error:  # file systems have no class of errors in common
                reason = f"{type(error).__name__}: {first_line(error)}"
            if wait_s is not None:
                time.sleep(wait_s)
        raise OutputError(
            f"--storage {self.url}: {doing} failed in {1 + len(_WAITS_S)} attempts: {reason}",
            "see that the place exists, and that this machine may write there",
        )


def _is_sealed_by(seal: bytes, folder: Path) -> bool:
    """Whether a folder holds, whole, the Record with this record.json."""
    try:
        return bool(Record.load(folder).content == json.loads(seal))
    except (RecordError, ValueError):
        return False
