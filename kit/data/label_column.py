"""Columns of labels: their cells, and errors that name the row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from kit.data.class_labels import UnnamedClass
from kit.data.label_words import listed, quoted
from kit.data.table import Table
from kit.errors import DataError
from kit.runtime.printable import printable

Labels = list[tuple[str, ...]]
_MAX_CELL_CHARS = 80  # in a message


@dataclass(frozen=True)
class LabelColumn:
    """Column of a table with labels."""

    name: str
    table: Table

    @property
    def values(self) -> Sequence[Any]:
        """Cells of the column, in the order of the rows."""
        return self.table.columns[self.name]

    def error(self, place: int, problem: str, hint: str = "") -> DataError:
        """Return an error about the cell at a position."""
        where = f"column {quoted(self.name)}, {self.table.place(place)}"
        return DataError(f"{where}: {problem}", hint, key="data.label")

    def cells(self) -> Iterator[tuple[int, Any]]:
        """Yield position and cell of every row.

        Raise DataError for a cell that cannot hold labels.
        """
        for place, value in enumerate(self.values):
            for item in value if isinstance(value, (list, tuple)) else [value]:
                if isinstance(item, (UnnamedClass, dict, bytes)):
                    raise self._unreadable(place, item)
            yield place, value

    def _unreadable(self, place: int, item: Any) -> DataError:
        if not isinstance(item, UnnamedClass):
            return self.error(
                place,
                f"a {type(item).__name__} is not a label: {cell_words(item)}",
                "list the names of the labels that hold",
            )
        return self.error(
            place,
            f"{item.value!r} is not a class of this column, which declares {len(item.names)}: {listed(item.names)}",
            "correct the value, or write the file again without its class names (the ClassLabel metadata)",
        )


def cell_words(value: Any) -> str:
    """Return the content of a cell for a message: on one line, cut at 80 characters."""
    text = printable(str(value))
    return text if len(text) <= _MAX_CELL_CHARS else text[: _MAX_CELL_CHARS - 3] + "..."
