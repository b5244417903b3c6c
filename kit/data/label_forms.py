"""How the cells of a label column hold labels: one each, lists of them, or 0/1 vectors over named labels."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from kit.data.label_column import LabelColumn, Labels, cell_words
from kit.data.label_lists import ListError, parse_list
from kit.data.label_separators import USUAL, Separated, find_separator, split_labels, unused_mark
from kit.data.label_words import listed, quoted
from kit.data.labels import label_name
from kit.data.table import is_missing
from kit.errors import DataError
from kit.setting import setting

_BITS = {"0": False, "1": True, "false": False, "true": True}
_MARKS = re.compile(r"[\s,;|/_-]+")
_DECIMAL_BIT = re.compile(r"[01]\.0*")
_ZEROS_AND_ONES = re.compile(r"[01]+")
_DIGITS = re.compile(r"[01]{3,}")
_SEVERAL = f"set {setting('data.multi_label', True)}, or name another column"
_AS_CLASSES = (
    "one label that holds or not is a task with the two labels 0 and 1: write 0 or 1 without brackets, and leave "
    "data.multi_label out"
)
_MENDED = 'write a JSON list in each cell: ["a", "b"], and [] where no label holds'


@dataclass(frozen=True)
class LabelForm:
    """How to read the cells of a label column.

    several: whether an example can have several labels. separator: between the labels of a text cell.
    places: names of the places of a 0/1 vector; empty if cells hold names or numbers of labels.
    """

    several: bool
    separator: str = USUAL
    places: tuple[str, ...] = ()
    _read: dict[Any, tuple[str, ...]] = field(default_factory=dict, compare=False, repr=False)
    _incomplete: list[str] = field(default_factory=list, compare=False, repr=False)

    def read(self, column: LabelColumn) -> Labels:
        """Return the label names of each row; () for a row without one. Raises DataError naming the row."""
        return [self._labels(column, place, value) for place, value in column.cells()]

    def notes(self) -> list[str]:
        """Return what the user should know about the cells that were read."""
        if not self._incomplete:
            return []
        return [f"missing items (None, null, NaN) in lists of labels are left out, the first in {self._incomplete[0]}"]

    def _labels(self, column: LabelColumn, place: int, value: Any) -> tuple[str, ...]:
        if isinstance(value, (list, tuple)):
            return self._from_list(column, place, value)
        if is_missing(value):
            return self._missing(column, place)
        key = (type(value), value)
        if key not in self._read:  # labels repeat: a million rows are a few conversions
            self._read[key] = self._from_value(column, place, value)
        return self._read[key]

    def _missing(self, column: LabelColumn, place: int) -> tuple[str, ...]:
        if self.several:
            raise column.error(
                place,
                "null may mean no label or not labelled",
                "write [] where no label holds, and leave out rows that nobody labelled",
            )
        return ()

    def _from_value(self, column: LabelColumn, place: int, value: Any) -> tuple[str, ...]:
        if not self.several:
            name = label_name(value)
            return (name,) if name else ()
        items = _list_in(column, place, value)
        if self.places:
            return self._held(column, place, items if items is not None else _tokens(str(value)), value)
        if items is not None:
            names = self._names(column, place, items)
            if len(set(names)) != len(names) and _bits(items):
                raise _repeated(column, place, items)
            return tuple(dict.fromkeys(names))
        return split_labels(value, self.separator) if isinstance(value, str) else (label_name(value),)

    def _from_list(self, column: LabelColumn, place: int, value: Sequence[Any]) -> tuple[str, ...]:
        if not self.several:
            raise DataError(f"data.label: column {quoted(column.name)} holds lists of labels", _SEVERAL)
        if self.places:
            return self._held(column, place, value, value)
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
    """Return how the training cells hold labels, and whether the separator was found from them.

    several: whether an example can have several labels. separator: as the recipe sets it, None to find it.
    declared: the recipe's label names, which name the places of vectors. Raises DataError for lists where one label is
    expected, for vectors that nothing names, and for cells that can be read in more than one way.
    """
    cells = list(_distinct(column))
    if not several:
        _refuse_lists(column, cells)
        return LabelForm(False), False
    length = _vector_length(cells)
    if length:
        return LabelForm(True, USUAL, _named_places(column, length, declared)), False
    _refuse_unequal_vectors(column, cells)
    if separator is not None:
        return LabelForm(True, separator), False
    texts = {value for place, value in cells if isinstance(value, str) and _list_in(column, place, value) is None}
    found = find_separator(texts)
    if found.unclear:
        raise _ask_for_separator(column, found, texts)
    return LabelForm(True, found.separator), any(found.separator in text for text in texts)


def truth(value: Any) -> bool | None:
    """Return the truth value of a cell that holds 0 or 1 in any form, None for other cells."""
    name = label_name(value).lower()
    if _DECIMAL_BIT.fullmatch(name):
        name = name[0]
    return _BITS.get(name)


def _distinct(column: LabelColumn) -> Iterator[tuple[int, Any]]:
    """Yield position and value of the cells that hold something, each value once."""
    seen = set()
    for place, value in column.cells():
        key = str(value) if isinstance(value, (list, tuple)) else value
        if not is_missing(value) and key != "" and (type(value), key) not in seen:
            seen.add((type(value), key))
            yield place, value


def _list_in(column: LabelColumn, place: int, value: Any) -> list[Any] | None:
    """Return the items of a text cell that holds a list, None for other cells."""
    if not isinstance(value, str):
        return None
    try:
        return parse_list(value)
    except ListError as error:
        raise column.error(place, f"{cell_words(value)}: {error}", _MENDED) from None


def _names(column: LabelColumn, place: int, items: Sequence[Any]) -> tuple[str, ...]:
    """Return the names of a list's items; refuse items that are no labels."""
    for item in items:
        if isinstance(item, (list, tuple)):
            raise column.error(place, f"a list inside a list: {cell_words(items)}", _MENDED)
        if isinstance(item, float) and not item.is_integer():
            raise column.error(place, f"{item} in a list is no label", "list the labels that hold, not their scores")
    return tuple(name for name in map(label_name, items) if name)


def _repeated(column: LabelColumn, place: int, value: Sequence[Any]) -> DataError:
    return column.error(
        place,
        f"a label is repeated: {cell_words(list(value))}",
        "each row must list the labels that hold (names or numbers); vectors of 0 and 1 must all have the same length",
    )


def _refuse_unequal_vectors(column: LabelColumn, cells: Sequence[tuple[int, Any]]) -> None:
    """Raise DataError where all cells hold zeros and ones that are neither vectors of one length nor lists of labels.

    Vectors of different lengths repeat a 0 or 1; lists of the labels 0 and 1 do not. Cells with one item each are a
    label that holds or not.
    """
    vectors = [(place, value, _bits_or_bit(value)) for place, value in cells]
    if not vectors or not all(bits for _, _, bits in vectors):
        return
    by_length = {len(bits): (place, value) for place, value, bits in reversed(vectors)}
    if by_length.keys() == {1} and not any(value in ("", []) for value in column.values):
        raise DataError(
            f"data.label: column {quoted(column.name)} holds a single 0 or 1 in every row: {cell_words(vectors[0][1])}",
            _AS_CLASSES,
        )
    if len(by_length) > 1 and any(len(set(map(truth, bits))) < len(bits) for _, _, bits in vectors):
        examples = [f"{cell_words(value)} in {column.table.place(place)}" for place, value in by_length.values()]
        raise DataError(
            f"data.label: column {quoted(column.name)} holds 0/1 vectors of different lengths: "
            f"{' and '.join(examples[:2])}",
            "write one 0 or 1 per label in every row",
        )


def _bits_or_bit(value: Any) -> Sequence[Any]:
    """Return the items of a vector, the digits of 01 and 101 even as numbers, or a single 0 or 1."""
    if isinstance(value, (list, tuple)):
        return _bits(value)
    digits = label_name(value)
    if _ZEROS_AND_ONES.fullmatch(digits):
        return list(digits)
    if isinstance(value, str):
        return _bits(value)
    return [value] if truth(value) is not None else ()


def _refuse_lists(column: LabelColumn, cells: Sequence[tuple[int, Any]]) -> None:
    """Raise DataError where every cell is a list or a vector though an example has one label."""
    if cells and all(_is_one_bit_list(value) for _, value in cells):
        raise DataError(
            f"data.label: column {quoted(column.name)} holds lists with a single 0 or 1: {cell_words(cells[0][1])}",
            "write 0 or 1 without brackets",
        )
    if not cells or not all(isinstance(value, str) for _, value in cells):
        return
    first = cells[0][1].strip()
    if _tokens(first)[1:] and (length := _vector_length(cells)):
        raise DataError(
            f"data.label: column {quoted(column.name)} holds 0/1 vectors of length {length}: {cell_words(first)}",
            f"set {setting('data.multi_label', True)}, and data.labels to the names of the places; or name another "
            "column",
        )
    if first[:1] in "[{" and all(_is_list(value) for _, value in cells):
        raise DataError(
            f"data.label: column {quoted(column.name)} holds lists of labels: {cell_words(first)}", _SEVERAL
        )


def _is_one_bit_list(value: Any) -> bool:
    is_list = isinstance(value, (list, tuple)) or (isinstance(value, str) and value.strip()[:1] in ("[", "("))
    return is_list and len(_bits(value)) == 1


def _is_list(cell: str) -> bool:
    try:
        return parse_list(cell) is not None
    except ListError:
        return False


def _tokens(text: str) -> list[str]:
    """Return what stands between the marks of a cell, or the digits of 010."""
    text = text.strip()
    return list(text) if _DIGITS.fullmatch(text) else [token for token in _MARKS.split(text) if token]


def _vector_length(cells: Sequence[tuple[int, Any]]) -> int:
    """Return the length of the column's 0/1 vectors, 0 if its cells are no vectors.

    In vectors every cell has the same number of places, at least two, and each is 0 or 1: read as labels, they would
    be two labels that nearly every example has. Where most cells are vectors of three or more, the others are errors.
    """
    lengths = Counter(len(bits) for _, value in cells if len(bits := _bits(value)) > 1)
    length, count = max(lengths.items(), key=lambda item: item[1], default=(0, 0))
    return length if count and (count == len(cells) or (length > 2 and 2 * count > len(cells))) else 0


def _bits(value: Any) -> Sequence[Any]:
    """Return the items of a cell that holds nothing but zeros and ones, else an empty list."""
    items = value if isinstance(value, (list, tuple)) else _vector_items(value)
    flat = not any(isinstance(item, (list, tuple)) for item in items)
    return items if flat and all(truth(item) is not None for item in items) else ()


def _vector_items(value: Any) -> Sequence[Any]:
    if not isinstance(value, str) or not _tokens(value):
        return ()
    tokens = _tokens(value)
    items = None if truth(tokens[0]) is not None else _parsed(value)
    return tokens if items is None else items


def _parsed(cell: str) -> list[Any] | None:
    try:
        return parse_list(cell)
    except ListError:
        return None


def _named_places(column: LabelColumn, length: int, declared: Sequence[str] | None) -> tuple[str, ...]:
    if declared is None:
        raise DataError(
            f"data.label: column {quoted(column.name)} holds 0/1 vectors of length {length}, and their places have no "
            "names",
            f"set data.labels to the {length} label names, in the order of the vectors",
        )
    if len(declared) != length:
        raise DataError(
            f"data.labels: {len(declared)} names for the 0/1 vectors of length {length} in {quoted(column.name)}",
            f"name all {length} places, in the order of the vectors",
        )
    return tuple(declared)


def _ask_for_separator(column: LabelColumn, found: Separated, texts: set[str]) -> DataError:
    examples = sorted(text for text in texts if any(mark in text for mark in found.unclear))[:2]
    marks = " or ".join(repr(mark) for mark in found.unclear)
    settings = " or ".join(setting("data.label_separator", mark) for mark in found.unclear)
    return DataError(
        f"data.label: column {quoted(column.name)} may separate labels by {marks}: {listed(examples)}",
        f"say which: {settings}; if each cell is one label, {setting('data.label_separator', unused_mark(texts))}",
    )
