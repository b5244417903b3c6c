"""Hints for rows of delimited files that have another number of fields than the header."""

from __future__ import annotations

from collections.abc import Sequence

from kit.data.headers import is_known_name
from kit.data.separators import NAMES

DOUBLED_QUOTES = 'a quote that is part of a text must be doubled ("") inside a quoted field'


def width_hint(fields: Sequence[str], separator: str, columns: int, *, for_prediction: bool) -> str:
    """Return the likely cause and a remedy.

    Args:
        fields: Fields of the row.
        separator: Character between the columns.
        columns: Number of fields of other rows.
        for_prediction: Whether the rows are for prediction, where no recipe key can be set.
    """
    mark = "a tab" if separator == "\t" else repr(separator)
    if any("\r" in field for field in fields):
        return (
            "a carriage return (CR) does not end a line if other lines end with a line feed (LF): use only one of them"
        )
    if any("\n" in field for field in fields):
        return f"quotes enclose several lines of this row: {DOUBLED_QUOTES}"
    if len(fields) == 1 and separator in fields[0]:
        return f"quotes enclose the whole line, so that {mark} does not separate: remove them"
    if len(fields) > 1 and all(map(is_known_name, fields)):
        return "the line looks like the header of another file: concatenate files with the same columns only"
    return _separator_hint(fields, separator, mark, columns=columns, for_prediction=for_prediction)


def _separator_hint(fields: Sequence[str], separator: str, mark: str, columns: int, for_prediction: bool) -> str:
    hint = "remove a title or comment above the header; " if columns == 1 else ""
    if len(fields) == 1:
        hint = "remove the line if it is not a row, such as a footer; "
    if any(field.startswith("'") or field.endswith("\\") for field in fields[:-1]):
        hint += f"single quotes and backslashes do not protect {mark}: "
    hint += f"put fields that contain {mark} in double quotes; "
    if for_prediction:
        *names, last = NAMES.values()
        return f"{hint}columns may be separated by {', '.join(names)} or {last}"
    return f"{hint}if {NAMES.get(separator, mark)} does not separate the columns, set data.separator"
