"""Tables from delimited text (CSV, TSV and the like)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

from kit.data.blank import strip_invisible
from kit.data.delimited_records import Record, read_records
from kit.data.headers import Verdict, is_known_name, judge_first_row
from kit.data.reading import AS_TEXTS, Reading
from kit.data.separators import LINE_END, NAMES, find_separator, refuse_drawing, take_comments, take_excel_line
from kit.data.swallowed import find_swallowed
from kit.data.table import Table
from kit.data.width_hints import DOUBLED_QUOTES, width_hint
from kit.errors import DataError
from kit.recipe.setting import setting
from kit.runtime.characters import BYTE_ORDER_MARK
from kit.runtime.printable import printable

_COMPARED_ROWS = 2_000  # with which the first row is compared
_SHOWN = 5
_SHOWN_CHARS = 40  # of a cell
_RULE = re.compile(r":?(-{3,}|={3,}):?")


@dataclass(frozen=True)
class _Header:
    """Header of a delimited file.

    Attributes:
        names: Names of the columns.
        records: Number of records before the first row.
        made_up: Whether the names are `column 1`, `column 2`, ... because the file has no header.
        assumed: Whether it is in doubt that the first line is, or is not, a header.
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
        DataError: A row does not fit the header, the header is unclear, or quotes are broken. The message names the
            line.
    """
    refuse_drawing(text, name)
    excel_separator, length = take_excel_line(text)
    comments = take_comments(text[length:])
    first_line = 1 + bool(length) + len(LINE_END.findall(text[length : length + comments]))
    records = partial(read_records, name, text[length + comments :], first_line)
    separator = reading.separator or excel_separator or find_separator(records, suffix, name, reading=reading)
    numbered = list(records(separator))
    while numbered and _is_blank(numbered[0][1], cells=reading.header in ("auto", "first")):
        numbered.pop(0)
    if not numbered:
        raise DataError(f"{name} is empty")
    header = _header(numbered, name, reading)
    _require_distinct(header, name, reading)
    if header.records and len(numbered) == 1:
        raise DataError(f"{name} has a header and no rows", AS_TEXTS if reading.for_prediction else "")
    table = _table(numbered[header.records :], header, name, wrong_width=partial(_wrong_width, reading, separator))
    rows = [record for record in numbered[header.records :] if len(record[1]) == len(header.names)]
    notes = (
        *_separator_notes(name, separator, reading, excel_separator=excel_separator),
        *([f"{name}: the comment above the header is left out"] if comments else []),
        *_header_notes(name, header, numbered[0], reading=reading),
        *table.notes,
        *_quote_notes(name, find_swallowed(rows, separator)),
    )
    return replace(table, notes=notes)


def _table(
    numbered: Sequence[Record], header: _Header, name: str, wrong_width: Callable[[str, Record, _Header], DataError]
) -> Table:
    """Return the rows below the header, without repeated headers.

    A repeated header in another order reorders the rows that follow it.
    """
    width = len(header.names)
    order: list[int] = []
    rows: list[Record] = []
    blank: list[int] = []
    repeated: list[int] = []
    reordered: list[int] = []
    foreign: list[int] = []
    has_rule = bool(numbered) and not header.made_up and _is_rule(numbered[0][1], width)
    if has_rule:
        numbered = numbered[1:]
    for line, fields in numbered:
        if _is_blank(fields) and (width > 1 or not fields):
            blank.append(line)
        elif len(fields) != width:
            raise wrong_width(name, (line, fields), header)
        elif width > 1 and not header.made_up and (places := _header_order(fields, header.names)) is not None:
            order = places if places != sorted(places) else []
            (reordered if order else repeated).append(line)
        else:
            if width > 1 and not header.made_up and all(map(is_known_name, sorted(fields, key=len))):  # cheapest first
                foreign.append(line)
            rows.append((line, [fields[place] for place in order] if order else fields))
    if width > 1 and rows:  # blank lines at the end of a file are not rows
        blank = [line for line in blank if line < rows[-1][0]]
    columns = zip(*(fields for _, fields in rows), strict=True) if rows else [[] for _ in header.names]
    content = {column: list(values) for column, values in zip(header.names, columns, strict=True)}
    table = Table.of(content, "line", [line for line, _ in rows])
    notes = _repeated_notes(name, repeated, reordered, foreign=foreign)
    if has_rule:
        notes = (f"{name}: the line of dashes below the header is left out", *notes)
    return replace(table, blank=tuple(blank), headless=header.made_up, delimited=True, notes=notes)


def _header(numbered: Sequence[Record], name: str, reading: Reading) -> _Header:
    first = _names(numbered[0][1])
    made_up = [f"column {place}" for place in range(1, len(first) + 1)]
    named = [column or other for column, other in zip(first, made_up, strict=True)]
    if reading.header == "first":
        return _Header(named, 1)
    if reading.header == "none":
        return _Header(made_up, 0, made_up=True, assumed=_verdict(numbered) == "header")
    if reading.header != "auto":
        return _declared(list(reading.header), numbered, name)
    if set(first) & {strip_invisible(column) for column in reading.columns}:
        return _Header(named, 1)
    return _judged(
        numbered, _Header(named, 1), _Header(made_up, 0, made_up=True, assumed=True), name=name, reading=reading
    )


def _judged(numbered: Sequence[Record], header: _Header, example: _Header, name: str, reading: Reading) -> _Header:
    """Return `header` or, if the first line is an example, `example`.

    Raise DataError if that is unclear.
    """
    first, verdict = _names(numbered[0][1]), _verdict(numbered)
    if len(reading.known_names) == len(first) and not _continues_with_header(first, reading.known_names, verdict):
        return example
    if verdict == "unclear":
        raise _unclear(name, numbered[0])
    return example if verdict == "example" else replace(header, assumed=verdict == "doubtful header")


def _verdict(numbered: Sequence[Record]) -> Verdict:
    return judge_first_row(_names(numbered[0][1]), [fields for _, fields in islice(numbered, 1, _COMPARED_ROWS)])


def _continues_with_header(first: Sequence[str], known: Sequence[str], verdict: Verdict) -> bool:
    """Return whether the first line of a file that continues another file is a header, even a different one."""
    if {cell.casefold() for cell in first} & {column.casefold() for column in known}:
        return True
    return verdict in ("header", "doubtful header") and any(map(is_known_name, first))


def _declared(names: list[str], numbered: Sequence[Record], name: str) -> _Header:
    """Return the header that the recipe declares; skip a first line that repeats these names."""
    first = _names(numbered[0][1])
    if len(names) != len(first):
        raise DataError(
            f"{len(names)} names for {name}, which has {len(first)} columns", "name every column", key="data.header"
        )
    if names == first:
        return _Header(names, 1)
    verdict = _verdict(numbered)
    if verdict == "header":
        raise DataError(
            f"{name} seems to have its own header in line {numbered[0][0]} ({_shown(first)})",
            f"remove that line, or read its names: {setting('data.header', 'first')}; if it is an example, "
            f"{setting('data.header', 'none')} names the columns column 1, column 2, ...",
            key="data.header",
        )
    return _Header(names, 0, assumed=verdict == "doubtful header")


def _names(fields: Iterable[str]) -> list[str]:
    return [strip_invisible(field) for field in fields]


def _header_order(fields: Sequence[str], names: Sequence[str]) -> list[int] | None:
    """Return the positions of the header's names in a row that repeats the header.

    The result is None for other rows.

    Case is ignored, and another `sep=;` line counts as the header.
    """
    if fields[0].casefold() == "sep=" and not any(fields[1:]):
        return list(range(len(names)))
    folded = [name.casefold() for name in names]
    if fields[0].strip(f" {BYTE_ORDER_MARK}").casefold() not in folded:
        return None
    cells = [field.casefold() for field in _names(fields)]
    return [cells.index(name) for name in folded] if sorted(cells) == sorted(folded) else None


def _is_blank(fields: Sequence[str], *, cells: bool = False) -> bool:
    """Return whether a record is a line without separator and text. cells: several empty cells count as blank too."""
    if cells and len(fields) > 1 and not any(map(str.strip, fields)):
        return True
    return not fields or (len(fields) == 1 and not fields[0].strip(f" \t\r{BYTE_ORDER_MARK}"))


def _is_rule(fields: Sequence[str], width: int) -> bool:
    """Return whether a record is a line of dashes below the header, as in tables of SQL tools and Markdown."""
    filled = [field.strip() for field in fields if field.strip()]
    return len(fields) == width and bool(filled) and all(map(_RULE.fullmatch, filled))


def _shown(fields: Sequence[str]) -> str:
    shown = (field if len(field) <= _SHOWN_CHARS else f"{field[:_SHOWN_CHARS]}..." for field in fields[:_SHOWN])
    return printable(" | ".join(shown))


def _unclear(name: str, first: Record) -> DataError:
    return DataError(
        f"{name}: line {first[0]} may be the header or an example ({_shown(first[1])})",
        f"say which: {setting('data.header', 'first')} (it is the header), {setting('data.header', 'none')} (it is an "
        "example), or data.header with the names of the columns; remove a title above the header",
    )


def _require_distinct(header: _Header, name: str, reading: Reading) -> None:
    repeated = sorted({column for column in header.names if header.names.count(column) > 1})
    if not repeated:
        return
    error = two_columns(name, repeated[0])
    if header.records and not reading.for_prediction:
        error.hint += f"; if line 1 is an example, set {setting('data.header', 'none')}"
    raise error


def two_columns(name: str, column: str) -> DataError:
    """Return the error for a file in which two columns have the same name."""
    return DataError(f"{name} has two columns named {column!r}", "give each column a different name")


def _wrong_width(reading: Reading, separator: str, name: str, record: Record, header: _Header) -> DataError:
    line, fields = record
    count = f"{len(fields)} field{'' if len(fields) == 1 else 's'}"
    expected = f"the first line has {len(header.names)}" if header.made_up else f"the header has {len(header.names)}"
    hint = width_hint(fields, separator, len(header.names), for_prediction=reading.for_prediction)
    return DataError(f"{name}, line {line}: {count} where {expected}", hint)


def _separator_notes(name: str, separator: str, reading: Reading, excel_separator: str | None) -> list[str]:
    if separator in NAMES or separator in (reading.separator, excel_separator):
        return []
    key = "" if reading.for_prediction else f" ({setting('data.separator', separator)})"
    return [f"{name}: the columns are separated by {separator!r}{key}"]


def _header_notes(name: str, header: _Header, first: Record, reading: Reading) -> list[str]:
    if not header.assumed:
        return []
    if reading.header != "auto":
        key = "" if reading.for_prediction else f" (if it is the header: {setting('data.header', 'first')})"
        return [f"{name}: line {first[0]} ({_shown(first[1])}) may be a header and is read as an example{key}"]
    if not header.made_up:
        return [
            f"{name}: line {first[0]} ({_shown(first[1])}) is read as the header "
            f"(if it is an example: {setting('data.header', 'none')})"
        ]
    shown = ", ".join(header.names[:_SHOWN])
    return [
        f"{name} seems to have no header: line 1 is read as an example, and the columns are called {shown} "
        f"(if line 1 is the header: {setting('data.header', 'first')})"
    ]


def _repeated_notes(
    name: str, repeated: Sequence[int], reordered: Sequence[int], foreign: Sequence[int]
) -> tuple[str, ...]:
    notes = []
    if repeated:
        lines = "1 line repeats" if len(repeated) == 1 else f"{len(repeated)} lines repeat"
        verb = "is" if len(repeated) == 1 else "are"
        notes.append(f"{name}: {lines} the header and {verb} left out (line {_first_lines(repeated)})")
    if reordered:
        notes.append(
            f"{name}: the header is repeated in another order (line {_first_lines(reordered)}); "
            "the rows below it are read in that order"
        )
    if foreign:
        notes.append(
            f"{name}: line {_first_lines(foreign)} looks like the header of another file and is read as an example: "
            "remove the line, and check the columns of the rows below it"
        )
    return tuple(notes)


def _quote_notes(name: str, swallowed: Sequence[tuple[int, int]]) -> list[str]:
    if not swallowed:
        return []
    spans = ", ".join(f"{first}-{last}" for first, last in swallowed[:_SHOWN])
    more = ", ..." if len(swallowed) > _SHOWN else ""
    return [
        f"{name}: lines {spans}{more} are read as one text, because quotes enclose them, but each line looks like "
        "a row: " + DOUBLED_QUOTES
    ]


def _first_lines(lines: Sequence[int]) -> str:
    return ", ".join(map(str, lines[:_SHOWN])) + (", ..." if len(lines) > _SHOWN else "")
