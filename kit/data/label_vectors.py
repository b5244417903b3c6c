"""Label cells of zeros and ones: 0/1 vectors over named labels."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from kit.data.label_column import LabelColumn, cell_words
from kit.data.label_lists import ListError, parse_list
from kit.data.label_words import quoted
from kit.data.labels import label_name
from kit.errors import DataError

_BITS = {"0": False, "1": True, "false": False, "true": True}
_MARKS = re.compile(r"[\s,;|/_-]+")
_DECIMAL_BIT = re.compile(r"[01]\.0*")
_ZEROS_AND_ONES = re.compile(r"[01]+")
_DIGITS = re.compile(r"[01]{3,}")
_BINARY_HINT = (
    "one label that holds or not is a task with the two labels 0 and 1: write 0 or 1 without brackets, and leave "
    "data.multi_label out"
)


def truth(value: Any) -> bool | None:
    """Return whether a cell holds 1 (or true) rather than 0 (or false); None for other cells."""
    name = label_name(value).lower()
    if _DECIMAL_BIT.fullmatch(name):
        name = name[0]
    return _BITS.get(name)


def refuse_unequal_vectors(column: LabelColumn, cells: Sequence[tuple[int, Any]]) -> None:
    """Raise DataError if all cells hold zeros and ones that are neither vectors of one length nor lists of labels.

    Vectors repeat a 0 or 1; lists of the labels 0 and 1 do not. Cells of one item are a single binary label.
    """
    vectors = [(place, value, _bits_or_bit(value)) for place, value in cells]
    if not vectors or not all(bits for _, _, bits in vectors):
        return
    by_length = {len(bits): (place, value) for place, value, bits in reversed(vectors)}
    if by_length.keys() == {1} and not any(value in ("", []) for value in column.values):
        raise DataError(
            f"column {quoted(column.name)} holds a single 0 or 1 in every row: {cell_words(vectors[0][1])}",
            _BINARY_HINT,
            key="data.label",
        )
    if len(by_length) > 1 and any(len(set(map(truth, bits))) < len(bits) for _, _, bits in vectors):
        examples = [f"{cell_words(value)} in {column.table.place(place)}" for place, value in by_length.values()]
        raise DataError(
            f"column {quoted(column.name)} holds 0/1 vectors of different lengths: {' and '.join(examples[:2])}",
            "write one 0 or 1 per label in every row",
            key="data.label",
        )


def _bits_or_bit(value: Any) -> Sequence[Any]:
    """Return the items of a vector, the digits of 01 or 101 (even if a number), or a single 0 or 1; () otherwise."""
    if isinstance(value, (list, tuple)):
        return bits_of(value)
    digits = label_name(value)
    if _ZEROS_AND_ONES.fullmatch(digits):
        return list(digits)
    if isinstance(value, str):
        return bits_of(value)
    return [value] if truth(value) is not None else ()


def tokens_of(text: str) -> list[str]:
    """Split a cell at separators, or into its digits if it is like 010."""
    text = text.strip()
    return list(text) if _DIGITS.fullmatch(text) else [token for token in _MARKS.split(text) if token]


def vector_length(cells: Sequence[tuple[int, Any]]) -> int:
    """Return the length of the column's 0/1 vectors, 0 if its cells are not vectors.

    All cells must have the same number of items, at least two, each 0 or 1; or most cells must, with at least three.
    The other cells are errors then.
    """
    lengths = Counter(len(bits) for _, value in cells if len(bits := bits_of(value)) > 1)
    length, count = max(lengths.items(), key=lambda item: item[1], default=(0, 0))
    return length if count and (count == len(cells) or (length > 2 and 2 * count > len(cells))) else 0


def bits_of(value: Any) -> Sequence[Any]:
    """Return the items of a cell of zeros and ones, otherwise ()."""
    items = value if isinstance(value, (list, tuple)) else _vector_items(value)
    flat = not any(isinstance(item, (list, tuple)) for item in items)
    return items if flat and all(truth(item) is not None for item in items) else ()


def _vector_items(value: Any) -> Sequence[Any]:
    if not isinstance(value, str) or not tokens_of(value):
        return ()
    tokens = tokens_of(value)
    items = None if truth(tokens[0]) is not None else _parsed(value)
    return tokens if items is None else items


def _parsed(cell: str) -> list[Any] | None:
    try:
        return parse_list(cell)
    except ListError:
        return None
