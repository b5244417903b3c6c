"""Film reviews with their rating: no rating is left in a text, and the splits share no review."""

from __future__ import annotations

import random
import re

import numpy as np
import pytest

from kit.data.demo.ratings import OTHER_RATINGS, RATING, ratings
from kit.data.table import Table
from kit.errors import DataError
from kit.recipe import DataSection

WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]


@pytest.fixture(scope="module")
def tables() -> dict[str, Table]:
    return ratings(DataSection(source="demo:ratings"))


@pytest.fixture(scope="module")
def examples(tables) -> list[tuple[str, str]]:
    columns = [table.columns for table in tables.values()]
    return [pair for part in columns for pair in zip(part["review"], part["rating"], strict=True)]


def test_splits_have_fixed_sizes_and_all_ratings(tables) -> None:
    assert {name: len(table) for name, table in tables.items()} == {"train": 1462, "test": 533}
    for table in tables.values():
        values = np.array(table.columns["rating"], float)
        assert (values.min(), values.max()) == (0, 10)
        assert {1, 2, 3, 4, 5, 7, 8, 9} <= set(values)


def test_no_text_states_a_rating(examples) -> None:
    for text, _ in examples:
        assert "<br" not in text
        assert not any(pattern.search(text) for pattern in (RATING, *OTHER_RATINGS)), text


@pytest.mark.parametrize("rating", ["8/10", "3 stars", "4.5/5", "9of10", "7 out of 10", "two-star", "I rate it 7"])
def test_other_forms_of_a_rating_are_recognized(rating) -> None:
    assert any(pattern.search(f"Good. {rating} overall.") for pattern in (RATING, *OTHER_RATINGS))


def test_a_text_has_its_own_rating_as_often_as_that_of_another(examples) -> None:
    texts, labels = (list(column) for column in zip(*examples, strict=True))
    own = share_with(texts, labels)
    random.Random(0).shuffle(labels)
    assert own == pytest.approx(share_with(texts, labels), abs=0.02)


def share_with(texts: list[str], labels: list[str]) -> float:
    """Return the share of texts in which the label is a word of its own, in digits or letters."""
    count = 0
    for text, label in zip(texts, labels, strict=True):
        forms = [re.escape(f"{float(label):g}")] + ([WORDS[int(float(label))]] if float(label).is_integer() else [])
        count += bool(re.search(rf"(?<![\w.])(?:{'|'.join(forms)})(?![\w.]\d|\w)", text, re.IGNORECASE))
    return count / len(texts)


def test_splits_share_no_passage(tables) -> None:
    def passages(table: Table) -> set[tuple[str, ...]]:
        words = [re.findall(r"\w+", text.lower()) for text in table.columns["review"]]
        return {tuple(row[start : start + 12]) for row in words for start in range(len(row) - 11)}

    assert not passages(tables["train"]) & passages(tables["test"])


def test_languages_are_refused() -> None:
    with pytest.raises(DataError, match="has numbers, not translations"):
        ratings(DataSection(source="demo:ratings", languages=["en", "de"]))
