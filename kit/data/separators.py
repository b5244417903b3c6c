"""Separators of delimited files, Excel's `sep=;` line that sets the separator, and comments above the header."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import dropwhile, islice

from kit.data.blank import strip_invisible
from kit.data.delimited_records import QUOTED
from kit.data.headers import is_known_name
from kit.data.reading import Reading
from kit.errors import DataError
from kit.recipe.setting import setting

Records = Callable[[str], Iterable[tuple[int, list[str]]]]

NAMES = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a vertical bar"}
_EXCEL_LINE = re.compile(r'"?sep=([^\r\n])"?[^\r\n\w]*(\r\n|\n|\r|$)', re.IGNORECASE)
_SAMPLE = 1_000
_HEAD_CHARS = 100_000  # below a comment, which decide whether it is a comment
LINE_END = re.compile(r"\r\n|\n|\r")
_MIN_LINES = 3  # below a comment, with separators that the comment does not have
_UNUSUAL = re.compile(r"[^\w\s\"'.()\[\]{}<>/\\-]|[\x01-\x08\x0e-\x1f]")
_WORD = re.compile(r"[^\W\d]\w*")
_BORDER = re.compile(r"(?:\+(?:[-=]+\+)+|[\u250c\u2554][\u2500\u2550\u252c\u2566]+[\u2510\u2557])\s*\n[|\u2502\u2551]")
_MIN_REGULAR_SHARE = 0.9  # of rows with as many fields as the first row, for a separator to fit
_MAX_SPACED_SHARE = 0.5  # of fields that begin with a space, above which a character is punctuation of sentences


def take_excel_line(text: str) -> tuple[str | None, int]:
    """Return the separator that a first line `sep=;` sets, and the length of that line; (None, 0) without one."""
    line = _EXCEL_LINE.match(text)
    return (line[1], line.end()) if line else (None, 0)


def take_comments(text: str) -> int:
    """Return the length of comment lines above the header that begin with #, such as `# exported 2024`."""
    length = 0
    while text.startswith("#", length) and (end := LINE_END.search(text, length)):
        if not _is_comment(text[length : end.start()], text[end.end() :]):
            break
        length = end.end()
    return length


def _is_comment(line: str, below: str) -> bool:
    """Return whether `line` is not part of the table in the lines below it."""
    line, below = (QUOTED.sub("", text) for text in (line, below[:_HEAD_CHARS]))
    lines = dropwhile(lambda other: other.startswith("#"), filter(None, LINE_END.split(below)))
    following = list(islice(lines, _MIN_LINES))
    if not following:
        return False
    if any(all(map(is_known_name, following[0].split(mark))) for mark in NAMES):
        return True
    if len(following) < _MIN_LINES or any(line.count(mark) == following[0].count(mark) > 0 for mark in NAMES):
        return False
    counts = [{other.count(mark) for other in following} for mark in NAMES]
    return any(len(count) == 1 and max(count) > 0 for count in counts)


def find_separator(records: Records, suffix: str, name: str, reading: Reading) -> str:
    """Return the character that separates the columns of a file.

    Args:
        records: Function that splits the file by a character and yields (line, fields); it may raise DataError.
        suffix: `.tsv` prefers a tab.
        name: Name of the file for error messages.
        reading: Columns that the file should have, and whether a separator can be set.

    Raises:
        DataError: Two characters split all rows equally well.
    """
    preferred = "\t" if suffix == ".tsv" else ","
    samples = {mark: _sample(records, mark) for mark in (preferred, *(mark for mark in NAMES if mark != preferred))}
    splitting = {mark: rows for mark, rows in samples.items() if rows and len(rows[0]) > 1}
    if not splitting:
        first = samples[preferred][0] if samples[preferred] else []
        return find_unusual_separator(records, "".join(first), (*reading.columns, *reading.required)) or preferred
    if "\t" == preferred in splitting:
        return preferred
    names = set(reading.columns)
    named = {mark: rows for mark, rows in splitting.items() if names & set(map(strip_invisible, rows[0]))}
    scores = {mark: _score(rows) for mark, rows in (named or splitting).items()}
    best = [mark for mark, score in scores.items() if score == max(scores.values())]
    if len(best) > 1:
        raise DataError(
            f"{name}: the columns may be separated by {' or '.join(NAMES[mark] for mark in best)}",
            "separate them by a comma, and put fields that contain one in double quotes"
            if reading.for_prediction
            else f"say which: {setting('data.separator', best[0])}",
        )
    return best[0]


def find_unusual_separator(records: Records, first: str, columns: Sequence[str]) -> str | None:
    """Return a character that splits the first line into column names, and nearly all rows into as many fields.

    All names are usual names of columns, or one is and the others are single words.

    Args:
        records: Function that splits the file by a character and yields (line, fields).
        first: First line of the file.
        columns: Columns that the file should have.
    """
    for mark in dict.fromkeys(_UNUSUAL.findall(first)):
        rows = _sample(records, mark)
        names = rows[0] if rows else []
        known = [is_known_name(name) or name.strip() in columns for name in names]
        are_names = all(known) or (any(known) and all(map(_WORD.fullmatch, names)))
        if len(names) > 1 and are_names and _score(rows)[0]:
            return str(mark)
    return None


def refuse_drawing(text: str, name: str) -> None:
    """Raise DataError for a table with drawn borders, as printed by clients of SQL databases."""
    if _BORDER.match(text.lstrip()):
        raise DataError(
            f"{name} is a table with drawn borders, not a delimited file",
            "export it as CSV; the client of MySQL writes tabs between columns with --batch, and psql CSV with --csv",
        )


def _sample(records: Records, mark: str) -> list[list[str]]:
    """Return the first rows split at a separator.

    The result is empty if the separator conflicts with their quotes.
    """
    try:
        rows = [row for _, row in islice(records(mark), _SAMPLE)]
    except DataError:
        return []
    return [row for row in rows if len(row) > 1 or any(map(str.strip, row))]


def _score(rows: list[list[str]]) -> tuple[bool, bool, int, bool, float]:
    """Return the fit of a separator, the most important criterion first.

    The criteria are: nearly all rows have as many fields as the first row; the separator is not punctuation; number of
    usual column names; some column has few values; share of rows with as many fields as the first row.
    """
    regular = [row for row in rows if len(row) == len(rows[0])]
    share = len(regular) / len(rows)
    later = [field for row in rows for field in row[1:]]
    prose = sum(field[:1] == " " for field in later) > _MAX_SPACED_SHARE * len(later)
    names = sum(map(is_known_name, rows[0]))
    few = any(_has_few_values(column) for column in zip(*regular[1:], strict=True))
    return share >= _MIN_REGULAR_SHARE, not prose, names, few, share


def _has_few_values(column: tuple[str, ...]) -> bool:
    return 2 <= len(set(column)) <= len(column) // 2
