"""Local paths in recipes and Records: listed, and shortened for publication."""

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
)  # keys whose values come from the data, where a slash does not make a path


def public(content: Any) -> Any:
    """Return plain data with every path that leads out of the current folder cut to its last part."""
    if isinstance(content, dict):
        return {key: value if key in _NO_PATHS else public(value) for key, value in content.items()}
    if isinstance(content, list):
        return [public(item) for item in content]
    if isinstance(content, str) and _is_local(content):
        return Path(content).name or content
    return content


def _is_local(text: str) -> bool:
    return text.startswith(("~", "../")) or "/../" in text or Path(text).is_absolute()


def local_paths(content: Any) -> Iterator[Path]:
    """Yield the paths in plain data that lead out of the current folder."""
    if isinstance(content, dict):
        for key, value in content.items():
            if key not in _NO_PATHS:
                yield from local_paths(value)
    elif isinstance(content, list):
        for item in content:
            yield from local_paths(item)
    elif isinstance(content, str) and _is_local(content):
        yield Path(content).expanduser()
