"""Storage for Records that every machine can access, between the machines of workers and the study's folder.

    URL/<id>/record.json    written last: a Record exists only if this file does and its hashes match
             ...            the Record's other files

The URL is one of fsspec: a folder, s3://bucket/folder, gs://bucket/folder, ... Failed operations are repeated.
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

_WAITS_S = (0.5, 2.0, 8.0)  # pauses before further attempts
_MEMORY = "memory"  # file system that only its own process can access
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Storage:
    """A place for Records. `url` is an fsspec URL; a path means `file://`."""

    url: str

    @property
    def in_this_process(self) -> bool:
        """True if only this process can access the storage."""
        return bool(self._place[0].protocol == _MEMORY)

    def absolute(self) -> Storage:
        """Return the same storage for processes that start in other folders."""
        file_system, root = self._place
        return Storage(str(file_system.unstrip_protocol(root)))

    def require_writable(self) -> None:
        """Write a small file and remove it again. Raises OutputError if that fails."""
        file_system, root = self._place
        path = f"{root}/.kit-{uuid.uuid4().hex}"
        self._retried("writing", lambda: file_system.pipe_file(path, b"kit"))
        self._retried("writing", lambda: file_system.rm_file(path))

    def keep(self, record: Record) -> None:
        """Copy a Record to the storage, unless it is there. Raises OutputError if it cannot be copied in full."""
        file_system, root = self._place
        target = f"{root}/{record.id}"
        seal = (record.folder / RECORD_FILE).read_bytes()
        earlier = self._seal(record.id)
        if earlier == seal:
            return
        if earlier is not None:  # another Record of the same run, which must not refer to files that are replaced now
            self._retried("writing", lambda: file_system.rm_file(f"{target}/{RECORD_FILE}"))
        for file in sorted(path for path in record.folder.rglob("*") if path.is_file() and not path.is_symlink()):
            name = file.relative_to(record.folder).as_posix()
            if name != RECORD_FILE:
                self._retried("writing", partial(file_system.put_file, str(file), f"{target}/{name}"))
        self._retried("writing", lambda: file_system.pipe_file(f"{target}/{RECORD_FILE}", seal))

    def fetch(self, run_id: str, runs: Path) -> bool:
        """Copy a Record, without its logs, to the folder `runs`, and return whether it is there and whole.

        A partial or damaged Record counts as missing. Raises OutputError if the storage does not respond.
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
        for name in Record.read(draft).content.files:
            (draft / name).parent.mkdir(parents=True, exist_ok=True)
            try:
                self._retried("reading", partial(file_system.get_file, f"{root}/{run_id}/{name}", str(draft / name)))
            except FileNotFoundError as error:
                raise RecordError(f"{self.url}/{run_id} is damaged: {name} is missing") from error

    def _seal(self, run_id: str) -> bytes | None:
        """Return the storage's record.json of a run; None if it is missing."""
        file_system, root = self._place
        try:
            return bytes(self._retried("reading", lambda: file_system.cat_file(f"{root}/{run_id}/{RECORD_FILE}")))
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
        if isinstance(file_system, LocalFileSystem):  # object stores create folders implicitly
            file_system = LocalFileSystem(auto_mkdir=True)
        return file_system, str(root).rstrip("/")

    def _retried(self, doing: str, call: Callable[[], _Result]) -> _Result:
        """Return the result of `call`, repeated if it fails. Raises OutputError with the reason of the last failure."""
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
            "check that the place exists and that this machine may write there",
        )


def _is_sealed_by(seal: bytes, folder: Path) -> bool:
    """Return whether a folder contains the whole Record with this record.json."""
    try:
        return bool(Record.load(folder).to_dict() == json.loads(seal))
    except (RecordError, ValueError):
        return False
