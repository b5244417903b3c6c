"""Reuse of a verified folder that was exported before from the same run with the same options.

A push that failed can be repeated without a new export. A digest identifies the request: the files of the run, the
formats, the name on the card, the code of kit and the versions of the libraries that write the formats.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kit.errors import RecordError
from kit.measurement.intervals import Estimate
from kit.publishing.formats import Format
from kit.publishing.manifest import CARD_FILE, read_manifest, written_files
from kit.publishing.verify import Proof
from kit.records.record import Record
from kit.runtime.cache_folders import cache_root
from kit.runtime.file_types import RECORD_FILE
from kit.runtime.files import file_sha256, locked, package_folders, require_space
from kit.runtime.json_files import json_sha256
from kit.runtime.names import plain_name, regular_files
from kit.runtime.versions import PACKAGES, package_version

_WRITERS = (*PACKAGES, "onnx", "onnxscript", "onnxruntime", "torchao")


def request_of(record: Record, formats: Sequence[Format], name: str, speed: bool, history: Sequence[str]) -> str:
    """Return the digest of everything that an exported folder depends on.

    Args:
        record: Run to export.
        formats: Formats to write.
        name: Name on the card.
        speed: Whether the card has a section on speed.
        history: Verdicts of distillation and compression on the card.
    """
    code = [path for folder in package_folders("kit") for path in sorted(folder.rglob("*.py"))]
    request = {
        "record": [file_sha256(record.folder / RECORD_FILE), record.content.files],
        "formats": [asdict(planned) for planned in formats],
        "card": [name, speed, list(history)],
        "kit": [file_sha256(path) for path in code],
        "libraries": {package: package_version(package) for package in _WRITERS},
    }
    return json_sha256(request)


def proof_entry(request: str, folder: Path, proofs: dict[str, Proof]) -> dict[str, Any]:
    """Return the proofs of an exported folder for its manifest, with the hash of the card, which `files` omits."""
    return {
        "request": request,
        "card": file_sha256(folder / CARD_FILE),
        "formats": {name: asdict(proof) for name, proof in proofs.items()},
    }


def find_proven(folder: Path, request: str) -> dict[str, Proof] | None:
    """Return the proofs of a folder if it was exported for this request and its files are unchanged; None otherwise."""
    try:
        proven = read_manifest(folder).proven
        if proven["request"] != request or proven["card"] != file_sha256(folder / CARD_FILE):
            return None
        if set(regular_files(folder)) != written_files(folder):
            return None
        return {name: _proof(fields) for name, fields in proven["formats"].items()}
    except (RecordError, OSError, KeyError, TypeError, AttributeError):
        return None  # there is no exported folder, or it is damaged


@contextmanager
def cached_export(record: Record) -> Iterator[Path]:
    """Yield the cache folder in which a verified export waits for its push, one per run.

    Raises:
        BusyError: Another process is pushing the same run.
    """
    folder, name = cache_root() / "exports", plain_name(record.id, f"{record.folder}: id")
    require_space(folder, 0)
    with locked(folder / f".{name}.lock", f"{name} is being pushed"):
        yield folder / name


def _proof(fields: dict[str, Any]) -> Proof:
    estimates = {name: fields[name] and Estimate(**fields[name]) for name in ("retained", "agreement")}
    return Proof(**{**fields, **estimates})
