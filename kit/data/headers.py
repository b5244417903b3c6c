"""Headers of delimited files: decide whether the first line names the columns or is an example."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Literal

from kit.data.blank import strip_invisible
from kit.data.columns import LABEL_NAMES, TEXT_NAMES, TEXT_PAIRS, WEAK_LABEL_NAMES
from kit.data.scripts import UNSEPARATED

Verdict = Literal["header", "doubtful header", "example", "unclear"]
Sign = Literal["name", "value", "perhaps a name", "perhaps a value", "unknown"]

_OTHER_NAMES = (
    "id", "idx", "index", "guid", "uuid", "row", "source", "date", "time", "timestamp", "user",
    "author", "name", "language", "lang", "split", "label_text", "label_name", "label_id",
)  # fmt: skip
_KNOWN = frozenset(
    (*TEXT_NAMES, *LABEL_NAMES, *WEAK_LABEL_NAMES, *_OTHER_NAMES, *(name for pair in TEXT_PAIRS for name in pair))
)
_SAMPLE = 2_000
_MOST = 0.9  # share of a column that has some form, from which the column is said to have it
_SHORTEST = 0.02  # share of texts that may be shorter than an example
_WORDS, _CHARACTERS = 4, 25  # from which on a cell reads like a sentence rather than a name
_FEWEST = 4  # rows that show whether values recur
_LONGEST_LABEL = 60
_TITLE_WORDS = 3  # most words of a name in title case: "Customer Message"
_SHORT_WORDS = 2  # most words of a code, date or time
_CONTRAST = 0.5  # share of the length of short cells, below which a cell without spaces is a name
_NO_VALUE = {"", "-", "?", "n/a", "na", "nan", "nil", "none", "null"}
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d+)*|[.,]\d+)([eE][+-]?\d+)?%?")


def judge_first_row(first: Sequence[str], rows: Sequence[Sequence[str]]) -> Verdict:
    """Return whether the first row of a file is its header.

    Args:
        first: Cells of the first row.
        rows: The rows after it. Copies of the first row say nothing and are skipped.

    Returns:
        `header` or `example` where the evidence points one way, `doubtful header` where nothing but the form of plain
        names says that it is one, `unclear` where the user must say which.
    """
    cells = [strip_invisible(cell) for cell in first]
    sample = [row for row in rows[:_SAMPLE] if len(row) == len(first) and list(row) != list(first)]
    if not sample or not any(cells) or cells == [str(place) for place in range(len(cells))]:
        return "header"
    columns = [[cell for cell in map(str.strip, column) if cell] for column in zip(*sample, strict=True)]
    signs = [_sign(cell, column, len(sample)) for cell, column in zip(cells, columns, strict=True)]
    if "name" in signs:
        return "doubtful header" if "perhaps a value" in signs else "header"
    if "value" in signs:
        return "unclear" if "perhaps a name" in signs else "example"
    return "unclear" if "perhaps a value" in signs else _judge_names(cells, columns)


def _judge_names(cells: Sequence[str], columns: Sequence[Sequence[str]]) -> Verdict:
    """Return whether cells without any clear sign are names, by their form alone."""
    filled = [(cell, column) for cell, column in zip(cells, columns, strict=True) if cell]
    if not all(" " not in cell or _is_title(cell) for cell, _ in filled):
        return "unclear"
    if any(_differs(cell, column) for cell, column in filled):
        return "doubtful header"
    return "unclear" if any(" " in cell or UNSEPARATED.search(cell) for cell, _ in filled) else "doubtful header"


def _differs(cell: str, column: Sequence[str]) -> bool:
    """Return whether a cell has the form of a name and the texts below it have not: one word, or title case."""
    if not column or _is_label_like(column):
        return False
    if " " in cell:
        return _is_title(cell) and _share(column, _is_title) <= 1 - _MOST
    lengths = sorted(map(len, column))
    short = lengths[int(_SHORTEST * len(lengths))]
    return _share(column, _has_space) >= _MOST or len(cell) <= _CONTRAST * short


def is_known_name(cell: str) -> bool:
    """Return whether a cell is one of the usual names of columns."""
    return re.sub(r"[\s\-]+", "_", strip_invisible(cell)).casefold() in _KNOWN


def _sign(cell: str, column: Sequence[str], rows: int) -> Sign:
    """Return what a cell of the first row looks like, compared with the filled cells below it."""
    if not cell:
        return "perhaps a name" if len(column) >= _MOST * rows else "unknown"
    if not column or cell.casefold() in _NO_VALUE:
        return "unknown"
    if cell in column and _is_label_like(column):
        return "value"
    if is_known_name(cell):
        return "name"
    return _sign_of_form(cell, column)


def _sign_of_form(cell: str, column: Sequence[str]) -> Sign:
    """Return what a cell looks like by its characters and its length."""
    if _share(column, _is_number) >= _MOST:
        return "value" if _is_number(cell) else "name"
    if _share(column, _is_code) >= _MOST and not _has_digit(cell) and len(cell.split()) < _WORDS:
        return "name" if len(column) >= _FEWEST else "perhaps a name"
    if len(cell.split()) >= _WORDS and not _is_label_like(column):
        return "perhaps a value"
    lengths = sorted(map(len, column))
    if _is_label_like(column) or len(cell) < lengths[int(_SHORTEST * len(lengths))]:
        return "perhaps a name"
    return "perhaps a value" if len(cell) >= _CHARACTERS else "unknown"


def _is_label_like(column: Sequence[str]) -> bool:
    """Return whether a column has few distinct short values."""
    kinds = set(column)
    return len(column) >= _FEWEST and len(kinds) <= len(column) // 2 and max(map(len, kinds)) <= _LONGEST_LABEL


def _share(column: Sequence[str], has_form: Callable[[str], bool]) -> float:
    return sum(1 for cell in column if has_form(cell)) / len(column)


def _is_number(cell: str) -> bool:
    return _NUMBER.fullmatch(cell) is not None


def _has_digit(cell: str) -> bool:
    return any(character.isdigit() for character in cell)


def _is_code(cell: str) -> bool:
    """Return whether a cell is like an id, a date or a time: it has a digit, and not the words of a text."""
    return _has_digit(cell) and len(cell.split()) <= _SHORT_WORDS and not UNSEPARATED.search(cell)


def _is_title(cell: str) -> bool:
    """Return whether a cell is a few words in title case, as spreadsheets name columns."""
    words = cell.split()
    return len(words) <= _TITLE_WORDS and all(word[:1].isupper() for word in words)


def _has_space(cell: str) -> bool:
    return " " in cell
