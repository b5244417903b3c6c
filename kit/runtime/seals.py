"""Hashes inside kit's JSON files that detect changes of their content."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kit.errors import RecordError
from kit.runtime.file_types import require_types
from kit.runtime.json_files import json_sha256, read_object

SEAL = "sha256"


def sealed(content: dict[str, Any]) -> dict[str, Any]:
    """Return the content with the hash of all other keys under `sha256`."""
    return {**content, SEAL: _digest(content)}


def read_sealed(path: Path, schema: type, hint: str) -> dict[str, Any]:
    """Return the content of a sealed JSON file after checking its hash and its types.

    Args:
        path: The file.
        schema: Typed dictionary of `kit.runtime.file_types`.
        hint: Remedy for a damaged file.

    Raises:
        RecordError: If the file was changed or is damaged.
    """
    content = read_object(path, hint=hint)
    require_seal(path, content, hint)
    require_types(path, content, schema, hint=hint)
    return content


def require_seal(path: Path, content: dict[str, Any], hint: str) -> None:
    """Raise RecordError if a file's content does not match its hash, or has none.

    A file without a hash may have been edited and its hash removed.
    """
    if SEAL not in content:
        raise RecordError(
            f"{path} has no hash of its content: it was edited, or an earlier version of kit wrote it", hint
        )
    if content[SEAL] != _digest(content):
        raise RecordError(f"{path.parent} is damaged: {path.name} was changed", hint)


def _digest(content: dict[str, Any]) -> str:
    rest = {key: value for key, value in content.items() if key != SEAL}
    return json_sha256(rest)
