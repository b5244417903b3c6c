"""Tables: columns of plain Python values, with the number of the row each value came from.

Nothing is inferred: a value is what the file holds, so the text "null" stays a text and 007 keeps its zeros.

Knows columns and rows. Knows nothing of files, recipes or labels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Table:
    """Columns of equal length.

    columns: name -> n values; None where there is none. rows: (n,) int64, row numbers in the source as read.
    """

    columns: dict[str, list[Any]]
    rows: np.ndarray

    @classmethod
    def of(cls, columns: dict[str, list[Any]]) -> Table:
        """A table whose rows are numbered from 0."""
        length = len(next(iter(columns.values()), []))
        return cls(columns, np.arange(length, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, indices: Sequence[int] | np.ndarray) -> Table:
        """The rows at these positions, in this order."""
        order = [int(i) for i in indices]
        return Table({name: [values[i] for i in order] for name, values in self.columns.items()}, self.rows[order])


def concatenate(tables: Sequence[Table]) -> Table:
    """One table under the other, rows numbered through; columns that only some tables have are left out."""
    if len(tables) == 1:
        return tables[0]
    shared = [name for name in tables[0].columns if all(name in table.columns for table in tables)]
    return Table.of({name: [value for table in tables for value in table.columns[name]] for name in shared})


def is_missing(value: Any) -> bool:
    """Whether a cell holds nothing: None or NaN."""
    return value is None or (isinstance(value, float) and math.isnan(value))
