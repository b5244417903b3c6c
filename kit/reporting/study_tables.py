"""Tables of the cells of a study, of its data and of its environment."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from kit.reporting.formatting import between, title
from kit.reporting.text_tables import EMPTY, Table, TableCell, columns, text_cell
from kit.runtime.characters import plain
from kit.runtime.quantities import duration

if TYPE_CHECKING:
    from kit.analysis.findings import CellRow, Findings


def cells(findings: Findings) -> Table:
    """Return every cell of the grid, unfinished cells included."""
    names = (
        "Variant", "Labels#", "Seed#", "State", f"{title(findings.metric)}#", "Time#", "Flag or error",
        "How training ended", "Record",
    )  # fmt: skip
    rows = tuple(_cell_row(row, findings.metric) for row in findings.cells)
    return Table("Every cell of the study.", columns(*names), rows)


def data(findings: Findings) -> Table:
    """Return the data, the findings of their audit, and the labels."""
    rows = [(text_cell(name), text_cell(value)) for name, value in findings.data]
    if findings.labels:
        count = len(findings.labels)
        # Quotation marks keep a label with a comma together.
        listed = ", ".join(f"“{plain(label)}”" for label in findings.labels)
        rows.append((text_cell(f"labels ({count})"), text_cell(listed)))
    return Table("Data, and findings of their audit.", columns("Property", "Value"), tuple(rows))


def environment(findings: Findings) -> Table:
    """Return versions and hardware; nested values have dotted names."""
    rows = tuple((text_cell(name), text_cell(value)) for name, value in _flat(findings.environment))
    return Table("Versions and hardware.", columns("Property", "Value"), rows)


def _cell_row(row: CellRow, metric: str) -> tuple[TableCell, ...]:
    failed = row.state == "failed"
    return (
        text_cell(row.series),
        TableCell(f"{row.budget:,}", key=row.budget),
        TableCell(str(row.seed), key=row.seed),
        text_cell(row.state, bad=failed),
        TableCell(between(metric, row.metric, row.low, high=row.high), key=row.metric),
        EMPTY if row.seconds is None else TableCell(duration(row.seconds), key=row.seconds),
        text_cell(row.error or row.flag, bad=bool(row.error or row.flag)),
        text_cell(row.diagnosis),
        text_cell(row.record),
    )


def _flat(values: dict[str, Any], prefix: str = "") -> Iterable[tuple[str, object]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            listed = isinstance(value, Sequence) and not isinstance(value, str)
            yield f"{prefix}{name}", ", ".join(str(item) for item in value) if listed else value
