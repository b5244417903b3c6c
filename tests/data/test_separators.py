"""Unusual separators, and tables without separators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from kit.data.readers import parse_table
from kit.data.reading import Reading
from kit.data.table import Table
from kit.errors import DataError
from kit.recipe import DataSection

ROWS = [(f"the bike was noisy, and cold on day {i}", "neg" if i % 2 else "pos") for i in range(12)]
MARKS = (":", "\x01", "^", "~")


def joined(mark: str, rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(map(mark.join, rows))


def read(text: str, **reading: Any) -> Table:
    return parse_table(text.encode(), "x.csv", ".csv", Reading(**reading))


@pytest.mark.parametrize("mark", MARKS)
def test_unusual_separators_are_detected_by_column_names(mark: str) -> None:
    table = read(joined(mark, [("text", "label"), *ROWS]))
    assert list(zip(table.columns["text"], table.columns["label"], strict=True)) == ROWS
    assert table.notes[0].startswith(f"x.csv: the columns are separated by {mark!r} (data.separator: ")
    named = read(joined(mark, [("Meldung", "Bereich"), *ROWS]), columns=("Meldung", "Bereich"))
    assert list(named.columns) == ["Meldung", "Bereich"]


@pytest.mark.parametrize("mark", MARKS)
def test_one_usual_column_name_detects_the_separator(mark: str) -> None:
    table = read(joined(mark, [("ticket_id", "text"), *((f"T{i}", text) for i, (text, _) in enumerate(ROWS))]))
    assert list(table.columns) == ["ticket_id", "text"]


def test_marks_in_sentences_do_not_separate() -> None:
    assert list(read("Meldung: text\na: b\nc: d\n", header="first").columns) == ["Meldung: text"]


@pytest.mark.parametrize("rule", ["+------+-----+", "\u250c\u2500\u2500\u252c\u2500\u2510"])
def test_tables_with_drawn_borders_are_an_error(rule: str) -> None:
    side = "|" if rule[0] == "+" else "\u2502"
    with pytest.raises(DataError, match="a table with drawn borders"):
        read(f"{rule}\n{side} text {side} tag {side}\n{rule}\n")


@pytest.mark.parametrize(("setting", "mark"), [("\\t", "\t"), ("tab", "\t"), ("\\n", "\n"), (";", ";"), (" ", " ")])
def test_label_separators_may_be_escapes(setting: str, mark: str) -> None:
    assert DataSection(source="x.csv", label_separator=setting).label_separator == mark
