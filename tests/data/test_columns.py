"""Guesses of the text and label columns."""

import re
from dataclasses import replace
from typing import Any

import pytest

from kit.data.columns import LabelPerColumnError, guess_label_column, guess_text_columns, require_columns
from kit.data.table import Table
from kit.errors import DataError

LONG = [f"a rather long sentence, number {i}, that only a text column would hold" for i in range(12)]
KINDS = ["yes", "no", "maybe"] * 4


def guess(**columns: list[object]) -> tuple[tuple[str, ...], str]:
    table = Table.of(columns)
    label = guess_label_column(table)
    return guess_text_columns(table, exclude=(label,)), label


@pytest.mark.parametrize(
    ("names", "text", "label"),
    [
        (("text", "category"), ("text",), "category"),
        (("body", "intent"), ("body",), "intent"),
        (("Review", "Sentiment"), ("Review",), "Sentiment"),
        (("utterance", "label"), ("utterance",), "label"),
        (("comment_text", "target"), ("comment_text",), "target"),
        (("content", "stars"), ("content",), "stars"),
    ],
)
def test_columns_with_usual_names_are_found(names: tuple[str, str], text: tuple[str, ...], label: str) -> None:
    assert guess(**{names[0]: LONG, names[1]: KINDS}) == (text, label)


@pytest.mark.parametrize(
    "pair", [("premise", "hypothesis"), ("sentence1", "sentence2"), ("question1", "question2"), ("text_a", "text_b")]
)
def test_pairs_are_found_before_single_texts(pair: tuple[str, str]) -> None:
    columns = {"text": LONG, pair[1]: LONG, pair[0]: LONG, "label": KINDS}
    assert guess(**columns) == (pair, "label")


@pytest.mark.parametrize("name", ["label_text", "label_name", "Label-Text"])
def test_label_names_are_preferred_to_their_numbers(name: str) -> None:
    assert guess(**{"text": LONG, "label": [0, 1, 2] * 4, name: KINDS}) == (("text",), name)


def test_content_decides_between_unusual_names() -> None:
    assert guess(id=[str(i) for i in range(12)], what=LONG, group=KINDS) == (("what",), "group")


def test_two_usual_label_columns_are_an_error() -> None:
    with pytest.raises(DataError) as caught:
        guess(text=LONG, intent=KINDS, sentiment=KINDS)
    assert caught.value.message == (
        "data.label: intent ('yes', 'no') and sentiment ('yes', 'no') could each be the label "
        "(columns: text, intent, sentiment)"
    )
    assert caught.value.hint == "say which: data.label: intent"


STARS = ["1", "5", "3", "2"] * 3
WORDS = ["good", "bad"] * 6


@pytest.mark.parametrize(
    ("columns", "candidates"),
    [
        ({"score": STARS, "flair": KINDS}, "score ('1', '5') and flair ('yes', 'no')"),
        ({"verdict": KINDS, "score": [0.9, 0.7, 1.0] * 4}, "verdict ('yes', 'no') and score ('0.9', '0.7')"),
        ({"category": KINDS, "rating": STARS}, "category ('yes', 'no') and rating ('1', '5')"),
        ({"stars": STARS, "flagged": [True, False] * 6}, "stars ('1', '5') and flagged ('True', 'False')"),
        ({"label": WORDS, "topic": KINDS}, "label ('good', 'bad') and topic ('yes', 'no')"),
        ({"user": [1, 2, 3, 4] * 3, "kind": KINDS}, "user ('1', '2') and kind ('yes', 'no')"),
        ({"stars": STARS, "genres": [["a"], ["a", "b"]] * 6}, "stars ('1', '5') and genres ("),
    ],
)
def test_two_possible_label_columns_are_an_error(columns: dict[str, list[Any]], candidates: str) -> None:
    with pytest.raises(DataError, match=re.escape(f"data.label: {candidates}")):
        guess(text=LONG, **columns)


@pytest.mark.parametrize(
    ("columns", "label"),
    [
        ({"stars": STARS}, "stars"),
        ({"label": KINDS, "score": STARS}, "label"),
        ({"intent": KINDS, "source": WORDS}, "intent"),
        ({"label": [0, 1] * 6, "category": WORDS}, "category"),
        ({"label": WORDS, "label_text": LONG}, "label"),
        ({"y": STARS, "id": list(range(12))}, "y"),
        ({"target": [f"free text {i}" for i in range(30)], "flair": ["a", "b", "c"] * 10}, "flair"),
    ],
)
def test_single_plausible_label_column_is_guessed(columns: dict[str, list[Any]], label: str) -> None:
    text = [f"a rather long sentence, number {i}" for i in range(len(next(iter(columns.values()))))]
    assert guess_label_column(Table.of({"text": text, **columns})) == label


def test_numbers_that_rarely_repeat_are_not_labels() -> None:
    with pytest.raises(DataError, match=r"no column looks like the label"):
        guess_label_column(Table.of({"text": [f"t{i}" for i in range(40)], "score": [i / 7 for i in range(40)]}))


def test_several_zero_one_columns_are_label_columns() -> None:
    bits = {"toxic": [0, 1] * 6, "obscene": [1, 0, 0] * 4, "insult": ["0", "1", ""] * 4, "threat": [0] * 12}
    with pytest.raises(LabelPerColumnError) as caught:
        guess_label_column(Table.of({"id": list(range(12)), "text": LONG, **bits}))
    assert caught.value.columns == ("toxic", "obscene", "insult", "threat")
    assert caught.value.hint.startswith("if they are, set data.label: [toxic, obscene, insult, threat]")


def test_error_without_label_column_lists_the_columns() -> None:
    with pytest.raises(DataError) as caught:
        guess_label_column(Table.of({"text": LONG, "id": list(range(12))}))
    assert caught.value.message == "data.label: no column looks like the label (columns: text, id)"
    assert caught.value.hint == "set data.label to the name of the column"


def test_two_text_columns_of_similar_length_are_an_error() -> None:
    with pytest.raises(DataError, match=r"data\.text: b \('a .*\) and a \('a .*\) could each be the text"):
        guess(a=LONG, b=LONG, label=KINDS)


def test_numbers_are_not_texts() -> None:
    with pytest.raises(DataError, match=r"data\.text: no column looks like the text \(columns: text, label\)"):
        guess(text=list(range(12)), label=KINDS)


def test_error_for_misspelt_column_proposes_the_nearest() -> None:
    table = Table.of({"body": LONG, "intent": KINDS, "date": KINDS})
    with pytest.raises(DataError) as caught:
        require_columns(["intnet"], table, "data.label", "tickets.csv")
    assert caught.value.message == "data.label: column 'intnet' is not in tickets.csv (columns: body, intent, date)"
    assert caught.value.hint == "did you mean 'intent'?"


def test_names_that_differ_only_in_case_are_an_error() -> None:
    with pytest.raises(DataError, match=r"Label .* and label .* could each be the label"):
        guess_label_column(Table.of({"text": LONG, "Label": KINDS, "label": [*reversed(KINDS)]}))
    with pytest.raises(DataError, match="could each be the label"):
        guess_label_column(Table.of({"text": LONG, "label": KINDS, "label ": KINDS}))
    with pytest.raises(DataError, match="could each be the text"):
        guess_text_columns(Table.of({"Text": LONG, "text": LONG, "label": KINDS}), exclude=["label"])


def test_two_columns_of_whole_texts_are_an_error() -> None:
    with pytest.raises(DataError, match="could each be the text"):
        guess_text_columns(Table.of({"content": LONG, "message": LONG, "label": KINDS}), exclude=["label"])
    assert guess_text_columns(Table.of({"body": LONG, "text": LONG}), exclude=[]) == ("text",)
    assert guess_text_columns(Table.of({"subject": LONG, "body": LONG}), exclude=[]) == ("body",)


@pytest.mark.parametrize(
    ("columns", "delimited", "hint"),
    [
        ({"data": [[{"text": "a"}]]}, False, "data holds lists or objects: write one object per example"),
        ({"messages": [[{"role": "user"}], [{"role": "user"}]]}, False, "messages holds lists or objects"),
        ({"note": ["x"]}, False, "add a column with the label"),
        ({"note": ["x"]}, True, "set data.separator"),
    ],
)
def test_hint_names_the_separator_only_for_delimited_files(columns: dict[str, Any], delimited: bool, hint: str) -> None:
    with pytest.raises(DataError) as caught:
        guess_label_column(replace(Table.of(columns), delimited=delimited))
    assert hint in caught.value.hint


def test_hint_without_text_column_names_bytes() -> None:
    with pytest.raises(DataError) as caught:
        guess_text_columns(Table.of({"body": [b"a", b"b"], "label": ["x", "y"]}), exclude=["label"])
    assert caught.value.hint == "column body holds bytes: write it as text"
