"""Notations of lists of labels in text cells."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kit.data.label_lists import ListError, parse_list

NAMES = [
    "joy",
    "it's",
    'say "x"',
    "both ' and \"",
    "a, b",
    "[x]",
    "new\nline",
    "tab\t",
    "back\\slash",
    "é😀",
    "",
    "a ... b",
]
WRITERS = {
    "json": json.dumps,
    "indented json": lambda names: json.dumps(names, ensure_ascii=False, indent=1),
    "python": repr,
    "tuple": lambda names: repr(tuple(names)),
    "numpy": lambda names: str(np.array(names)),
    "numpy objects": lambda names: str(np.array(names, dtype=object)),
    "numpy repr": lambda names: repr(np.array(names, dtype=object)),
    "numpy scalars": lambda names: repr([np.str_(name) for name in names]),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_lists_written_by_libraries_keep_all_names(writer: str) -> None:
    assert parse_list(WRITERS[writer](NAMES)) == NAMES
    assert parse_list(WRITERS[writer](["joy", "it's"])) == ["joy", "it's"]
    assert parse_list(WRITERS[writer](["joy"])) == ["joy"]


@pytest.mark.parametrize(
    ("cell", "items"),
    [
        ("['joy' 'calm']", ["joy", "calm"]),
        ("['joy'\n 'calm']", ["joy", "calm"]),
        ("[ 3 10]", [3, 10]),
        ("[0. 2.]", [0.0, 2.0]),
        ("[ True False]", [True, False]),
        ("[np.int64(1), np.int64(2)]", [1, 2]),
        ("[]", []),
        ("set()", []),
        ("array([], dtype=object)", []),
        ("{'b'}", ["b"]),
        ("[None, 'a', nan]", [None, "a", None]),
        ("tensor([0, 1], device='cuda:0')", [0, 1]),
        ("0     joy\n1    calm\ndtype: object", ["joy", "calm"]),
        (repr(pd.Index(["a", "b"], dtype=object)), ["a", "b"]),
        (str(pd.Categorical(["a", "b"])), ["a", "b"]),
        ("Series([], dtype: object)", []),
        ('shape: (2,)\nSeries: \'\' [str]\n[\n\t"joy"\n\t"calm"\n]', ["joy", "calm"]),
        ("<StringArray>\n['a', 'b']\nLength: 2, dtype: string", ["a", "b"]),
        ("[joy, credit card]", ["joy", "credit card"]),
        ("'joy', 'credit card'", ["joy", "credit card"]),
        ("<joy><credit card>", ["joy", "credit card"]),
        ("[joy][credit card]", ["joy", "credit card"]),
        ('"joy"', ["joy"]),
        ('{"a b",calm}', ["a b", "calm"]),
        ('["\\ud83d\\ude00"]', ["😀"]),
        ('"[\\"joy\\", \\"calm\\"]"', ["joy", "calm"]),
        ('c("joy", "calm")', ["joy", "calm"]),
        ('String["joy", "calm"]', ["joy", "calm"]),
        ('vec!["joy"]', ["joy"]),
        ("List(joy, credit card)", ["joy", "credit card"]),
        ("WrappedArray(joy)", ["joy"]),
        ("List()", []),
        ("[\u201cjoy\u201d, \u201ccalm\u201d]", ["joy", "calm"]),
        ("- joy\n- credit card", ["joy", "credit card"]),
        (r"[\"joy\", \"calm\"]", ["joy", "calm"]),
        ("\u201ejoy\u201c, \u201ecalm\u201c", ["joy", "calm"]),
        ("\xabjoy\xbb", ["joy"]),
    ],
)
def test_notations_of_lists(cell: str, items: list[Any]) -> None:
    assert parse_list(cell) == items


@pytest.mark.parametrize("cell", ["joy", "", "[bug], [feature]", "[bug] fix", "(debit)", "visa (debit)", "f(x)", "a]"])
def test_names_with_brackets_are_not_lists(cell: str) -> None:
    assert parse_list(cell) is None


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("[joy calm]", "one label or several"),
        ("['a' 'b' ... 'z']", "cut short"),
        ("[['a'], ['b']]", "inside a list"),
        ("{'a': 1}", "a mapping"),
        ("['it's' 'b']", "no comma or space"),
        ("['a''b']", "no comma or space"),
        ("['a',,'b']", "missing between two commas"),
        ("['a', 'b'", "not closed"),
        ("[a b, 'c']", "some labels have quotes"),
    ],
)
def test_ambiguous_cells_are_an_error(cell: str, reason: str) -> None:
    with pytest.raises(ListError, match=reason):
        parse_list(cell)
