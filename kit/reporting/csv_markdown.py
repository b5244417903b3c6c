"""The report as Markdown, and the cells and means of the study as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from kit.reporting import cost_tables, predictions, result_tables, study_tables
from kit.reporting.formatting import title
from kit.reporting.text_tables import Table, TableCell
from kit.runtime.characters import plain
from kit.runtime.markdown import code, inline

if TYPE_CHECKING:
    from kit.analysis.findings import Findings

_CELL_FIELDS = (
    "series", "budget", "seed", "state", "metric", "low", "high", "seconds", "diagnosis", "flag", "record", "error",
)  # fmt: skip
_POINT_FIELDS = ("series", "method", "checkpoint", "parameters", "budget", "seeds", "mean", "low", "high", "seed_sd")
_COMPARISON_FIELDS = (
    "a", "b", "budget", "difference", "low", "high", "p_bootstrap", "p_mcnemar", "p_holm", "seeds", "verdict",
)  # fmt: skip
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def markdown(findings: Findings) -> str:
    """Return the report as GitHub Markdown, without the charts and the table of all cells on the page."""
    subtitle = f"{findings.task}, {findings.metric}, {findings.test_examples:,} test examples, {findings.created}"
    parts = [
        f"# {inline(findings.study)}",
        inline(subtitle),
        inline(" ".join(findings.answer)),
        *_list("Notes", findings.notes),
        *_section(title(findings.metric), result_tables.means(findings), *result_tables.other_means(findings)),
        *_section(
            "Predictions for more labels",
            predictions.ahead(findings),
            predictions.needed(findings),
            predictions.refusals(findings),
        ),
        *_section("Comparisons", result_tables.comparisons(findings)),
        *_section("Compression and distillation", result_tables.source_comparisons(findings)),
        *_section("Value of pretraining", result_tables.pretraining_value(findings)),
        *_section("Sizes", cost_tables.ladder(findings)),
        *_section("Cost", cost_tables.choices(findings), cost_tables.speeds(findings)),
        *_section("Data", study_tables.data(findings)),
        *_section("Environment", study_tables.environment(findings)),
        "## Reproduce",
        code(findings.command, "sh"),
        code(findings.recipe, "yaml"),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def cells_csv(findings: Findings) -> str:
    """Return every cell of the grid as CSV, with unrounded numbers, and without text that spreadsheets execute."""
    return _csv(_CELL_FIELDS, ([getattr(row, field) for field in _CELL_FIELDS] for row in findings.cells))


def points_csv(findings: Findings) -> str:
    """Return the mean over seeds of every series at every budget as CSV, with its interval."""
    rows = (
        [
            series.name, series.method, series.checkpoint, series.parameters, point.budget, len(point.runs),
            point.estimate.value, point.estimate.low, point.estimate.high, point.seed_sd,
        ]
        for series in findings.series
        for point in series.points
    )  # fmt: skip
    return _csv(_POINT_FIELDS, rows)


def comparisons_csv(findings: Findings) -> str:
    """Return every compared pair of variants as CSV."""
    rows = (
        [
            one.a, one.b, one.budget, one.difference.value, one.difference.low, one.difference.high, one.p_bootstrap,
            one.p_mcnemar, one.p_holm, one.seeds, one.judgement.words,
        ]
        for one in findings.comparisons
    )  # fmt: skip
    return _csv(_COMPARISON_FIELDS, rows)


def _csv(header: Iterable[str], rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(header)
    writer.writerows([_harmless(value) for value in row] for row in rows)
    return text.getvalue()


def _harmless(value: object) -> object:
    """Return a value with a quote before text that a spreadsheet reads as a formula (OWASP: CSV injection)."""
    if not isinstance(value, str):
        return value
    value = plain(value)
    return f"'{value}" if value.lstrip(" ").startswith(_FORMULA_STARTS) else value


def _list(heading: str, items: Iterable[str]) -> list[str]:
    lines = [f"- {inline(item)}" for item in items]
    return [f"## {heading}", "\n".join(lines)] if lines else []


def _section(heading: str, *tables: Table) -> list[str]:
    shown = [text for table in tables if table for text in (inline(table.caption), _table(table))]
    return [f"## {inline(heading)}", *shown] if shown else []


def _table(table: Table) -> str:
    header = [inline(column.name) for column in table.columns]
    rule = ["---:" if column.number else "---" for column in table.columns]
    rows = [[_cell(cell) for cell in row] for row in table.rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, rule, *rows))


def _cell(cell: TableCell) -> str:
    text = inline(cell.text)
    return f"{text}<br>{inline(cell.note)}" if cell.note else text
