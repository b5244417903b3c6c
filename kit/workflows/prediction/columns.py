"""Check that rows to predict have the model's text columns, with the column to rename in the error."""

from __future__ import annotations

from collections.abc import Sequence

from kit.data.columns import guess_text_columns, require_columns
from kit.data.headers import is_known_name
from kit.data.label_words import listed, quoted
from kit.data.readers import DELIMITED
from kit.data.reading import AS_TEXTS
from kit.data.table import Table
from kit.errors import DataError

_LONGEST_NAME = 30  # characters of a column; a longer one may be a text, if no header names the columns


def require_text_columns(columns: Sequence[str], table: Table, kind: str, name: str) -> None:
    """Raise DataError with the column to rename if the table lacks a column of the model."""
    try:
        require_columns(columns, table, "predict", where=name)
    except DataError as error:
        missing = [column for column in columns if column not in table.columns]
        error.hint = f"name the column{'s' if len(missing) > 1 else ''} with the texts {listed(missing)}"
        if (column := _column_of_texts(table)) and len(columns) == 1:
            error.hint = f"rename the column {quoted(column)} to {listed(missing)}"
        if kind in DELIMITED:
            error.hint += ", in the first line of the file"
            if not any(map(is_known_name, table.columns)):
                error.hint += "; if that line is an example, add a line with the names of the columns above it"
            if len(table.columns) == 1 and column is None:
                error.hint = f"add the line {' and '.join(missing)} above the first line of the file"
            error.hint += f"; {AS_TEXTS}"
        raise


def _column_of_texts(table: Table) -> str | None:
    """Return the column that probably has the texts.

    The result is None if this is unclear, or there seems to be no header.
    """
    try:
        columns = guess_text_columns(table)
    except DataError:
        return None
    name = columns[0]
    short = len(name) <= _LONGEST_NAME and len(name.split()) <= (2 if is_known_name(name) or name.istitle() else 1)
    return name if len(columns) == 1 and short else None
