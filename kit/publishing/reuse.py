"""Found again: a folder that was proven for the same run, formats and kit is whole, and need not be made once more.

A push that the Hub refused is repeated so. What was asked for is known by its content: a digest of the run's files, the
formats, the card's name, kit's own code and the libraries that write the formats.

Knows manifests and proofs. Knows nothing of the Hub.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from kit.errors import RecordError
from kit.measurement.intervals import Estimate
from kit.publishing.formats import Format
from kit.publishing.manifest import CARD_FILE, read_manifest, written_files
from kit.publishing.verify import Proof
from kit.records.record import Record
from kit.runtime.file_types import RECORD_FILE
from kit.runtime.files import file_sha256, locked, package_folders, require_space
from kit.runtime.names import plain_name, regular_files
from kit.runtime.versions import PACKAGES

_WRITERS = (*PACKAGES, "onnx", "onnxscript", "onnxruntime", "torchao")


def request_of(record: Record, formats: Sequence[Format], name: str, speed: bool, history: Sequence[str]) -> str:
    """Digest of all that an exported folder depends on.

    name: the card's. speed: whether it says how fast the formats are. history: what the card says beside the Record.
    """
    code = [path for folder in package_folders("kit") for path in sorted(folder.rglob("*.py"))]
    asked = {
        "record": [file_sha256(record.folder / RECORD_FILE), record.content["files"]],
        "formats": [asdict(each) for each in formats],
        "card": [name, speed, list(history)],
        "kit": [file_sha256(path) for path in code],
        "libraries": {package: _version(package) for package in _WRITERS},
    }
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def told(request: str, folder: Path, proofs: dict[str, Proof]) -> dict[str, Any]:
    """What a manifest keeps of a proof. folder: with its card, which no other digest covers."""
    return {
        "request": request,
        "card": file_sha256(folder / CARD_FILE),
        "formats": {name: asdict(proof) for name, proof in proofs.items()},
    }


def find_proven(folder: Path, request: str) -> dict[str, Proof] | None:
    """Proofs of a folder that was made for this request, if each of its files is as it was and no other is there."""
    try:
        proven = read_manifest(folder).proven
        if proven["request"] != request or proven["card"] != file_sha256(folder / CARD_FILE):
            return None
        if set(regular_files(folder)) != written_files(folder):
            return None
        return {name: _proof(fields) for name, fields in proven["formats"].items()}
    except (RecordError, OSError, KeyError, TypeError, AttributeError):
        return None  # none is there, or it is not whole


@contextmanager
def kept(record: Record) -> Iterator[Path]:
    """Where the proven folder of a run waits for its push where it has no other place: one a run, in kit's cache.

    Raises BusyError while another process is at it.
    """
    from kit.data.encode import cache_folder

    folder, name = cache_folder().with_name("exports"), plain_name(record.id, f"{record.folder}: id")
    require_space(folder, 0)
    with locked(folder / f".{name}.lock", f"{name} is being pushed"):
        yield folder / name


def _proof(fields: dict[str, Any]) -> Proof:
    estimates = {name: fields[name] and Estimate(**fields[name]) for name in ("retained", "agreement")}
    return Proof(**{**fields, **estimates})


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
