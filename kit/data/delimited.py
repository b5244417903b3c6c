"""Delimited text (CSV, TSV and the like) -> Table, with every row as the file has it."""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any

from kit.data.blank import strip_invisible
from kit.data.headers import Verdict, is_known_name, judge_first_row
from kit.data.reading import Reading
from kit.data.separators import NAMES, find_separator, take_excel_line
from kit.data.table import Table
from kit.errors import DataError

_JUDGED = 2_000  # rows that the first one is compared with
_SHOWN = 5
_SHOWN_CELL = 40  # characters
_BOM = "\ufeff"
_LONE_RETURN = re.compile(r"\r(?!\r*\n)")
_STAND_INS = "\ue000\uf8ff\U000f0000\x1a"  # characters that hardly any text has

Record = tuple[int, list[str]]  # line from 1, fields


@dataclass(frozen=True)
class _Header:
    """Names of the columns, and how many records of the file come before the first row.

    made_up: the names are `column 1`, `column 2`. assumed: detected, not declared by the recipe.
    """

    names: list[str]
    records: int
    made_up: bool = False
    assumed: bool = False


def read_delimited(text: str, name: str, suffix: str, reading: Reading) -> Table:
    """Return the rows of a delimited file.

    Args:
        text: Content of the file.
        name: Name of the file for error messages.
        suffix: `.csv` or `.tsv`.
        reading: Header and separator.

    Raises:
        DataError: A row does not fit the header, the header is unclear, or quotes are broken. Names the line.
    """
    separator, length = take_excel_line(text)
    text, first_line = text[length:], 2 if length else 1
    records = partial(_records, name, text, first_line)
    separator = reading.separator or separator or find_separator(records, suffix, name)
    numbered = list(records(separator))
    while numbered and _is_blank(numbered[0][1]):
        numbered.pop(0)
    if not numbered:
        raise DataError(f"{name} is empty")
    header = _header(numbered, name, reading)
    _require_distinct(header.names, name)
    if header.records and len(numbered) == 1:
        raise DataError(f"{name} has a header and no rows")
    return _table(numbered[header.records :], header, name, separator)


def _table(numbered: Sequence[Record], header: _Header, name: str, separator: str) -> Table:
    width = len(header.names)
    rows: list[Record] = []
    blank: list[int] = []
    repeated: list[int] = []
    for line, fields in numbered:
        if _is_blank(fields) and (width > 1 or not fields):
            blank.append(line)
        elif len(fields) != width:
            raise _wrong_width(name, line, len(fields), header, separator)
        elif width > 1 and not header.made_up and _is_header(fields, header.names):
            repeated.append(line)
        else:
            rows.append((line, fields))
    if width > 1 and rows:  # at the end of a file they are no rows to anybody
        blank = [line for line in blank if line < rows[-1][0]]
    columns = zip(*(fields for _, fields in rows), strict=True) if rows else [[] for _ in header.names]
    content = {column: list(values) for column, values in zip(header.names, columns, strict=True)}
    table = Table.of(content, "line", [line for line, _ in rows])
    notes = _notes(name, header, repeated)
    return replace(table, blank=tuple(blank), headless=header.made_up, notes=notes)


def _header(numbered: Sequence[Record], name: str, reading: Reading) -> _Header:
    first = _names(numbered[0][1])
    made_up = [f"column {place}" for place in range(1, len(first) + 1)]
    named = [column or other for column, other in zip(first, made_up, strict=True)]
    if reading.header == "first":
        return _Header(named, 1)
    if reading.header == "none":
        return _Header(made_up, 0, made_up=True)
    if reading.header != "auto":
        return _declared(list(reading.header), first, name)
    if set(first) & {strip_invisible(column) for column in reading.columns}:
        return _Header(named, 1)
    rows = [fields for _, fields in islice(numbered, 1, _JUDGED)]
    verdict = judge_first_row(numbered[0][1], rows)
    if len(reading.known_names) == len(first) and not _continues_with_header(first, reading.known_names, verdict):
        return _Header(made_up, 0, made_up=True, assumed=True)
    if verdict == "unclear":
        raise _unclear(name, *numbered[0])
    return _Header(named, 1) if verdict == "header" else _Header(made_up, 0, made_up=True, assumed=True)


def _continues_with_header(first: Sequence[str], known: Sequence[str], verdict: Verdict) -> bool:
    """Return whether the first line of a file that continues another is a header, the same or a different one."""
    if {cell.casefold() for cell in first} & {column.casefold() for column in known}:
        return True
    return verdict == "header" and any(map(is_known_name, first))


def _declared(names: list[str], first: list[str], name: str) -> _Header:
    """Return the header that the recipe declares; a first line with the same names is the header itself."""
    if len(names) != len(first):
        raise DataError(
            f"data.header: {len(names)} names for {name}, which has {len(first)} columns", "name every column"
        )
    return _Header(names, int(names == first))


def _names(fields: Iterable[str]) -> list[str]:
    return [strip_invisible(field) for field in fields]


def _is_header(fields: Sequence[str], names: Sequence[str]) -> bool:
    """Return whether a row is the header again, in whatever case, or another `sep=;` line."""
    if fields[0].casefold() == "sep=" and not any(fields[1:]):
        return True
    return fields[0].strip(f" {_BOM}").casefold() == names[0].casefold() and [
        field.casefold() for field in _names(fields)
    ] == [name.casefold() for name in names]


def _is_blank(fields: Sequence[str]) -> bool:
    """Return whether a record is a line without a separator and without text."""
    return not fields or (len(fields) == 1 and not fields[0].strip(f" \t\r{_BOM}"))


def _unclear(name: str, line: int, fields: Sequence[str]) -> DataError:
    shown = " | ".join(field if len(field) <= _SHOWN_CELL else f"{field[:_SHOWN_CELL]}..." for field in fields[:_SHOWN])
    return DataError(
        f"{name}: line {line} may be the header or an example ({shown})",
        "say which: data.header: first (it is the header), none (it is an example), or the names of the columns",
    )


def _require_distinct(names: Sequence[str], name: str) -> None:
    repeated = sorted({column for column in names if names.count(column) > 1})
    if repeated:
        raise two_columns(name, repeated[0])


def two_columns(name: str, column: str) -> DataError:
    """Return the error for a file in which two columns have one name."""
    return DataError(f"{name} has two columns named {column!r}", "give each column a name of its own")


def _wrong_width(name: str, line: int, width: int, header: _Header, separator: str) -> DataError:
    expected = f"the first line has {len(header.names)}" if header.made_up else f"the header has {len(header.names)}"
    mark = "a tab" if separator == "\t" else repr(separator)
    return DataError(
        f"{name}, line {line}: {width} field{'' if width == 1 else 's'} where {expected}",
        f"put fields that contain {mark} in double quotes; if {NAMES.get(separator, mark)} does not separate the "
        "columns, set data.separator",
    )


def _notes(name: str, header: _Header, repeated: Sequence[int]) -> tuple[str, ...]:
    notes = []
    if header.assumed:
        shown = ", ".join(header.names[:_SHOWN])
        notes.append(
            f"{name} seems to have no header: line 1 is read as an example, and the columns are called {shown} "
            "(if line 1 is the header: data.header: first)"
        )
    if repeated:
        shown = ", ".join(map(str, repeated[:_SHOWN])) + (", ..." if len(repeated) > _SHOWN else "")
        lines = "1 line repeats" if len(repeated) == 1 else f"{len(repeated)} lines repeat"
        notes.append(f"{name}: {lines} the header and {'is' if len(repeated) == 1 else 'are'} left out (line {shown})")
    return tuple(notes)


def _records(name: str, text: str, first_line: int, separator: str) -> Iterator[Record]:
    """Yield line number (of the record's first line) and fields of every record; no fields for a blank line.

    A byte order mark at the start of a line comes from another file and is left out. A carriage return ends a row only
    in a file without line feeds; elsewhere it is part of its field.
    """
    text = text.replace(f"\n{_BOM}", "\n")
    lines, stand_in = _lines(text)
    quoting: Any = csv.QUOTE_MINIMAL if separator != "\t" or _has_quoted_fields(text) else csv.QUOTE_NONE
    limit = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # the default refuses texts above 128 KiB
    line = first_line
    try:
        reader = csv.reader(lines, delimiter=separator, quoting=quoting, strict=True)
        for fields in reader:
            yield line, [field.replace(stand_in, "\r") for field in fields] if stand_in else fields
            line = reader.line_num + first_line
    except csv.Error as error:
        reason = "a quote is opened and never closed" if "unexpected end" in str(error) else str(error)
        raise DataError(f"{name}, line {line}: {reason}", 'double the quotes inside quoted fields: ""') from error
    finally:
        csv.field_size_limit(limit)


def _lines(text: str) -> tuple[Iterable[str], str]:
    """Return the lines of a text, and the character that stands for carriage returns inside of them ("" for none)."""
    if "\n" not in text:
        return io.StringIO(text, newline=""), ""
    stand_in = next((mark for mark in _STAND_INS if mark not in text), "") if _LONE_RETURN.search(text) else ""
    return io.StringIO(_LONE_RETURN.sub(stand_in, text) if stand_in else text, newline="\n"), stand_in


def _has_quoted_fields(text: str) -> bool:
    """Return whether quotes in a TSV delimit fields; many TSV files hold bare quotes that are part of the text.

    They are part of the text where the file is regular without reading them and some field that begins with one
    is not a well-formed quoted field.
    """
    if '"' not in text:
        return True
    lines = [line.split("\t") for line in text.replace("\r\n", "\n").split("\n") if line]
    if any(len(fields) != len(lines[0]) for fields in lines):
        return True
    opened = (field for fields in lines for field in fields if field.startswith('"'))
    return all(len(f) > 1 and f.endswith('"') and '"' not in f[1:-1].replace('""', "") for f in opened)
