"""Tables: the report as Markdown, and every cell of the study as CSV.

Knows findings and the rules of both formats. Knows nothing of HTML or charts.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from kit.reporting import predictions
from kit.reporting import study_tables as facts
from kit.reporting.formatting import plain, title
from kit.reporting.markdown import code, inline

if TYPE_CHECKING:
    from kit.analysis.findings import Findings

_CELL_FIELDS = (
    "series", "budget", "seed", "state", "metric", "low", "high", "seconds", "diagnosis", "flag", "record", "error",
)  # fmt: skip
_CURVE_FIELDS = ("series", "method", "checkpoint", "parameters", "budget", "seeds", "mean", "low", "high", "seed_sd")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def markdown(findings: Findings) -> str:
    """The report as GitHub's Markdown: the same facts as the page, without its charts and its table of all cells."""
    about = f"{findings.task}, {findings.metric}, {findings.test_examples:,} test examples, {findings.created}"
    parts = [
        f"# {inline(findings.study)}",
        inline(about),
        *[inline(sentence) for sentence in findings.answer],
        *_list("What to know", findings.notes),
        *_section(title(findings.metric), facts.means(findings), *facts.other_means(findings)),
        *_section(
            "More labels", predictions.ahead(findings), predictions.needed(findings), predictions.refusals(findings)
        ),
        *_section("Comparisons", facts.comparisons(findings)),
        *_section("What pretraining is worth", facts.worth(findings)),
        *_section("Sizes", facts.ladder(findings)),
        *_section("Cost", facts.choices(findings), facts.speeds(findings)),
        *_section("Data", facts.data(findings)),
        *_section("Environment", facts.environment(findings)),
        "## Reproduce",
        code(findings.command, "sh"),
        code(findings.recipe, "yaml"),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def cells_csv(findings: Findings) -> str:
    """Every cell of the grid, failed ones with their error; UTF-8, numbers unrounded, nothing in it a formula."""
    return _csv(_CELL_FIELDS, ([getattr(row, field) for field in _CELL_FIELDS] for row in findings.cells))


def points_csv(findings: Findings) -> str:
    """The mean over seeds of every series at every budget, with its interval."""
    rows = (
        [
            each.name, each.method, each.checkpoint, each.parameters, point.budget, len(point.runs),
            point.estimate.value, point.estimate.low, point.estimate.high, point.seed_sd,
        ]
        for each in findings.series
        for point in each.points
    )  # fmt: skip
    return _csv(_CURVE_FIELDS, rows)


def _csv(header: Iterable[str], rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(header)
    writer.writerows([_harmless(value) for value in row] for row in rows)
    return text.getvalue()


def _harmless(value: object) -> object:
    """Text that a spreadsheet would take for a formula gets a quote before it (OWASP: CSV injection); numbers stay."""
    if not isinstance(value, str):
        return value
    value = plain(value)
    return f"'{value}" if value.lstrip(" ").startswith(_FORMULA) else value


def _list(heading: str, items: Iterable[str]) -> list[str]:
    lines = [f"- {inline(item)}" for item in items]
    return [f"## {heading}", "\n".join(lines)] if lines else []


def _section(heading: str, *tables: facts.Table) -> list[str]:
    shown = [text for table in tables if table for text in (inline(table.caption), _table(table))]
    return [f"## {inline(heading)}", *shown] if shown else []


def _table(table: facts.Table) -> str:
    header = [inline(column.name) for column in table.columns]
    rule = ["---:" if column.number else "---" for column in table.columns]
    rows = [[_cell(cell) for cell in row] for row in table.rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, rule, *rows))


def _cell(cell: facts.Cell) -> str:
    text = inline(cell.text)
    return f"{text}<br>{inline(cell.note)}" if cell.note else text
