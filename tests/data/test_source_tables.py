"""Files that a recipe names together: their columns, and names that are close to each other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kit.data.sources import Splits, load_splits
from kit.errors import DataError
from kit.recipe import DataSection

Save = Callable[..., str]
ROWS = [(f"film number {place}", "yes" if place % 3 else "no") for place in range(12)]


@pytest.fixture
def save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Save:
    monkeypatch.chdir(tmp_path)

    def write(name: str, rows: list[tuple[str, ...]] = ROWS, *header: str) -> str:
        Path(name).write_text("".join(",".join(row) + "\n" for row in [header or ("text", "label"), *rows]), "utf-8")
        return name

    return write


def load(**section: Any) -> Splits:
    return load_splits(DataSection(**section))


def refused(**section: Any) -> tuple[str, str]:
    with pytest.raises(DataError) as caught:
        load(**section)
    return caught.value.message, caught.value.hint


def test_files_with_other_columns_are_named(save: Save) -> None:
    save("a.csv")
    save("b.csv", [("a fine film", "pos")] * 3, "body", "kind")
    message, hint = refused(source=["a.csv", "b.csv"])
    assert message == "data.source: b.csv has no column 'text', which other files have (its columns: body, kind)"
    assert hint == "give the columns the same names in all files"


def test_columns_of_some_files_only_are_noted(save: Save) -> None:
    save("a.csv")
    save("b.csv", [("a fine film", "yes", "x"), ("a bad film", "no", "y")], "text", "label", "note")
    note = "columns that only some files have are not read: 'note' (not in a.csv)"
    assert note in load(source=["a.csv", "b.csv"]).notes
    assert "a.csv has no column 'note'" in refused(source=["a.csv", "b.csv"], where={"note": "x"})[0]


def test_a_column_of_test_with_another_name_is_to_be_renamed(save: Save) -> None:
    save("a.csv")
    save("b.csv", [("a fine film", "yes"), ("a bad film", "no")], "Text", "label")
    assert refused(source="a.csv", test="b.csv")[1] == "rename 'Text' to 'text' in b.csv"


def test_a_missing_file_is_not_mistaken_for_another_of_the_recipe(save: Save) -> None:
    save("tr.csv")
    assert "did you mean" not in refused(source="tr.csv", test="te.csv")[1]
    assert "did you mean" not in refused(source="te.csv", test="tr.csv")[1]
