"""Headers of delimited files: decide whether the first line names the columns or is an example."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Literal

from kit.data.blank import strip_invisible
from kit.data.columns import LABEL_NAMES, MAX_LABEL_CHARS, TEXT_NAMES, TEXT_PAIRS, WEAK_LABEL_NAMES
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
_MIN_FORM_SHARE = 0.9  # of a column's cells with some form, from which the column has the form
_SHORT_QUANTILE = 0.02  # of the lengths of texts: a shorter cell is more likely a name than a text
_SENTENCE_WORDS, _SENTENCE_CHARS = 4, 25  # from which a cell is more likely a sentence than a name
_MIN_ROWS = 4  # with fewer, it is unknown whether values recur
_MAX_TITLE_WORDS = 3  # of a name in title case: "Customer Message"
_MAX_CODE_WORDS = 2  # of a code, date or time
_MAX_NAME_LENGTH = 0.5  # of the length of the shortest texts, for a name without spaces
_NO_VALUE = {"", "-", "?", "n/a", "na", "nan", "nil", "none", "null"}
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d+)*|[.,]\d+)([eE][+-]?\d+)?%?")


def judge_first_row(first: Sequence[str], rows: Sequence[Sequence[str]]) -> Verdict:
    """Return whether the first row of a file is its header.

    Args:
        first: Cells of the first row.
        rows: Rows after the first. Copies of the first row are skipped.

    Returns:
        `header` or `example` if the evidence is clear, `doubtful header` if the only evidence is that the cells have
        the form of names, `unclear` if the user must decide.
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
    """Judge cells without a clear sign by their form alone."""
    filled = [(cell, column) for cell, column in zip(cells, columns, strict=True) if cell]
    if not all(" " not in cell or _is_title(cell) for cell, _ in filled):
        return "unclear"
    if any(_differs(cell, column) for cell, column in filled):
        return "doubtful header"
    return "unclear" if any(" " in cell or UNSEPARATED.search(cell) for cell, _ in filled) else "doubtful header"


def _differs(cell: str, column: Sequence[str]) -> bool:
    """Return whether a cell, unlike the texts below it, has the form of a name: one word, or title case."""
    if not column or _is_label_like(column):
        return False
    if " " in cell:
        return _is_title(cell) and _share(column, _is_title) <= 1 - _MIN_FORM_SHARE
    lengths = sorted(map(len, column))
    short = lengths[int(_SHORT_QUANTILE * len(lengths))]
    return _share(column, _has_space) >= _MIN_FORM_SHARE or len(cell) <= _MAX_NAME_LENGTH * short


def is_known_name(cell: str) -> bool:
    """Return whether a cell is a usual name of a column."""
    return re.sub(r"[\s\-]+", "_", strip_invisible(cell)).casefold() in _KNOWN


def _sign(cell: str, column: Sequence[str], rows: int) -> Sign:
    """Compare a cell of the first row with the filled cells below it."""
    if not cell:
        return "perhaps a name" if len(column) >= _MIN_FORM_SHARE * rows else "unknown"
    if not column or cell.casefold() in _NO_VALUE:
        return "unknown"
    if cell in column and _is_label_like(column):
        return "value"
    if is_known_name(cell):
        return "name"
    return _sign_of_form(cell, column)


def _sign_of_form(cell: str, column: Sequence[str]) -> Sign:
    """Compare a cell with the cells below it by characters and length."""
    if _share(column, _is_number) >= _MIN_FORM_SHARE:
        return "value" if _is_number(cell) else "name"
    is_short = len(cell.split()) < _SENTENCE_WORDS
    if _share(column, _is_code) >= _MIN_FORM_SHARE and not _has_digit(cell) and is_short:
        return "name" if len(column) >= _MIN_ROWS else "perhaps a name"
    if not is_short and not _is_label_like(column):
        return "perhaps a value"
    lengths = sorted(map(len, column))
    if _is_label_like(column) or len(cell) < lengths[int(_SHORT_QUANTILE * len(lengths))]:
        return "perhaps a name"
    return "perhaps a value" if len(cell) >= _SENTENCE_CHARS else "unknown"


def _is_label_like(column: Sequence[str]) -> bool:
    """Return whether a column has few distinct short values."""
    kinds = set(column)
    return len(column) >= _MIN_ROWS and len(kinds) <= len(column) // 2 and max(map(len, kinds)) <= MAX_LABEL_CHARS


def _share(column: Sequence[str], has_form: Callable[[str], bool]) -> float:
    return sum(1 for cell in column if has_form(cell)) / len(column)


def _is_number(cell: str) -> bool:
    return _NUMBER.fullmatch(cell) is not None


def _has_digit(cell: str) -> bool:
    return any(character.isdigit() for character in cell)


def _is_code(cell: str) -> bool:
    """Return whether a cell is like an id, a date or a time: it has a digit and one or two words."""
    return _has_digit(cell) and len(cell.split()) <= _MAX_CODE_WORDS and not UNSEPARATED.search(cell)


def _is_title(cell: str) -> bool:
    """Return whether a cell has at most three words, in title case, like column names of spreadsheets."""
    words = cell.split()
    return len(words) <= _MAX_TITLE_WORDS and all(word[:1].isupper() for word in words)


def _has_space(cell: str) -> bool:
    return " " in cell
