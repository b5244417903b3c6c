"""Separators of delimited files: take Excel's `sep=;` line, or find the character that splits all rows alike."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from itertools import islice

from kit.data.headers import is_known_name
from kit.errors import DataError

Records = Callable[[str], Iterable[tuple[int, list[str]]]]

NAMES = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a vertical bar"}
_EXCEL_LINE = re.compile(r'"?sep=([^\r\n])"?[^\r\n\w]*(\r\n|\n|\r|$)', re.IGNORECASE)
_SAMPLE = 1_000
_REGULAR = 0.9  # share of rows with as many fields as the first, from which a separator fits
_PROSE = 0.5  # share of a mark's fields that begin with a space, from which the mark is part of sentences


def take_excel_line(text: str) -> tuple[str | None, int]:
    """Return the separator that a first line `sep=;` sets, and the length of that line; (None, 0) without one."""
    line = _EXCEL_LINE.match(text)
    return (line[1], line.end()) if line else (None, 0)


def find_separator(records: Records, suffix: str, name: str) -> str:
    """Return the character that separates the columns of a file.

    Args:
        records: Function that splits the file by a character and yields (line, fields); it may raise DataError.
        suffix: `.tsv` prefers a tab.
        name: Name of the file for error messages.

    Raises:
        DataError: Two characters split all rows equally well.
    """
    preferred = "\t" if suffix == ".tsv" else ","
    samples = {mark: _sample(records, mark) for mark in (preferred, *(mark for mark in NAMES if mark != preferred))}
    splitting = {mark: rows for mark, rows in samples.items() if rows and len(rows[0]) > 1}
    if not splitting or "\t" == preferred in splitting:
        return preferred
    scores = {mark: _score(rows) for mark, rows in splitting.items()}
    best = [mark for mark, score in scores.items() if score == max(scores.values())]
    if len(best) > 1:
        raise DataError(
            f"{name}: the columns may be separated by {' or '.join(NAMES[mark] for mark in best)}",
            f"say which: data.separator: {best[0]!r}",
        )
    return best[0]


def _sample(records: Records, mark: str) -> list[list[str]]:
    """Return the first rows as a separator splits them; none if it does not fit their quotes."""
    try:
        rows = [row for _, row in islice(records(mark), _SAMPLE)]
    except DataError:
        return []
    return [row for row in rows if len(row) > 1 or any(map(str.strip, row))]


def _score(rows: list[list[str]]) -> tuple[bool, bool, int, bool, float]:
    """Return how well a separator fits, the most important signs first.

    Nearly all rows have as many fields as the first, the separator is not part of prose, it splits off usual names of
    columns, some column has few values.
    """
    regular = [row for row in rows if len(row) == len(rows[0])]
    share = len(regular) / len(rows)
    later = [field for row in rows for field in row[1:]]
    prose = sum(field[:1] == " " for field in later) > _PROSE * len(later)
    names = sum(map(is_known_name, rows[0]))
    few = any(_has_few_values(column) for column in zip(*regular[1:], strict=True))
    return share >= _REGULAR, not prose, names, few, share


def _has_few_values(column: tuple[str, ...]) -> bool:
    return 2 <= len(set(column)) <= len(column) // 2
