"""Columns and names of several files of one recipe."""

from __future__ import annotations

from tests.support.data_sections import Save, load, refused


def test_error_names_a_file_with_other_columns(save: Save) -> None:
    save("a.csv")
    save("b.csv", [("a fine film", "pos")] * 3, "body", "kind")
    message, hint = refused(source=["a.csv", "b.csv"])
    assert message == "data.source: b.csv has no column 'text', which other files have (its columns: body, kind)"
    assert hint == "give the columns the same names in all files"


def test_columns_that_some_files_lack_are_noted(save: Save) -> None:
    save("a.csv")
    save("b.csv", [("a fine film", "yes", "x"), ("a bad film", "no", "y")], "text", "label", "note")
    note = "columns that only some files have are not read: 'note' (not in a.csv)"
    assert note in load(source=["a.csv", "b.csv"]).notes
    assert "a.csv has no column 'note'" in refused(source=["a.csv", "b.csv"], where={"note": "x"})[0]


def test_hint_is_to_rename_a_column_of_test(save: Save) -> None:
    save("a.csv")
    save("b.csv", [("a fine film", "yes"), ("a bad film", "no")], "Text", "label")
    assert refused(source="a.csv", test="b.csv")[1] == "rename 'Text' to 'text' in b.csv"


def test_hint_does_not_propose_other_files_of_the_recipe(save: Save) -> None:
    save("tr.csv")
    assert "did you mean" not in refused(source="tr.csv", test="te.csv")[1]
    assert "did you mean" not in refused(source="te.csv", test="tr.csv")[1]
