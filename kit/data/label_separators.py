"""Detection of the character that separates the labels in the text cells of a column."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from kit.data.blank import is_blank

SEPARATORS = (",", ";", "|", "/", "\n", "\t", "\uff0c", "\uff1b", "\u3001", "\uff5c")  # with full-width forms
JOINING = (*SEPARATORS, "+", "&", " and ", "\u00b7", "\u30fb")  # marks that lead to a warning, if not a separator
USUAL = ","
_UNUSED = ("|", ";", "~", "^")
_RARE_IN_NAMES = (";", "|", "\uff1b", "\uff5c")
_IN_NAMES = ("/", "\u3001")  # part of a name unless the labels recur in other cells
_CLOSING = {"(": ")", "[": "]", "{": "}", '"': '"'}
# Least share of the labels between the marks that recur in other cells (`reuse`):
_MIN_REUSE = 0.6  # for a mark to separate labels
_MIN_REUSE_RARE = 0.5  # for a warning, with marks that are rare in names
_MIN_REUSE_SINGLE = 0.9  # for a warning, with other marks


@dataclass(frozen=True)
class Separated:
    """Result of the detection.

    Attributes:
        separator: Character that separates the labels, unless `unclear` has any.
        unclear: Characters that may separate labels, between which the user must choose.
    """

    separator: str
    unclear: tuple[str, ...] = ()


def split_labels(cell: str, separator: str) -> tuple[str, ...]:
    """Return the distinct labels of a cell, in order."""
    names = (part.strip() for part in cell.split(separator))
    return tuple(dict.fromkeys(name for name in names if not is_blank(name)))


def leaves_open(name: str) -> bool:
    """Return whether a bracket or double quote opens in a label and does not close, as in `List(a`."""
    closing: list[str] = []
    before = " "
    for char in name:
        if closing and char == closing[-1]:
            closing.pop()
        elif closing[-1:] != ['"'] and char in _CLOSING and not (char == '"' and before.isalnum()):
            closing.append(_CLOSING[char])
        before = char
    return bool(closing)


def unused_mark(cells: Collection[str]) -> str:
    """Return a character that is in no cell, as a separator for cells that are one label each."""
    return next((mark for mark in _UNUSED if not any(mark in cell for cell in cells)), "\x1f")


def find_separator(cells: Collection[str]) -> Separated:
    """Detect the separator of a column's text cells.

    A mark separates labels if the parts between the marks recur in other cells, alone or in other combinations, and no
    other mark divides these parts in the same way. Without such evidence a comma is the separator, and a slash or an
    enumeration comma is part of a name.
    """
    present = [mark for mark in SEPARATORS if any(mark in cell for cell in cells)]
    if len(present) > 1:
        present = [
            mark for mark in present if mark != "/" and (mark not in _IN_NAMES or reuse(cells, mark) >= _MIN_REUSE)
        ]
    if present in ([], [USUAL]):
        return Separated(USUAL)
    whole = [mark for mark in present if reuse(cells, mark) >= _MIN_REUSE and not _divisible(cells, mark, present)]
    if len(whole) == 1:
        return Separated(whole[0])
    if not whole and not any(reuse(cells, mark) >= _MIN_REUSE for mark in present):
        unclear = tuple(mark for mark in present if mark not in (USUAL, *_IN_NAMES))
        return Separated(USUAL, () if USUAL in present else unclear)
    return Separated(USUAL, tuple(whole or present))


def reuse(cells: Collection[str], mark: str) -> float:
    """Return the share of labels in cells with several labels that occur in at least one other cell."""
    parts = [frozenset(split_labels(cell, mark)) for cell in set(cells)]
    counts = Counter(name for names in set(parts) for name in names)
    joined = {name for names in parts if len(names) > 1 for name in names}
    return sum(counts[name] > 1 for name in joined) / len(joined) if joined else 0.0


def joined_by(cells: Collection[str], marks: Sequence[str] = SEPARATORS) -> str | None:
    """Return the mark that seems to join several labels in one: few labels in many combinations. None if none does."""
    distinct = set(cells)
    for mark in marks:
        names = {name for cell in distinct for name in split_labels(cell, mark)}
        few, least = (len(names) < len(distinct), _MIN_REUSE_SINGLE)
        if mark in _RARE_IN_NAMES:
            few, least = True, _MIN_REUSE_RARE
        if sum(mark in cell for cell in distinct) > 1 and few and reuse(distinct, mark) >= least:
            return mark
    return None


def joined_words(cells: Collection[str]) -> str | None:
    """Return a space if labels of several words consist of other labels, or of fastText's `__label__a`."""
    distinct = set(cells)
    joined = [names for cell in distinct if len(names := cell.split()) > 1]
    words = {name for names in joined for name in names}
    labels = {word for word in words if word in distinct or word.startswith("__label__")}
    return " " if len(joined) > 1 and len(labels) >= _MIN_REUSE_SINGLE * len(words) else None


def _divisible(cells: Collection[str], mark: str, present: Sequence[str]) -> bool:
    """Check that another mark divides the labels between the marks."""
    names = {name for cell in cells for name in split_labels(cell, mark)}
    return any(other != mark and reuse(names, other) >= _MIN_REUSE for other in present)
