"""Records of a delimited file, split at a separator, with the line where each record begins."""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from kit.errors import DataError
from kit.runtime.characters import BYTE_ORDER_MARK

_LONE_RETURN = re.compile(r"\r(?!\r*\n)")
QUOTED = re.compile(r'"[^"]*"')
_STAND_INS = "\ue000\uf8ff\U000f0000\x1a"  # characters that are very rare in texts

Record = tuple[int, list[str]]  # line from 1, fields


def read_records(name: str, text: str, first_line: int, separator: str) -> Iterator[Record]:
    """Yield the number of the first line and the fields of every record; a blank line has no fields.

    A byte order mark at the start of a line comes from another file and is left out. A carriage return ends a row only
    in a file without line feeds; elsewhere it is part of its field.
    """
    text = text.replace(f"\n{BYTE_ORDER_MARK}", "\n")
    lines, stand_in = _lines(text)
    spaced = f'{separator} "' in text and _has_spaces_after(separator, text)
    quoting: Any = csv.QUOTE_MINIMAL if separator != "\t" or _has_quoted_fields(text) else csv.QUOTE_NONE
    limit = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # the default refuses texts above 128 KiB
    line = first_line
    try:
        reader = csv.reader(lines, delimiter=separator, quoting=quoting, skipinitialspace=spaced, strict=True)
        for fields in reader:
            yield line, [field.replace(stand_in, "\r") for field in fields] if stand_in else fields
            line = reader.line_num + first_line
    except csv.Error as error:
        reason = "a quote is opened and never closed" if "unexpected end" in str(error) else str(error)
        raise DataError(f"{name}, line {line}: {reason}", 'double the quotes inside quoted fields: ""') from error
    finally:
        csv.field_size_limit(limit)


def _has_spaces_after(separator: str, text: str) -> bool:
    """Return whether the first line has a space after every separator, so that quotes after spaces enclose fields."""
    first = text.lstrip("\r\n").partition("\n")[0].partition("\r")[0]
    return separator != " " and 0 < first.count(separator) == first.count(f"{separator} ")


def _lines(text: str) -> tuple[Iterable[str], str]:
    """Return the lines of a text, and the character that replaces carriage returns inside lines ("" for none)."""
    if "\n" not in text or ("\r" in text and "\n" not in QUOTED.sub("", text)):
        return io.StringIO(text, newline=""), ""
    stand_in = next((mark for mark in _STAND_INS if mark not in text), "") if _LONE_RETURN.search(text) else ""
    return io.StringIO(_LONE_RETURN.sub(stand_in, text) if stand_in else text, newline="\n"), stand_in


def _has_quoted_fields(text: str) -> bool:
    """Return whether quotes in a TSV file delimit fields, or are part of the text as in many TSV files.

    Quotes are part of the text if all lines have the same number of fields without interpreting quotes, and a field
    that begins with a quote is not a well-formed quoted field.
    """
    if '"' not in text:
        return True
    lines = [line.split("\t") for line in text.replace("\r\n", "\n").split("\n") if line]
    if any(len(fields) != len(lines[0]) for fields in lines):
        return True
    opened = (field for fields in lines for field in fields if field.startswith('"'))
    return all(len(f) > 1 and f.endswith('"') and '"' not in f[1:-1].replace('""', "") for f in opened)
