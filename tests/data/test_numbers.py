"""Numbers as labels: how cells are read, strata, and the distribution."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kit.data.budget import hold_out, nested_budget, split_off
from kit.data.label_column import LabelColumn
from kit.data.numbers import Distribution, could_be_numbers, guess_number_column, read_split_numbers, strata, values_of
from kit.data.prepare import prepare
from kit.data.table import Table
from kit.errors import DataError
from kit.recipe import DataSection
from kit.recipe.sections.data import TargetKind


def column(values: list[Any]) -> LabelColumn:
    table = Table.of({"rating": values}, "line", range(2, len(values) + 2))
    return LabelColumn("rating", table)


def read(values: list[Any], test: list[Any] | None = None, **section: Any) -> list[Any]:
    tested = None if test is None else column(test)
    labels, test_labels, _ = read_split_numbers(column(values), tested, DataSection(source="x.csv", **section))
    return [row[0] if row else None for row in [*labels, *(test_labels or [])]]


def refused(values: list[Any], **section: Any) -> DataError:
    with pytest.raises(DataError) as caught:
        read(values, **section)
    assert caught.value.key == "data.label"
    return caught.value


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["7", "7.50", " 8 ", "-3", "+1", "1e3", ".5", "\u22122"], ["7", "7.5", "8", "-3", "1", "1000", "0.5", "-2"]),
        ([7, 7.0, 7.25, -0.0, 10**6], ["7", "7", "7.25", "0", "1000000"]),
        (["7,5", "10", "-0,25"], ["7.5", "10", "-0.25"]),
        (["1.234,5", "2.000.000,0"], ["1234.5", "2000000"]),
        (["1,234.5", "12", "1,000,000"], ["1234.5", "12", "1000000"]),
        (["0.123", "1.234"], ["0.123", "1.234"]),
        (["0,123", "1,234"], ["0.123", "1.234"]),
        (["5", "", None, " ", float("nan"), "6"], ["5", None, None, None, None, "6"]),
    ],
)
def test_numbers_are_read_in_every_usual_form(cells, expected) -> None:
    assert read(cells) == expected


def test_the_training_rows_decide_about_the_decimal_sign() -> None:
    assert read(["7,5", "8"], ["1,234"]) == ["7.5", "8", "1.234"]


def test_a_decimal_comma_is_noted() -> None:
    notes = read_split_numbers(column(["7,5", "8"]), None, DataSection(source="x.csv"))[2]
    assert notes == ("column 'rating': numbers are read with a decimal comma",)


@pytest.mark.parametrize(
    ("cells", "line", "problem"),
    [
        (["7", "good", "8"], 3, "'good' is not a number"),
        (["7", "8/10"], 3, "'8/10' is not a number"),
        (["7,5", "8,1", "7.5"], 4, "'7.5' is not a number"),
        (["7", "inf"], 3, "inf is not a finite number below 1e+30"),
        ([7, float("-inf")], 3, "-inf is not a finite number below 1e+30"),
        (["1", "1e99"], 3, "1e99 is not a finite number below 1e+30"),
        ([True, 3], 2, "'True' is not a number"),
        ([[1, 2], 3], 2, "'[1, 2]' is not a number"),
        (["1,234", "12"], 2, "'1,234' has a decimal comma, or a comma that separates thousands"),
    ],
)
def test_a_cell_that_is_not_a_number_is_named_with_its_line(cells, line, problem) -> None:
    assert refused(cells).message == f"data.label: column 'rating', line {line}: {problem}"


@pytest.mark.parametrize("word", ["NaN", "NA", "null", "?"])
def test_a_word_for_a_missing_number_is_refused_with_the_remedy(word) -> None:
    error = refused(["1", word, "2"])
    assert "leave the cell empty, or data.label_map: {" in error.hint
    assert read(["1", word, "2"], label_map={word: None}) == ["1", None, "2"]


def test_words_can_be_mapped_to_numbers() -> None:
    assert read(["bad", "good", "3"], label_map={"bad": 1, "good": 5}) == ["1", "5", "3"]


@pytest.mark.parametrize("cells", [["5", "5.0", "5"], ["", None]], ids=["constant", "empty"])
def test_labels_without_anything_to_learn_are_refused(cells) -> None:
    refused(cells)


def test_values_and_strata_leave_out_missing_numbers() -> None:
    labels = [(str(number),) for number in range(100)] + [()]
    values = values_of(labels)
    assert np.isnan(values[-1]) and values[:-1].tolist() == list(range(100))
    classes = strata(values)
    assert classes[-1] == -1 and np.bincount(classes[:-1]).tolist() == [10] * 10
    assert (np.diff(classes[:-1]) >= 0).all()


@pytest.mark.parametrize(("count", "expected"), [(5, 1), (39, 3), (1000, 10)])
def test_few_numbers_have_few_strata(count, expected) -> None:
    assert len(set(strata(np.random.default_rng(0).random(count)))) == expected


def test_repeated_numbers_share_a_stratum() -> None:
    values = np.repeat([1.0, 2.0, 3.0], [300, 10, 20])
    classes = strata(values)
    assert all(len(set(classes[values == value])) == 1 for value in (1, 2, 3))


def test_budgets_of_strata_are_nested_and_follow_the_distribution() -> None:
    values = np.random.default_rng(1).exponential(size=2000)
    classes = strata(values)
    whole = nested_budget(classes, None, 0, covered=False)
    assert len(nested_budget(classes, 4, 0, covered=False)) == 4
    for size in (50, 200, 1000):
        budget = nested_budget(classes, size, 0, covered=False)
        assert list(budget) == list(whole[:size])
        deciles = np.quantile(values[budget], [0.25, 0.5, 0.75])
        assert deciles == pytest.approx(np.quantile(values, [0.25, 0.5, 0.75]), abs=0.25)
        kept, held = hold_out(classes[budget], 0.2)
        assert len(held) == pytest.approx(0.2 * size, abs=2)
        assert np.median(values[budget[held]]) == pytest.approx(np.median(values[budget[kept]]), abs=0.5)


def test_a_test_split_of_strata_follows_the_distribution() -> None:
    values = np.random.default_rng(1).normal(size=500)
    kept, held = split_off(strata(values), 0.2, 0)
    assert len(held) == 100
    assert np.quantile(values[held], [0.25, 0.75]) == pytest.approx(np.quantile(values[kept], [0.25, 0.75]), abs=0.1)


def test_a_distribution_counts_labels_far_from_the_rest() -> None:
    distribution = Distribution.of(np.array([*np.arange(1, 11), 9999.0]))
    assert distribution.outliers == 1 and distribution.median == 6
    assert Distribution.of(np.array([3.0, 3.0, 3.0, 4.0])).outliers == 0
    assert Distribution.of(np.array([1.0, 10.0])).words == "1 to 10, mean 5.5, standard deviation 4.5"


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["1", "2.5", ""], True),
        (["1,5", "2"], True),
        (["1", "two"], False),
        ([None, ""], False),
        ([True, False], False),
    ],
)
def test_columns_of_numbers_are_recognized(cells, expected) -> None:
    assert could_be_numbers(column(cells)) is expected


@pytest.fixture
def section(tmp_path: Path) -> DataSection:
    """Return the data section of 300 rows with a number, a few of them faulty."""
    random = np.random.default_rng(0)
    rows = [f"text number {place};{random.normal(5, 2):.2f}".replace(".", ",") for place in range(298)]
    path = tmp_path / "ratings.csv"
    path.write_text("\n".join(["text;rating", *rows, "without a number;", "far away;9999,5"]) + "\n", "utf-8")
    return DataSection(source=str(path), test_size=0.25, budget=100).with_targets(TargetKind.NUMBERS)


def test_prepared_numbers_are_split_and_budgeted_by_quantiles(section) -> None:
    data = prepare(section, 0)
    assert (data.labels, data.splits.labels) == (("rating",), ())
    assert (len(data.train), len(data.validation), len(data.test)) == (90, 10, 75)
    smaller = prepare(section.model_copy(update={"budget": 40}), 0)
    assert {*smaller.train.ids} <= {*data.train.ids} and {*smaller.validation.ids} <= {*data.validation.ids}
    assert len(prepare(section.model_copy(update={"budget": 3}), 0).train) == 3
    medians = [np.median(values_of(part.labels)) for part in (data.train, data.test)]
    assert medians == pytest.approx([5, 5], abs=0.6)


def test_the_audit_describes_numbers_and_their_faults(section) -> None:
    report = prepare(section, 0).audit
    assert report.numbers_train is not None and report.numbers_test is not None
    assert report.numbers_train.count + report.numbers_test.count == 299
    warnings = " | ".join(report.warnings())
    assert "numbers are read with a decimal comma" in warnings
    assert "1 training example has no label: dropped" in warnings
    assert "has a label far from the others" in warnings


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"text": ["a b", "c d"], "price": ["1.5", "2"]}, "price"),
        ({"text": ["a b", "c d"], "id": [1, 2], "rating": [3, 4]}, "rating"),
        ({"text": ["a b", "c d"], "height": [1, 2], "width": [3, 4]}, None),
        ({"text": ["a b", "c d"]}, None),
    ],
)
def test_the_column_of_numbers_is_guessed_if_it_is_clear(columns, expected) -> None:
    table = Table.of(columns)
    if expected:
        assert guess_number_column(table) == expected
        return
    with pytest.raises(DataError) as caught:
        guess_number_column(table)
    assert caught.value.key == "data.label"
