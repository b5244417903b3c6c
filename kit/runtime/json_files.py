"""JSON files as plain data, with errors that name the file."""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kit.errors import KitError, RecordError, first_line

_MAX_BYTES = 256_000_000  # the largest tokenizers take 30 MB
_SHOWN = 40


def read_json(path: Path, error: type[KitError] = RecordError, hint: str = "") -> Any:
    """Return the content of a JSON file.

    Args:
        path: The file, in UTF-8.
        error: Class of the error that is raised.
        hint: What the user can do about a damaged file.

    Raises:
        KitError: of class `error`, if the path is not a regular file, cannot be read, or is not JSON.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise error(f"{path} is not a file", hint)
        if status.st_size > _MAX_BYTES:
            raise error(f"{path}: {status.st_size / 1e6:.0f} MB are too much for a file of this kind", hint)
        return json.loads(path.read_text("utf-8"))
    except OSError as problem:
        raise error(f"{path} cannot be read: {problem.strerror or problem}", hint) from problem
    except RecursionError as problem:
        raise error(f"{path} is damaged: it is nested too deeply", hint) from problem
    except ValueError as problem:
        raise error(f"{path} is damaged: {first_line(problem)}", hint) from problem


def read_object(path: Path, error: type[KitError] = RecordError, hint: str = "") -> dict[str, Any]:
    """Return the content of a JSON file that contains an object. Raises like `read_json`."""
    content = read_json(path, error, hint)
    if not isinstance(content, dict):
        raise error(f"{path} is damaged: it does not contain a JSON object", hint)
    return content


def json_sha256(content: Any) -> str:
    """Return the sha256 of plain data, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def require_format(path: Path, content: Mapping[str, Any], version: int, hint: str = "") -> None:
    """Raise RecordError if the `format` of a file is not this whole number."""
    number = content.get("format")
    if not isinstance(number, int) or isinstance(number, bool):
        shown = json.dumps(number)[:_SHOWN]
        raise RecordError(f"{path} is damaged: format is {shown}, which is not a whole number", hint)
    if number != version:
        raise RecordError(f"{path} has format {str(number)[:_SHOWN]}; this version of kit reads {version}", hint)
