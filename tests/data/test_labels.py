"""Names and order of labels."""

import pytest

from kit.data.labels import check_test_labels, label_name, label_order
from kit.errors import DataError


def test_numeric_labels_are_sorted_by_number() -> None:
    assert label_order([(name,) for name in ("10.0", "9.0", "2.5", "-1")], None) == ("-1", "2.5", "9.0", "10.0")
    assert label_order([("10",), ("9",), ("two",)], None) == ("10", "9", "two")


def test_large_numbers_stay_distinct() -> None:
    assert label_name(1234567.25) != label_name(1234567.5)
    assert (label_name(3.0), label_name(0.5), label_name(True)) == ("3", "0.5", "true")


def test_labels_without_a_difference_are_an_error() -> None:
    with pytest.raises(DataError, match=r"every training example has all 2 labels; there is nothing to learn"):
        label_order([("0", "1"), ("1", "0")], None)
    with pytest.raises(DataError, match=r"'a' is the only label; kit needs two or more"):
        label_order([("a",), ()], None)


@pytest.mark.parametrize(
    ("train", "test", "hint"),
    [
        (["0", "1"], ["False", "True"], "data.label_map: {'False': '0', 'True': '1'}"),
        (["False", "True"], ["0"], "data.label_map: {'0': 'False'}"),
        (["no", "yes"], ["0", "1"], "data.label_map: {'0': 'no', '1': 'yes'}"),
        (["0", "1"], ["-1", "1"], "if it is another name of a label, data.label_map: {'-1': '...'}"),
    ],
)
def test_hints_name_the_labels_of_test(train: list[str], test: list[str], hint: str) -> None:
    with pytest.raises(DataError) as caught:
        check_test_labels([(name,) for name in test], train, "x.csv")
    assert hint in caught.value.hint
    assert "did you mean" not in caught.value.hint
