"""Files that tests of the data package write."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from tests.support.data_sections import ROWS, Save


@pytest.fixture
def save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Save:
    """Return a function that writes rows as CSV in the working folder and returns the name of the file.

    It is called like `save("x.csv", rows, "text", "label")`.
    """
    monkeypatch.chdir(tmp_path)

    def write(name: str, rows: list[tuple[Any, ...]] = ROWS, *header: str) -> str:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        with Path(name).open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows([header or ("text", "label"), *rows])
        return name

    return write
