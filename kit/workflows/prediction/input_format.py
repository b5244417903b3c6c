"""Detection of the format of content without a known extension: standard input, text files, other files."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

from kit.data.delimited_records import read_records
from kit.data.headers import is_known_name
from kit.data.reading import AS_TEXTS
from kit.data.separators import find_unusual_separator, refuse_drawing, take_excel_line
from kit.errors import DataError
from kit.runtime.characters import BYTE_ORDER_MARK

PARQUET_MAGIC = b"PAR1"
_SEPARATORS = ",\t;|"
_OBJECT = re.compile(r'\{\s*("(?:[^"\\]|\\.)*"\s*:|\}|$)')
_ARRAY = re.compile(r"\[\s*(\{\s*[\"}]|$)")
_LONGEST_HEADER = 100_000  # characters
_HEAD_LINES = 10_000  # lines searched for objects below the first


@dataclass(frozen=True)
class Format:
    """Detected format of content.

    Attributes:
        kind: An extension for `read_table`, or None for one text per line.
        note: An assumption for the user to read, or an empty string.
    """

    kind: str | None
    note: str = ""


@contextmanager
def hints_for(columns: Sequence[str]) -> Iterator[None]:
    """Remove `--format text` from the hints of errors if the model reads several texts, which a line cannot contain."""
    try:
        yield
    except DataError as error:
        error.hint = _for_columns(error.hint, columns)
        raise


def _for_columns(advice: str, columns: Sequence[str]) -> str:
    return advice if len(columns) == 1 else re.sub(rf"(^|; (or )?){re.escape(AS_TEXTS)}", "", advice)


def detect_format(text: str, columns: Sequence[str], name: str, *, is_text_file: bool) -> Format:
    """Return the format of content.

    Args:
        text: The content.
        columns: Names of the model's text columns.
        name: Name of the source, for messages.
        is_text_file: The extension means text, so that a header alone proves nothing.

    Raises:
        DataError: If some lines are JSON objects with these columns and others are not.
    """
    detected = _detected(text, columns, name, is_text_file=is_text_file)
    return replace(detected, note=_for_columns(detected.note, columns))


def _detected(text: str, columns: Sequence[str], name: str, is_text_file: bool) -> Format:
    content = text.lstrip(f"{BYTE_ORDER_MARK} \t\r\n")
    first_line = content.split("\n", 1)[0].strip()
    note = f"{name} was read as JSON; {AS_TEXTS}" if is_text_file else ""
    if _OBJECT.match(first_line):
        return Format(".jsonl", note)
    if first_line.startswith("["):
        return _array(content, first_line, name, note=note)
    if first_line.startswith('"') and len(columns) == 1 and not is_text_file and _are_json_strings(content):
        return Format(".jsonl", f"{name} was read as JSON: one string per line; {AS_TEXTS}")
    _refuse_objects_below(text, columns, name)
    return _table(text, columns, name, is_text_file=is_text_file)


def _array(content: str, first_line: str, name: str, note: str) -> Format:
    """Return JSON for an array of objects or strings, even if damaged, and text for other brackets."""
    try:
        items = json.loads(content)
    except (ValueError, RecursionError):
        is_array = _ARRAY.match(content if first_line == "[" else first_line)
        return Format(".json", note) if is_array else Format(None)
    if not items or any(isinstance(item, dict) for item in items):
        return Format(".json", note)
    if all(isinstance(item, str) for item in items):
        return Format(".json", f"{name} was read as a JSON array of {len(items)} strings; {AS_TEXTS}")
    return Format(None)


def _are_json_strings(content: str) -> bool:
    lines = [line for line in content.split("\n") if line.strip()]
    return all(line.lstrip().startswith('"') and isinstance(_parsed(line), str) for line in lines)


def _refuse_objects_below(text: str, columns: Sequence[str], name: str) -> None:
    """Raise DataError if a line after the first is a JSON object with the model's columns."""
    for number, line in enumerate(islice(text.split("\n"), _HEAD_LINES), start=1):
        if not _OBJECT.match(line.strip()):
            continue
        value = _parsed(line)
        if isinstance(value, dict) and (set(columns) <= set(value) or "translation" in value):
            raise DataError(
                f"{name}, line {number} is a JSON object, but lines before it are not",
                f"write all of them as JSON objects; or {AS_TEXTS}",
            )


def _table(text: str, columns: Sequence[str], name: str, is_text_file: bool) -> Format:
    """Return CSV or TSV if the first line is a header with the model's text columns."""
    start = text.lstrip(f"{BYTE_ORDER_MARK}\r\n")[:_LONGEST_HEADER]
    header = re.split(r"[\r\n]", start[take_excel_line(start)[1] :], maxsplit=1)[0]
    refuse_drawing(start, name)
    unknown, s = "", "s" if len(columns) > 1 else ""
    unusual = find_unusual_separator(partial(read_records, name, start, 1), header, columns)
    for separator in (*_SEPARATORS, *([unusual] if unusual else [])):
        cells = [cell.strip() for cell in next(csv.reader([header], delimiter=separator), [])]
        if len(cells) > 1 and all(map(is_known_name, cells)):
            unknown = (
                f"{name}: every line is predicted as a text, though the first one looks like the header of a table; to "
                f"predict a table, name its column{s} {' and '.join(columns)} and pass --format csv"
            )
        if not set(columns) <= set(cells):
            continue
        named = f"its first line names the column{s} {' and '.join(columns)}"
        kind = ".tsv" if separator == "\t" else ".csv"
        if is_text_file and len(cells) == 1:
            return Format(
                None,
                f"{name}: every line is predicted as a text, also the first one ({header.strip()}); if it is a header, "
                "pass --format csv",
            )
        return Format(kind, f"{name} was read as {kind[1:].upper()}, because {named}; {AS_TEXTS}")
    return Format(None, unknown)


def _parsed(line: str) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
