"""Data sections over small files in the working folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kit.data.sources import Splits, load_splits
from kit.errors import DataError
from kit.recipe import DataSection

ROWS = [(f"text number {i}", ("no", "yes")[i % 2]) for i in range(20)]

Save = Callable[..., str]


def save_json(name: str, rows: list[dict[str, Any]]) -> str:
    """Write rows as JSON lines, and return the name of the file."""
    Path(name).write_text("\n".join(json.dumps(row) for row in rows), "utf-8")
    return name


def load(**section: Any) -> Splits:
    """Return the splits of a data section."""
    return load_splits(DataSection(**section))


def refused(**section: Any) -> tuple[str, str]:
    """Return message and hint of the error for a data section."""
    with pytest.raises(DataError) as caught:
        load(**section)
    return caught.value.message, caught.value.hint
