"""Damaged files of a study's cells are reported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kit.studies.grid import Cell
from kit.studies.ledger import Ledger, Outcome

CELL = Cell("tfidf", None, 20, 0)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """Return the ledger of a study with one finished cell."""
    row = {"method": "tfidf", "checkpoint": None, "budget": 20, "seed": 0, "key": "k"}
    ledger = Ledger(tmp_path / "study", {"cells": [row]})
    ledger.write(Outcome(CELL, "k", "finished", record="tfidf-20-s0-1234abcd"))
    return ledger


def test_a_whole_cell_is_not_damaged(ledger: Ledger) -> None:
    assert ledger.damage == []
    assert ledger.outcome(CELL, "k") is not None
    assert ledger.outcome(CELL, "other key") is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"record": "../../../etc"}, "is damaged: record: '../../../etc' is not a plain name"),
        ({"record": ""}, "is damaged: record: '' is not a plain name"),
        ({"record": 3}, "is damaged: a value is missing or has another type"),
        ({"state": "lost"}, "is damaged: a value is missing or has another type"),
        ({"cell": {"method": "lora", "checkpoint": None, "budget": 20, "seed": 0}}, "is damaged: it is of another"),
    ],
)
def test_a_damaged_file_of_a_cell_is_reported(ledger: Ledger, change: dict[str, object], message: str) -> None:
    file = ledger.folder / "cells" / f"{CELL.name}.json"
    file.write_text(json.dumps({**json.loads(file.read_text("utf-8")), **change}), "utf-8")
    (line,) = ledger.damage
    assert line.startswith(f"{file} {message}") and line.endswith("; the next start of the study runs the cell again")
    assert ledger.outcome(CELL, "k") is None


def test_a_cell_file_without_json_is_reported(ledger: Ledger) -> None:
    (ledger.folder / "cells" / f"{CELL.name}.json").write_text("{", "utf-8")
    assert "is damaged: Expecting property name" in ledger.damage[0]
