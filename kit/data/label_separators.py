"""The character that separates several labels in one text cell, found from all cells of a column."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from kit.data.blank import is_blank

SEPARATORS = (",", ";", "|", "/", "\n", "\t", "\uff0c", "\uff1b", "\u3001", "\uff5c")  # and their wide forms
JOINING = (*SEPARATORS, "+", "&", " and ", "\u00b7", "\u30fb")  # that are reported, not taken for separators
USUAL = ","
_UNUSED = ("|", ";", "~", "^")
_REUSED = 0.6  # share of the labels in joined cells that also occur in other cells, if they are labels
_HALF = 0.5  # the same, for marks that names hardly have
_HARDLY_IN_NAMES = (";", "|", "\uff1b", "\uff5c")
_IN_NAMES = ("/", "\u3001")  # that are part of a name unless the labels show otherwise
_CLOSING = {"(": ")", "[": "]", "{": "}", '"': '"'}
_SURE = 0.9  # the same, to doubt that a cell with one label holds only one


@dataclass(frozen=True)
class Separated:
    """separator: the only one that explains the cells. unclear: marks that may separate labels and need an answer."""

    separator: str
    unclear: tuple[str, ...] = ()


def split_labels(cell: str, separator: str) -> tuple[str, ...]:
    """Return the distinct labels of a cell, in order."""
    names = (part.strip() for part in cell.split(separator))
    return tuple(dict.fromkeys(name for name in names if not is_blank(name)))


def leaves_open(name: str) -> bool:
    """Return whether a bracket or a double quote opens in a label and does not close, as in parts of `List(a, b)`."""
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
    """Return a character that separates nothing, for cells that hold one label each."""
    return next((mark for mark in _UNUSED if not any(mark in cell for cell in cells)), "\x1f")


def find_separator(cells: Collection[str]) -> Separated:
    """Return the separator of a column's text cells.

    A mark separates labels if what stands between the marks recurs in other cells, alone or in other combinations,
    and no other mark does the same to the labels that it leaves. Without such evidence a comma separates, and a slash
    or an enumeration comma is part of a name.
    """
    present = [mark for mark in SEPARATORS if any(mark in cell for cell in cells)]
    if len(present) > 1:
        present = [mark for mark in present if mark != "/" and (mark not in _IN_NAMES or reuse(cells, mark) >= _REUSED)]
    if present in ([], [USUAL]):
        return Separated(USUAL)
    whole = [mark for mark in present if reuse(cells, mark) >= _REUSED and not _divisible(cells, mark, present)]
    if len(whole) == 1:
        return Separated(whole[0])
    if not whole and not any(reuse(cells, mark) >= _REUSED for mark in present):
        unclear = tuple(mark for mark in present if mark not in (USUAL, *_IN_NAMES))
        return Separated(USUAL, () if USUAL in present else unclear)
    return Separated(USUAL, tuple(whole or present))


def reuse(cells: Collection[str], mark: str) -> float:
    """Return the share of labels in joined cells that occur in at least one other cell."""
    parts = [frozenset(split_labels(cell, mark)) for cell in set(cells)]
    seen = Counter(name for names in set(parts) for name in names)
    joined = {name for names in parts if len(names) > 1 for name in names}
    return sum(seen[name] > 1 for name in joined) / len(joined) if joined else 0.0


def joined_by(cells: Collection[str], marks: Sequence[str] = SEPARATORS) -> str | None:
    """Return the mark by which cells with one label each look joined: few labels in many combinations."""
    distinct = set(cells)
    for mark in marks:
        names = {name for cell in distinct for name in split_labels(cell, mark)}
        few, enough = (True, _HALF) if mark in _HARDLY_IN_NAMES else (len(names) < len(distinct), _SURE)
        if sum(mark in cell for cell in distinct) > 1 and few and reuse(distinct, mark) >= enough:
            return mark
    return None


def joined_words(cells: Collection[str]) -> str | None:
    """Return a space if labels of several words are made of labels that stand alone, or of fastText's `__label__a`."""
    distinct = set(cells)
    joined = [names for cell in distinct if len(names := cell.split()) > 1]
    words = {name for names in joined for name in names}
    labels = {word for word in words if word in distinct or word.startswith("__label__")}
    return " " if len(joined) > 1 and len(labels) >= _SURE * len(words) else None


def _divisible(cells: Collection[str], mark: str, present: Sequence[str]) -> bool:
    """Check whether the labels between the marks are themselves joined by another mark."""
    names = {name for cell in cells for name in split_labels(cell, mark)}
    return any(other != mark and reuse(names, other) >= _REUSED for other in present)
