"""Tables: columns of plain Python values, with the row numbers of the source.

Types are not inferred: the text "null" stays a text, and 007 keeps its zeros.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

Unit = Literal["line", "item", "row"]


@dataclass(frozen=True)
class Table:
    """Columns of equal length.

    Attributes:
        columns: n values by name of the column; None for a missing value.
        rows: (n,) int64, row numbers in the source from 0; blank lines and repeated headers are not counted.
        unit: Unit of `places`: lines of a text file, items of a JSON array, or rows.
        places: (n,) int64, number of each row's line, item or row in the file, from 1. None: the table is not from a
            single file.
        blank: Numbers of blank lines, from 1, between or after rows.
        delimited: Whether the file is delimited text, whose separator the recipe can set.
        headless: Whether the columns have made-up names, because the file has no header.
        notes: Sentences about assumptions and repairs that the user should read.
    """

    columns: dict[str, list[Any]]
    rows: np.ndarray
    unit: Unit = "row"
    places: np.ndarray | None = None
    blank: tuple[int, ...] = ()
    delimited: bool = False
    headless: bool = False
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, columns: dict[str, list[Any]], unit: Unit = "row", places: Iterable[int] | None = None) -> Table:
        """Return a table whose rows are numbered from 0."""
        length = len(next(iter(columns.values()), []))
        numbers = None if places is None else np.fromiter(places, np.int64, length)
        return cls(columns, np.arange(length, dtype=np.int64), unit, numbers)

    def __len__(self) -> int:
        return len(self.rows)

    def place(self, index: int) -> str:
        """Return the place of a row in its file for messages: `line 4`."""
        if self.places is None:
            return f"row {self.rows[index] + 1}"
        return f"{self.unit} {self.places[index]}"

    def take(self, indices: Sequence[int] | np.ndarray) -> Table:
        """Return the rows at these positions, in this order."""
        order = [int(i) for i in indices]
        places = None if self.places is None else self.places[order]
        columns = {name: [values[i] for i in order] for name, values in self.columns.items()}
        return replace(self, columns=columns, rows=self.rows[order], places=places, blank=())

    def with_blank_rows(self) -> Table:
        """Return the table with a row of empty texts for each blank line, so that rows and lines correspond."""
        if not self.blank or self.places is None:
            return self
        places = np.concatenate([self.places, np.asarray(self.blank, np.int64)])
        order = np.argsort(places, kind="stable")
        empty = [""] * len(self.blank)
        columns = {name: [*values, *empty] for name, values in self.columns.items()}
        whole = replace(self, columns=columns, rows=np.arange(len(places), dtype=np.int64), places=places)
        return replace(whole.take(order), rows=whole.rows)


def concatenate(tables: Sequence[Table]) -> Table:
    """Append tables to each other and number the rows from 0; leave out columns that a table lacks."""
    if len(tables) == 1:
        return tables[0]
    shared = [name for name in tables[0].columns if all(name in table.columns for table in tables)]
    whole = Table.of({name: [value for table in tables for value in table.columns[name]] for name in shared})
    notes = dict.fromkeys(note for table in tables for note in table.notes)
    headless, delimited = (all(marks) for marks in zip(*((t.headless, t.delimited) for t in tables), strict=True))
    return replace(whole, headless=headless, delimited=delimited, notes=tuple(notes))


def is_missing(value: Any) -> bool:
    """Return whether a cell holds nothing: None or NaN."""
    return value is None or (isinstance(value, float) and math.isnan(value))
