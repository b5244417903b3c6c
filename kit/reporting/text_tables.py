"""Tables of text, which the page and the Markdown report render and escape."""

from __future__ import annotations

from dataclasses import dataclass, field

from kit.reporting.formatting import NOTHING
from kit.runtime.characters import plain


@dataclass(frozen=True)
class TableCell:
    """Cell of a table.

    Attributes:
        text: Content.
        note: Second line, in smaller type.
        key: Number that the cell is sorted by; None to sort by text.
        bad: Whether the cell is highlighted as a problem.
    """

    text: str
    note: str = ""
    key: float | None = None
    bad: bool = False


@dataclass(frozen=True)
class Column:
    """Header of a column; numbers are right-aligned, with digits of equal width."""

    name: str
    number: bool = False


@dataclass(frozen=True)
class Table:
    """Table with a caption; the first column names the subject of each row."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[TableCell, ...], ...] = field(default=())

    def __bool__(self) -> bool:
        return bool(self.rows)


EMPTY = TableCell(NOTHING)


def text_cell(text: object, note: str = "", bad: bool = False) -> TableCell:
    """Return a cell for text of a user or of a program, without unprintable characters."""
    return TableCell(plain(text) or NOTHING, plain(note), bad=bad)


def columns(*names: str) -> tuple[Column, ...]:
    """Return the columns with these names; a final `#` marks a column of numbers."""
    return tuple(Column(name.rstrip("#"), name.endswith("#")) for name in names)
