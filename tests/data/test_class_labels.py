"""Class names that data sets declare for numbers."""

import math
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from kit.data.class_labels import UnnamedClass, class_names, declared_features, name_classes
from kit.data.sources import load_splits
from kit.errors import DataError
from kit.recipe import DataSection

CLASSES = {"label": {"names": ["neg", "pos"], "_type": "ClassLabel"}}
LISTS = {"label": {"feature": CLASSES["label"], "_type": "List"}}


def named(values: list[Any], features: dict[str, Any] = CLASSES) -> list[Any]:
    return name_classes({"label": values}, features)["label"]


@pytest.mark.parametrize(
    ("value", "name"),
    [(0, "neg"), (1.0, "pos"), (True, "pos"), ("pos", "pos"), (" neg ", "neg"), ("1", "pos"), ("", None), (-1, None),
     (-1.0, None), (None, None), (math.nan, None)],
)  # fmt: skip
def test_class_numbers_and_names_become_names(value: Any, name: str | None) -> None:
    assert named([value]) == [name]


@pytest.mark.parametrize("value", [2, -2, 0.5, math.inf, "good", "2"])
def test_other_values_become_unnamed_classes(value: Any) -> None:
    assert named([value]) == [UnnamedClass(value, ("neg", "pos"))]


def test_class_names_that_are_numbers_precede_class_numbers() -> None:
    assert named(["1", 1], {"label": {"names": ["1", "0"], "_type": "ClassLabel"}}) == ["1", "0"]


def test_lists_of_class_numbers_become_lists_of_names() -> None:
    assert named([[0], [0, 1.0], []], LISTS) == [["neg"], ["neg", "pos"], []]


def test_vectors_over_all_classes_become_lists_of_names() -> None:
    assert named([[0, 1], [1, 1], [0, 0]], LISTS) == [["pos"], ["neg", "pos"], []]
    assert named([[0, 1], [1, 0]], LISTS) == [["neg", "pos"], ["pos", "neg"]]  # may be lists of class numbers
    assert named([[0, 0, 1], [1, 0, 1]], LISTS) == [[0, 0, 1], [1, 0, 1]]  # of three labels without names


@pytest.mark.parametrize("metadata", [None, {}, {b"huggingface": b"{"}, {b"huggingface": b"[1]"},
                                      {b"huggingface": b'{"info": {"features": [1]}}'}])  # fmt: skip
def test_metadata_of_another_form_has_no_classes(metadata: dict[bytes, bytes] | None) -> None:
    assert declared_features(metadata) == {}
    assert class_names({"names": "neg", "_type": "ClassLabel"}) is None


@pytest.mark.parametrize("bad", [2, "good"])
def test_undeclared_class_is_an_error(tmp_path: Path, bad: Any) -> None:
    labels = [("neg", "pos")[i % 2] if isinstance(bad, str) else i % 2 for i in range(20)]
    labels[7] = bad
    table = pyarrow.table({"text": [f"text {i}" for i in range(20)], "label": labels, "other": labels})
    metadata = '{"info": {"features": {"label": {"names": ["neg", "pos"], "_type": "ClassLabel"}}}}'
    pyarrow.parquet.write_table(table.replace_schema_metadata({"huggingface": metadata}), tmp_path / "x.parquet")
    with pytest.raises(DataError) as caught:
        load_splits(DataSection(source=str(tmp_path / "x.parquet"), label="label"))
    assert caught.value.message == (
        f"data.label: column 'label', row 8: {bad!r} is not a class of this column, which declares 2: 'neg', 'pos'"
    )
    assert load_splits(DataSection(source=str(tmp_path / "x.parquet"), label="other")).labels.count(str(bad)) == 1
