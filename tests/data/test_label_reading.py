"""Labels from the forms, separators and spellings of label cells."""

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from kit.data.label_reading import SplitLabels, read_split_labels
from kit.data.table import Table
from kit.errors import DataError
from kit.recipe import DataSection


def read(values: list[Any], test: list[Any] | None = None, **section: Any) -> SplitLabels:
    tables = [None if column is None else Table.of({"tags": column}) for column in (values, test)]
    assert tables[0] is not None
    return read_split_labels(tables[0], tables[1], ["tags"], DataSection(source="x.csv", **section))


def refused(values: list[Any], **section: Any) -> str:
    with pytest.raises(DataError) as caught:
        read(values, **section)
    return str(caught.value)


VECTORS = [[0, 1, 0], [1, 1, 0], [0, 0, 0], [0, 0, 1]]


@pytest.mark.parametrize(
    "write",
    [
        list,
        str,
        lambda bits: [bool(bit) for bit in bits],
        lambda bits: [float(bit) for bit in bits],
        lambda bits: str(np.array(bits)),
        lambda bits: str(np.array(bits, dtype=bool)),
        lambda bits: str(np.array(bits, dtype=float)),
        lambda bits: " ".join(map(str, bits)),
        lambda bits: ",".join(map(str, bits)),
        lambda bits: "-".join(map(str, bits)),
        lambda bits: "".join(map(str, bits)),
    ],
)
def test_vectors_need_declared_labels(write: Any) -> None:
    cells = [write(bits) for bits in VECTORS]
    assert read(cells, multi_label=True, labels=["a", "b", "c"]).train == [("b",), ("a", "b"), (), ("c",)]
    assert "holds 0/1 vectors of length 3, and their positions have no names" in refused(cells, multi_label=True)
    assert "2 names for the 0/1 vectors of length 3" in refused(cells, multi_label=True, labels=["a", "b"])
    assert "multi_label" in refused(cells)


def test_exclusive_pairs_are_vectors_of_two_labels() -> None:
    assert "vectors of length 2" in refused([[0, 1], [1, 0]], multi_label=True)
    assert read([[0], [1], [0, 1]], multi_label=True).train == [("0",), ("1",), ("0", "1")]


def test_error_names_a_cell_that_is_not_a_vector() -> None:
    broken = refused([*VECTORS, [0, 1]], multi_label=True, labels=["a", "b", "c"])
    assert "column 'tags', row 5: [0, 1] is not a 0/1 vector of length 3" in broken


@pytest.mark.parametrize(
    "cells",
    [
        [[0, 1], [1, 0, 1], [1, 0]],
        ["0 1 1", "1 0", "0 0"],
        ["[1, 1]", "[0]", "[1, 1, 0]"],
        ["01", "101", "00"],
        [1, 10, 110],
    ],
)
def test_vectors_of_different_lengths_are_an_error(cells: list[Any]) -> None:
    assert "holds 0/1 vectors of different lengths" in refused(cells, multi_label=True)


@pytest.mark.parametrize("cells", [[[0], [1], [0]], ["[0]", "[1]"], ["0", "1"], [0, 1], [True, False]])
def test_vectors_of_length_one_are_an_error(cells: list[Any]) -> None:
    assert "holds a single 0 or 1 in every row" in refused(cells, multi_label=True)


@pytest.mark.parametrize("cells", [[[0], [1]], ["[0]", "[1]"], ["[ True]", "[False]"]])
def test_bit_in_brackets_is_not_a_label(cells: list[Any]) -> None:
    assert "write 0 or 1 without brackets" in refused(cells)


def test_missing_items_of_lists_are_noted() -> None:
    labels = read(["['a', None]", "['b']", "[nan, 'a']"], multi_label=True)
    assert labels.train == [("a",), ("b",), ("a",)]
    assert labels.notes == ("missing items (None, null, NaN) in lists of labels are left out, the first in row 1",)


def test_errors_of_list_cells_name_the_row() -> None:
    assert "column 'tags', row 2: ['a' 'b': the list is not closed" in refused(
        ["['a' 'b']", "['a' 'b'"], multi_label=True
    )
    assert "row 2: null may mean" in refused([["a"], None], multi_label=True)
    assert "row 1: 0.5 in a list is not a label" in refused([[0.5, 1.0], [2.0]], multi_label=True)
    assert "row 1: a label is repeated" in refused([["a", "a"], ["b"]], multi_label=True)
    assert "holds lists of labels: ['a']" in refused(["['a']", "['b']"])


@pytest.mark.parametrize("mark", [";", "|", ",", "/", " | ", "\n"])
def test_separator_is_detected_from_the_cells(mark: str) -> None:
    cells = [mark.join(tags) for tags in (["card"], ["fees", "pin"], ["pin", "card"], ["fees"], [])]
    labels = read(cells, ["card" + mark + "pin"], multi_label=True)
    assert labels.order == ("card", "fees", "pin")
    assert labels.test == [("card", "pin")]
    assert len(labels.notes) == 1
    assert "labels in one cell are separated by" in labels.notes[0]


def test_marks_inside_names_do_not_separate() -> None:
    cells = ["TCP/IP; routing, static", "TCP/IP", "routing, static; DNS", "DNS; TCP/IP"]
    assert read(cells, multi_label=True).order == ("DNS", "TCP/IP", "routing, static")
    assert read(["AC/DC", "rock", "AC/DC"], multi_label=True).order == ("AC/DC", "rock")
    assert read(["a;b", "c"], multi_label=True, label_separator=",").order == ("a;b", "c")


def test_unclear_separators_are_an_error() -> None:
    assert "may separate labels by ',' or ';'" in refused(["a,b", "b;a", "a", "b"], multi_label=True)
    assert "say which: data.label_separator: ';'; if each cell is one label, data.label_separator: '|'" in refused(
        ["a;b", "c;d", "e"], multi_label=True
    )


def test_single_labels_that_look_joined_are_noted() -> None:
    cells = ["a", "b", "c", "a;b", "b;c", "a;c"]
    assert "look like several joined by ';'" in read(cells).notes[0]
    assert read(["red;hot", "cold", "red;hot"]).notes == ()
    assert "joined by ';'" in read(["joy", "joy;calm", "anger;it's bad", "anger"]).notes[0]


@pytest.mark.parametrize("mark", ["+", "&", " and "])
def test_marks_that_may_join_labels_are_noted(mark: str) -> None:
    cells = [
        mark.join(tags) for tags in (["card"], ["fees", "pin"], ["pin", "card"], ["fees"], ["pin", "fees", "card"])
    ]
    assert f"joined by {mark!r}" in read(cells, multi_label=True).notes[0]


@pytest.mark.parametrize(
    ("train", "test", "labels"),
    [
        (["0", "1", "0.0", "1.00"], None, ("0", "1")),
        (["0.0", "1.0"], ["0", "1"], ("0", "1")),
        (["0.0", "1.0"], ["1.0", "0.0"], ("0.0", "1.0")),
        ([True, False], ["TRUE", "False"], ("false", "true")),
        (["True", "False"], None, ("False", "True")),
        (["007", "7"], None, ("7", "007")),
    ],
)
def test_two_spellings_of_a_number_are_one_label(train: Any, test: Any, labels: Any) -> None:
    assert set(read(train, test).order) == set(labels)
    assert "1.0" in read(["0", "1"], ["0.0"], labels=["0", "1.0"]).order


def test_merged_numbers_are_noted_but_not_section_numbers() -> None:
    assert "'1.0' as '1'" in read(["0", "1", "1.0"]).notes[0]
    assert read(["0", "1", "1.0"], label_map={"1.0": "one"}).order == ("0", "1", "one")
    sections = read(["1.1", "1.10", "1.2", "2"])
    assert set(sections.order) == {"1.1", "1.10", "1.2", "2"}
    assert "differ only in spelling: '1.1' (1), '1.10' (1)" in sections.notes[0]


@pytest.mark.parametrize(
    "cells", [["True", "False", "1", "0"], [True, 0, 1, False], ["true", "1", "spam"], ["yes", "n", "y", "no"]]
)
def test_truth_values_and_digits_are_noted_and_merged(cells: list[Any]) -> None:
    assert "some labels differ only in spelling" in read(cells).notes[0]
    assert len(read(cells, normalise_labels=True).order) == 2


RESPELLED = ["neg", "neg", "NEG", "neg\u200b", "pos", "credit  card", "credit card", "é", "e\u0301", "ﬁne", "fine"]


def test_labels_that_differ_only_in_spelling_are_noted_and_merged() -> None:
    note = read(RESPELLED).notes[0]
    assert "'neg' (2), 'NEG' (1), 'neg\\u200b' (1)" in note
    assert "data.normalise_labels" in note
    merged = read(RESPELLED, ["NEG"], normalise_labels=True)
    assert merged.order == ("credit card", "fine", "neg", "pos", "é")
    assert (merged.test, merged.notes) == ([("neg",)], ())
    assert read(["neg", "POS"], labels=["NEG", "POS"], normalise_labels=True).order == ("NEG", "POS")


def test_label_map_renames_train_and_test() -> None:
    labels = read(["0", "1", "2"], ["1"], label_map={"0": "bad", "1": "good", "2": "good"})
    assert (labels.train, labels.test, labels.order) == ([("bad",), ("good",), ("good",)], [("good",)], ("bad", "good"))
    assert "no example has the label '3'" in refused(["0", "1"], label_map={"3": "x"})


def test_one_column_per_label() -> None:
    table = Table.of({"toxic": [0, 1, True], "rude": ["1", "0.0", "false"]})
    data = DataSection(source="x.csv", label=["toxic", "rude"])
    assert data.multi_label
    labels = read_split_labels(table, None, ["toxic", "rude"], data)
    assert (labels.train, labels.order) == ([("rude",), ("toxic",), ("toxic",)], ("toxic", "rude"))
    for bad in ("", 2, None, "yes", -1):
        broken = Table.of({"toxic": [0, 1, 1], "rude": ["1", "0", bad]})
        with pytest.raises(DataError, match=r"column 'rude', row 3: .* is neither 0 nor 1"):
            read_split_labels(broken, None, ["toxic", "rude"], data)


def test_error_names_a_label_column_without_a_one() -> None:
    table = Table.of({"toxic": [0, 1, 1], "rude": [1, 0, 1], "threat": [0, 0, 0]})
    data = DataSection(source="x.csv", label=["toxic", "rude", "threat"])
    with pytest.raises(DataError, match="no training example has a 1 in 'threat'") as caught:
        read_split_labels(table, None, data.label_columns, data)
    assert caught.value.hint == "leave it out: data.label: [toxic, rude]"


@pytest.mark.parametrize("key", ["label", "labels"])
def test_list_of_one_name_is_an_error(key: str) -> None:
    with pytest.raises(ValidationError, match=r"a list is for one 0/1 column|leave data\.labels and"):
        DataSection.model_validate({"source": "x.csv", key: ["toxic"]})


@pytest.mark.parametrize("cell", ["Foo(a, b)", "Foo{a, b}", "new Set([a, b])", "credit (debit, visa), a", '"a, b"'])
def test_separator_inside_brackets_is_an_error(cell: str) -> None:
    message = refused(["a", cell], multi_label=True)
    assert "column 'tags', row 2: " in message
    assert "has a bracket or quote that does not close" in message


@pytest.mark.parametrize(
    "cell",
    [
        "Counter({'a': 1})",
        "<label>a</label><label>b</label>",
        '<tag name="a"/>',
        "[a;b]",
        '[\u201ca", \u201cb"]',
        '["[\\"a\\"]"]',
    ],
)
def test_structures_that_are_not_lists_are_an_error(cell: str) -> None:
    assert "column 'tags', row 2: " in refused(["a", cell], multi_label=True)


@pytest.mark.parametrize("names", [["a) x", "b) y"], ['5" pipe', "'90s"], ["visa (debit)", "f(x)"]])
def test_brackets_and_quotes_inside_names_are_kept(names: list[str]) -> None:
    assert set(read([", ".join(names), names[0]], multi_label=True).order) == set(names)


def test_known_name_may_have_an_open_bracket() -> None:
    assert read([":(, sad", ":("], multi_label=True).order == (":(", "sad")
    assert read([":(, sad", "sad"], multi_label=True, labels=[":(", "sad"]).order == (":(", "sad")


def test_objects_in_single_label_cells_are_an_error() -> None:
    assert "holds objects or lists of lists" in refused(["[{'label': 'joy'}]", "[{'label': 'calm'}]", "joy"])
    assert read(["[[Joy]]", "[[Calm]]"]).order == ("[[Calm]]", "[[Joy]]")


def test_labels_that_look_like_missing_values_are_noted() -> None:
    note = read(["joy", "calm", "NA", "NA", "NULL", "none"]).notes[0]
    assert "look like missing values: 'NA' (2), 'NULL' (1)" in note
    assert note.endswith("set data.label_map: {NA: null, 'NULL': null}")


def test_null_in_a_label_map_means_no_label() -> None:
    unlabelled = read(["joy", "calm", "NA"], ["NA"], label_map={"NA": None})
    assert (unlabelled.train[2], unlabelled.test, unlabelled.order) == ((), [()], ("calm", "joy"))
    with pytest.raises(ValidationError, match="the new name of 'NA' is empty"):
        read(["joy", "calm", "NA"], label_map={"NA": " "})


def test_label_map_applies_to_every_spelling_of_merged_labels() -> None:
    cells = ["neg", "NEG", "pos"]
    assert read(cells, ["Neg"], label_map={"neg": "Bad"}, normalise_labels=True).test == [("Bad",)]
    message = refused([*cells, "Neg"], label_map={"neg": "Bad", "NEG": "Worse"}, normalise_labels=True)
    assert "add an entry for 'Neg'" in message


@pytest.mark.parametrize(
    ("pair", "shown"),
    [
        (["\u2764", "\u2764\ufe0f"], "\\ufe0f"),
        (["\u062c\u0645", "\u062c\u0640\u0645"], "\\u0640"),
        (["neg", "'neg'"], "'neg'"),
        (["not good", "not\xa0good"], "not\\xa0good"),
    ],
)
def test_invisible_differences_are_shown_and_merged(pair: list[str], shown: str) -> None:
    assert shown in read([*pair, "x"]).notes[0]
    assert len(read([*pair, "x"], normalise_labels=True).order) == 2


def test_invisible_labels_are_missing() -> None:
    assert read(["a", "\u200b", "b", "\ufeff"]).order == ("a", "b")
    assert read(["a,\u200b", "b"], multi_label=True).order == ("a", "b")


@pytest.mark.parametrize("mark", ["\u3001", "\uff0c", "\uff1b", "\uff5c"])
def test_full_width_separators_are_detected(mark: str) -> None:
    cells = [mark.join(tags) for tags in (["a"], ["b", "c"], ["c", "a"], ["b"])]
    assert read(cells, multi_label=True).order == ("a", "b", "c")
    assert read([f"food{mark}drink, x", "x", f"food{mark}drink"], multi_label=True).order == (f"food{mark}drink", "x")


@pytest.mark.parametrize("mark", ["\u3001", "\u00b7", " ", "\uff0c"])
def test_single_labels_joined_by_rare_marks_are_noted(mark: str) -> None:
    cells = [mark.join(tags) for tags in (["a"], ["b"], ["c"], ["b", "c"], ["c", "a"], ["a", "b"], ["a", "b", "c"])]
    assert f"joined by {mark!r}" in read(cells).notes[0]


def test_words_are_joined_labels_only_if_they_occur_alone() -> None:
    assert "joined by ' '" in read(["__label__a __label__b", "__label__b __label__c"]).notes[0]
    assert read(["lost card", "stolen card", "lost pin", "stolen pin"]).notes == ()


@pytest.mark.parametrize(("bad", "hint"), [("yes", "write 0 and 1 for the values"), ("", "write 0 where the label")])
def test_hint_for_label_columns_depends_on_the_value(bad: str, hint: str) -> None:
    table = Table.of({"toxic": [0, 1], "rude": [1, bad]})
    with pytest.raises(DataError) as caught:
        read_split_labels(table, None, ["toxic", "rude"], DataSection(source="x.csv", label=["toxic", "rude"]))
    assert hint in caught.value.hint
