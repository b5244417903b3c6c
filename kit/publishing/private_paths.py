"""Paths of this machine in what recipes and Records say: found, and cut down to what others may read.

Knows plain data and which keys hold what stands in the data. Knows nothing of files.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

_NO_PATHS = (
    "labels",
    "where",
    "text",
    "label",
    "label_separator",
    "label_map",
)  # what stands in the data, a slash or not


def public(content: Any) -> Any:
    """A recipe without the folders of this machine: of a path that leads out of the current one, the last name."""
    if isinstance(content, dict):
        return {key: value if key in _NO_PATHS else public(value) for key, value in content.items()}
    if isinstance(content, list):
        return [public(each) for each in content]
    if isinstance(content, str) and _is_local(content):
        return Path(content).name or content
    return content


def _is_local(text: str) -> bool:
    return text.startswith(("~", "../")) or "/../" in text or Path(text).is_absolute()


def local_paths(content: Any) -> Iterator[Path]:
    """Paths in plain data that lead out of the current folder."""
    if isinstance(content, dict):
        for key, value in content.items():
            if key not in _NO_PATHS:
                yield from local_paths(value)
    elif isinstance(content, list):
        for each in content:
            yield from local_paths(each)
    elif isinstance(content, str) and _is_local(content):
        yield Path(content).expanduser()
