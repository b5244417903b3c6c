"""Forms of the cells of a label column: one label, several labels, or a 0/1 vector over named labels."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from kit.data.label_column import LabelColumn, Labels, cell_words
from kit.data.label_lists import ListError, is_nested, parse_list
from kit.data.label_separators import USUAL, find_separator, leaves_open, split_labels, unused_mark
from kit.data.label_vectors import bits_of, refuse_unequal_vectors, tokens_of, truth, vector_length
from kit.data.label_words import listed, quoted
from kit.data.labels import label_name
from kit.data.table import is_missing
from kit.errors import DataError
from kit.recipe.setting import setting

_SEVERAL = f"set {setting('data.multi_label', True)}, or name another column"
_LIST_TEXT = re.compile(r"""\[\s*(["']).*\1\s*\]""", re.DOTALL)
_LIST_HINT = 'write a JSON list in each cell: ["a", "b"], and [] where no label holds'


@dataclass(frozen=True)
class LabelForm:
    """Form of the cells of a label column.

    Attributes:
        several: Whether an example can have several labels.
        separator: Character between the labels of a text cell.
        places: Label names of the positions of a 0/1 vector; empty if cells hold names or numbers of labels.
        known: Names that are labels even with unclosed brackets: declared names, and whole cells.
    """

    several: bool
    separator: str = USUAL
    places: tuple[str, ...] = ()
    known: frozenset[str] = frozenset()
    _read: dict[Any, tuple[str, ...]] = field(default_factory=dict, compare=False, repr=False)
    _incomplete: list[str] = field(default_factory=list, compare=False, repr=False)

    def read(self, column: LabelColumn) -> Labels:
        """Return the label names of each row; () for a row without a label.

        Raise DataError that names the row.
        """
        return [self._labels(column, place, value) for place, value in column.cells()]

    def notes(self) -> list[str]:
        """Return notes for the user about the cells that were read."""
        if not self._incomplete:
            return []
        return [f"missing items (None, null, NaN) in lists of labels are left out, the first in {self._incomplete[0]}"]

    def _labels(self, column: LabelColumn, place: int, value: Any) -> tuple[str, ...]:
        if isinstance(value, (list, tuple)):
            return self._from_list(column, place, value)
        if is_missing(value):
            return self._missing(column, place)
        key = (type(value), value)
        if key not in self._read:  # labels repeat, so a million rows need few conversions
            self._read[key] = self._from_value(column, place, value)
        return self._read[key]

    def _missing(self, column: LabelColumn, place: int) -> tuple[str, ...]:
        if self.several:
            raise column.error(
                place,
                "null may mean no label or not labelled",
                "write [] where no label holds, and leave out unlabelled rows",
            )
        return ()

    def _from_value(self, column: LabelColumn, place: int, value: Any) -> tuple[str, ...]:
        if not self.several:
            name = label_name(value)
            return (name,) if name else ()
        items = _list_in(column, place, value)
        if self.places:
            return self._held(column, place, items if items is not None else tokens_of(str(value)), cell=value)
        if items is not None:
            names = self._names(column, place, items)
            if len(set(names)) != len(names) and bits_of(items):
                raise _repeated(column, place, items)
            return tuple(dict.fromkeys(names))
        return self._split(column, place, value) if isinstance(value, str) else (label_name(value),)

    def _split(self, column: LabelColumn, place: int, cell: str) -> tuple[str, ...]:
        """Split a cell into labels. Raise DataError for a separator inside brackets or quotes."""
        names = split_labels(cell, self.separator)
        cut = next((name for name in names if len(names) > 1 and name not in self.known and leaves_open(name)), None)
        if cut is not None:
            raise column.error(
                place,
                f"{cell_words(cell)}: split at {self.separator!r}, the label {quoted(cell_words(cut))} has a bracket "
                "or quote that does not close",
                f"{_LIST_HINT}; if {self.separator!r} is part of the names, set data.label_separator",
            )
        return names

    def _from_list(self, column: LabelColumn, place: int, value: Sequence[Any]) -> tuple[str, ...]:
        if not self.several:
            raise DataError(f"column {quoted(column.name)} holds lists of labels", _SEVERAL, key="data.label")
        if self.places:
            return self._held(column, place, value, cell=value)
        names = self._names(column, place, value)
        if len(set(names)) != len(names):
            raise _repeated(column, place, value)
        return names

    def _names(self, column: LabelColumn, place: int, items: Sequence[Any]) -> tuple[str, ...]:
        present = [item for item in items if not is_missing(item)]
        if len(present) < len(items):
            self._incomplete.append(column.table.place(place))
        return _names(column, place, present)

    def _held(self, column: LabelColumn, place: int, items: Sequence[Any], cell: Any) -> tuple[str, ...]:
        bits = [truth(item) for item in items]
        if len(bits) != len(self.places) or None in bits:
            raise column.error(
                place, f"{cell_words(cell)} is not a 0/1 vector of length {len(self.places)}, as other cells are"
            )
        return tuple(name for name, holds in zip(self.places, bits, strict=True) if holds)


def find_form(
    column: LabelColumn, several: bool, separator: str | None, declared: Sequence[str] | None
) -> tuple[LabelForm, bool]:
    """Return the form of the training cells, and whether the separator was detected from the cells.

    Args:
        column: Label column of the training table.
        several: Whether an example can have several labels.
        separator: Separator that the recipe sets. None: detect it.
        declared: Label names of the recipe, which name the positions of 0/1 vectors. None: undeclared.

    Raises:
        DataError: Cells hold lists although an example has one label, hold vectors without declared names, or can be
            read in several ways.
    """
    cells = list(_distinct(column))
    if not several:
        _refuse_lists(column, cells)
        return LabelForm(False), False
    length = vector_length(cells)
    if length:
        return LabelForm(True, USUAL, _position_names(column, length, declared)), False
    refuse_unequal_vectors(column, cells)
    known = frozenset(declared or ()).union(value for _, value in cells if isinstance(value, str))
    if separator is not None:
        return LabelForm(True, separator, known=known), False
    texts = {value for place, value in cells if isinstance(value, str) and _list_in(column, place, value) is None}
    detected = find_separator(texts)
    if detected.unclear:
        raise _unclear_separator(column, detected.unclear, texts)
    return LabelForm(True, detected.separator, known=known), any(detected.separator in text for text in texts)


def _distinct(column: LabelColumn) -> Iterator[tuple[int, Any]]:
    """Yield position and value of the filled cells, each value once."""
    keys = set()
    for place, value in column.cells():
        key = str(value) if isinstance(value, (list, tuple)) else value
        if not is_missing(value) and key != "" and (type(value), key) not in keys:
            keys.add((type(value), key))
            yield place, value


def _list_in(column: LabelColumn, place: int, value: Any) -> list[Any] | None:
    """Return the items of a text cell that holds a list, None for other cells."""
    if not isinstance(value, str):
        return None
    try:
        return parse_list(value)
    except ListError as error:
        raise column.error(place, f"{cell_words(value)}: {error}", _LIST_HINT) from None


def _names(column: LabelColumn, place: int, items: Sequence[Any]) -> tuple[str, ...]:
    """Return the names of a list's items. Raise DataError for an item that is not a label."""
    for item in items:
        if isinstance(item, (list, tuple)):
            raise column.error(place, f"a list inside a list: {cell_words(items)}", _LIST_HINT)
        if isinstance(item, str) and _LIST_TEXT.fullmatch(item.strip()):
            raise column.error(place, f"a list as text inside a list: {cell_words(items)}", _LIST_HINT)
        if isinstance(item, float) and not item.is_integer():
            raise column.error(place, f"{item} in a list is not a label", "list the labels that hold, not their scores")
    return tuple(name for name in map(label_name, items) if name)


def _repeated(column: LabelColumn, place: int, value: Sequence[Any]) -> DataError:
    return column.error(
        place,
        f"a label is repeated: {cell_words(list(value))}",
        "each row must list the labels that hold (names or numbers); vectors of 0 and 1 must all have the same length",
    )


def _refuse_lists(column: LabelColumn, cells: Sequence[tuple[int, Any]]) -> None:
    """Raise DataError if the cells are lists or vectors although an example has one label."""
    if cells and all(_is_one_bit_list(value) for _, value in cells):
        raise DataError(
            f"column {quoted(column.name)} holds lists with a single 0 or 1: {cell_words(cells[0][1])}",
            "write 0 or 1 without brackets",
            key="data.label",
        )
    nested = [value for _, value in cells if isinstance(value, str) and is_nested(value)]
    if 2 * len(nested) > len(cells):
        raise DataError(
            f"column {quoted(column.name)} holds objects or lists of lists: {cell_words(nested[0])}",
            f"write the name of one label in each cell; for several labels, {_LIST_HINT}, and {_SEVERAL}",
            key="data.label",
        )
    if not cells or not all(isinstance(value, str) for _, value in cells):
        return
    first = cells[0][1].strip()
    if tokens_of(first)[1:] and (length := vector_length(cells)):
        raise DataError(
            f"column {quoted(column.name)} holds 0/1 vectors of length {length}: {cell_words(first)}",
            f"set {setting('data.multi_label', True)}, and data.labels to the names of the positions; or name "
            "another column",
            key="data.label",
        )
    if first[:1] in "[{" and all(_is_list(value) for _, value in cells):
        raise DataError(
            f"column {quoted(column.name)} holds lists of labels: {cell_words(first)}", _SEVERAL, key="data.label"
        )


def _is_one_bit_list(value: Any) -> bool:
    is_list = isinstance(value, (list, tuple)) or (isinstance(value, str) and value.strip()[:1] in ("[", "("))
    return is_list and len(bits_of(value)) == 1


def _is_list(cell: str) -> bool:
    try:
        return parse_list(cell) is not None
    except ListError:
        return False


def _position_names(column: LabelColumn, length: int, declared: Sequence[str] | None) -> tuple[str, ...]:
    if declared is None:
        raise DataError(
            f"column {quoted(column.name)} holds 0/1 vectors of length {length}, and their positions have no names",
            f"set data.labels to the {length} label names, in the order of the vectors",
            key="data.label",
        )
    if len(declared) != length:
        raise DataError(
            f"{len(declared)} names for the 0/1 vectors of length {length} in {quoted(column.name)}",
            f"name all {length} positions, in the order of the vectors",
            key="data.labels",
        )
    return tuple(declared)


def _unclear_separator(column: LabelColumn, marks: Sequence[str], texts: set[str]) -> DataError:
    examples = sorted(text for text in texts if any(mark in text for mark in marks))[:2]
    shown = " or ".join(map(repr, marks))
    settings = " or ".join(setting("data.label_separator", mark) for mark in marks)
    return DataError(
        f"column {quoted(column.name)} may separate labels by {shown}: {listed(examples)}",
        f"say which: {settings}; if each cell is one label, {setting('data.label_separator', unused_mark(texts))}",
        key="data.label",
    )
