import pytest

from kit.data.labels import label_name, label_order, read_labels
from kit.errors import DataError


def test_labels_that_are_numbers_are_ordered_as_numbers() -> None:
    assert label_order([(name,) for name in ("10.0", "9.0", "2.5", "-1")], None) == ("-1", "2.5", "9.0", "10.0")
    assert label_order([("10",), ("9",), ("two",)], None) == ("10", "9", "two")


def test_large_numbers_stay_apart() -> None:
    assert label_name(1234567.25) != label_name(1234567.5)
    assert (label_name(3.0), label_name(0.5), label_name(True)) == ("3", "0.5", "true")


def test_null_among_lists_of_labels_is_not_taken_for_no_label() -> None:
    assert read_labels([["a"], []], "tags", ",") == [("a",), ()]
    with pytest.raises(DataError, match="column 'tags', row 1 is null"):
        read_labels([["a"], None], "tags", ",")
    assert read_labels(["a", None], "label", None) == [("a",), ()]
