"""Label names from the label columns of train and test, read in the same way in both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kit.data.blank import is_blank
from kit.data.label_column import LabelColumn, Labels, cell_words
from kit.data.label_forms import find_form
from kit.data.label_separators import JOINING, USUAL, joined_by, joined_words, unused_mark
from kit.data.label_vectors import truth
from kit.data.label_words import listed
from kit.data.label_writing import (
    count_labels,
    mapped_names,
    merged_names,
    missing_remark,
    rename,
    typed_names,
    typed_remark,
    writing_remark,
)
from kit.data.labels import label_order
from kit.data.numbers import read_split_numbers
from kit.data.table import Table, is_missing
from kit.errors import DataError
from kit.recipe.sections.data import DataSection, TargetKind
from kit.recipe.setting import setting

_BIT_HINT = {  # by whether the cell is empty
    False: "a column per label has 1 where the label holds and 0 where it does not: write 0 and 1 for the values",
    True: "a column per label has a 0 or 1 in every row: write 0 where the label does not hold, and leave out "
    "unlabelled rows",
}


@dataclass(frozen=True)
class SplitLabels:
    """Label names of train and test.

    Attributes:
        train: Label names of each training row.
        test: Label names of each test row; None without a test table.
        notes: Sentences about assumptions and doubts that the user should read.
        order: All labels in the order of class indices; empty for numbers.
        separator: Character between the labels of a cell.
    """

    train: Labels
    test: Labels | None
    notes: tuple[str, ...]
    order: tuple[str, ...] = ()
    separator: str = USUAL


def read_split_labels(train: Table, test: Table | None, columns: Sequence[str], data: DataSection) -> SplitLabels:
    """Return the labels of both splits. The training rows decide about the form of the cells.

    Args:
        train: Table of training examples.
        test: Table of test examples. None: test is split off train.
        columns: The column with the labels, or one 0/1 column per label.
        data: Data section of the recipe.

    Raises:
        DataError: The labels cannot be read. The message names the column, and the row if there is one.
    """
    if data.targets is TargetKind.NUMBERS:
        numbers_of_test = None if test is None else LabelColumn(columns[0], test)
        return SplitLabels(*read_split_numbers(LabelColumn(columns[0], train), numbers_of_test, data))
    notes: list[str] = []
    if len(columns) > 1:
        separator = data.label_separator or USUAL
        rows, tested = _one_hot(train, columns), None if test is None else _one_hot(test, columns)
        _require_ones(rows, columns, data)
    else:
        column = LabelColumn(columns[0], train)
        form, assumed = find_form(column, data.multi_label, data.label_separator, declared=data.labels)
        separator = form.separator
        rows, tested = form.read(column), None if test is None else form.read(LabelColumn(columns[0], test))
        if assumed:
            notes.append(
                f"labels in one cell are separated by {separator!r} (if each cell is one label, set "
                f"{setting('data.label_separator', unused_mark([str(value) for _, value in column.cells()]))})"
            )
        notes += form.notes()
    rows, tested, typed = _renamed(rows, tested, data)
    counts = count_labels(rows, tested or [])
    remarks = (typed, _joined(counts, data, separator), writing_remark(counts), missing_remark(counts))
    notes += filter(None, remarks)
    order = label_order(rows, _declared(columns, data))
    return SplitLabels(rows, tested, tuple(notes), order=order, separator=separator)


def _one_hot(table: Table, columns: Sequence[str]) -> Labels:
    """Return the labels of each row from one 0/1 column per label."""
    holds = [_bits(LabelColumn(name, table)) for name in columns]
    return [tuple(name for name, bit in zip(columns, row, strict=True) if bit) for row in zip(*holds, strict=True)]


def _require_ones(train: Labels, columns: Sequence[str], data: DataSection) -> None:
    """Raise DataError for a column in which no training example has a 1."""
    present = {name for row in train for name in row}
    empty = [name for name in columns if name not in present and name not in data.label_map]
    if empty:
        rest = [name for name in columns if name in present]
        raise DataError(
            f"no training example has a 1 in {listed(empty)}",
            f"leave it out: {setting('data.label', rest if len(rest) > 1 else ''.join(rest))}" if rest else "",
            key="data.label",
        )


def _bits(column: LabelColumn) -> list[bool]:
    bits = []
    for place, value in column.cells():
        bit = truth(value)
        if bit is None:
            raise column.error(
                place,
                f"{cell_words(value)!r} is neither 0 nor 1",
                _BIT_HINT[is_blank(str(value)) or is_missing(value)],
            )
        bits.append(bit)
    return bits


def _declared(columns: Sequence[str], data: DataSection) -> list[str] | None:
    if data.labels is None and len(columns) > 1:
        names = (data.label_map.get(name, name) for name in columns)
        return None if data.normalise_labels else [name for name in names if name is not None]
    return data.labels


def _renamed(train: Labels, test: Labels | None, data: DataSection) -> tuple[Labels, Labels | None, str | None]:
    """Rename labels by number format, `data.label_map` and `data.normalise_labels`.

    The third value is a note on the number formats, None if they change no label.
    """

    def apply(names: Mapping[str, str | None]) -> None:
        nonlocal train, test
        train, test = rename(train, names), None if test is None else rename(test, names)

    typed = typed_names(sorted(count_labels(train, test or [])), data.labels)
    typed = {name: new for name, new in typed.items() if name not in data.label_map}
    apply(typed)
    if data.label_map:
        names = sorted(count_labels(train, test or []))
        apply(mapped_names(names, data.label_map, grouped=data.normalise_labels))
    if data.normalise_labels:
        apply(merged_names(count_labels(train), count_labels(test or []), data.labels))
    return train, test, typed_remark(typed)


def _joined(names: Mapping[str, int], data: DataSection, separator: str) -> str | None:
    """Return a warning about labels that look like several joined labels, None if there are none."""
    marks = (*JOINING, " ") if data.multi_label else JOINING
    mark = joined_by(names, [mark for mark in marks if not data.multi_label or mark != separator])
    mark = mark or (joined_words(names) if not data.multi_label or separator != " " else None)
    if mark is None:
        return None
    separates = setting("data.label_separator", mark)
    keys = separates if data.multi_label else f"{setting('data.multi_label', True)} and {separates}"
    example = listed(sorted(name for name in names if mark in name), most=2)
    return f"some labels look like several joined by {mark!r}, such as {example}: if they are, set {keys}"
