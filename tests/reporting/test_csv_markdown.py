"""The report as Markdown and CSV: completeness, and escaping of any text."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace

import pytest

from kit.analysis.findings import Findings
from kit.reporting.csv_markdown import cells_csv, comparisons_csv, markdown, points_csv
from tests.reporting.conftest import BUDGETS, HOSTILE


def _tables(text: str) -> list[list[str]]:
    """Return the lines of each table."""
    tables: list[list[str]] = [[]]
    for line in text.splitlines():
        if line.startswith("|"):
            tables[-1].append(line)
        elif tables[-1]:
            tables.append([])
    return [table for table in tables if table]


def test_markdown_starts_with_the_main_result_and_has_every_section(findings: Findings) -> None:
    text = markdown(findings)
    assert text.startswith("# Support tickets\n")
    assert text.index("Best at 800 labels") < text.index("## Notes") < text.index("## Accuracy")
    headings = re.findall(r"^## (.*)", text, flags=re.M)
    assert headings == [
        "Notes", "Accuracy", "Predictions for more labels", "Comparisons", "Value of pretraining", "Sizes", "Cost",
        "Data", "Environment", "Reproduce",
    ]  # fmt: skip


def test_markdown_has_every_mean_with_its_interval(findings: Findings) -> None:
    text = markdown(findings)
    assert len(findings.series) * len(BUDGETS) == 24
    for series in findings.series:
        row = next(line for line in text.splitlines() if line.startswith(f"| {series.name} |"))
        for point in series.points:
            estimate = point.estimate
            interval = f"{100 * estimate.value:.1f} % \\[{100 * estimate.low:.1f}, {100 * estimate.high:.1f}\\]"
            assert interval in row, (series.name, point.budget)


def test_predictions_have_their_back_test_error(findings: Findings) -> None:
    table = next(table for table in _tables(markdown(findings)) if "Back\\-test error" in table[0])
    fitted = [series for series in findings.series if series.fit]
    assert len(table) - 2 == len(fitted) == 5
    for row, series in zip(table[2:], fitted, strict=True):
        assert series.fit is not None
        assert f"| {100 * abs(series.fit.backtest.error):.1f} points<br>" in row
        assert "6,400 labels" in row, "a prediction at 8 times the largest budget"


def test_text_that_looks_like_markup_is_escaped(findings: Findings) -> None:
    for first, escaped in (("1. of all", "1\\. of all"), ("- second", "\\- second"), ("# third", "\\# third")):
        text = markdown(replace(findings, answer=(first, "2.5 times")))
        assert f"\n{escaped} 2.5 times\n" in text


def test_refused_predictions_have_a_reason(findings: Findings) -> None:
    assert "metric falls from 200 to 400 labels; no form fits" in markdown(findings)


@pytest.mark.parametrize("study", ["findings", "hostile"])
def test_every_row_of_a_table_has_the_same_columns(study: str, request: pytest.FixtureRequest) -> None:
    tables = _tables(markdown(request.getfixturevalue(study)))
    assert len(tables) >= 9
    for table in tables:
        counts = {len(re.findall(r"(?<!\\)\|", line)) for line in table}
        assert len(counts) == 1, table[0]


def test_hostile_names_are_escaped_in_markdown(hostile: Findings) -> None:
    text = markdown(hostile)
    prose = re.sub(r"^(`{3,}).*?^\1$", "", text, flags=re.M | re.S)
    assert "&lt;script&gt;alert" in prose
    assert re.findall(r"<(?!br>)", prose) == [], "the only tag is <br>"
    assert not re.findall(r"(?<!\\)\]\(", prose), "no link"
    text.encode()


def test_fence_is_longer_than_any_fence_in_the_recipe(findings: Findings) -> None:
    text = markdown(replace(findings, recipe="a: 1\n````\n# not a heading of the report\n````\n"))
    fences = re.findall(r"^`{3,}.*$", text, flags=re.M)
    assert fences == ["```sh", "```", "`````yaml", "````", "````", "`````"]


def test_csv_has_every_cell_and_the_errors(findings: Findings) -> None:
    rows = list(csv.DictReader(io.StringIO(cells_csv(findings), newline="")))
    assert len(rows) == len(findings.cells) == 74
    for row, cell in zip(rows, findings.cells, strict=True):
        assert (row["series"], int(row["budget"]), int(row["seed"])) == (cell.series, cell.budget, cell.seed)
        assert row["metric"] == ("" if cell.metric is None else repr(cell.metric))
    assert [row["error"] for row in rows if row["state"] == "failed"] == ["OutOfMemory: needs 4 GB"]
    assert sum(bool(row["flag"]) for row in rows) == 2


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "  =1", "\n=1"])
def test_text_is_never_a_formula(findings: Findings, text: str) -> None:
    row = replace(findings.cells[0], series=text, metric=-0.25)
    written = next(csv.DictReader(io.StringIO(cells_csv(replace(findings, cells=(row,))), newline="")))
    assert written["series"].startswith(("'", "\ufffd")), "a carriage return is replaced before"
    assert written["metric"] == "-0.25", "a negative number stays a number"


def test_points_csv_has_every_mean(findings: Findings) -> None:
    rows = list(csv.DictReader(io.StringIO(points_csv(findings), newline="")))
    assert len(rows) == 24
    assert float(rows[0]["mean"]) == findings.series[0].points[0].estimate.value
    assert {row["checkpoint"] for row in rows} == {"minilm", "mpnet", ""}


def test_many_pairs_are_in_the_csv_and_few_in_the_text(many: Findings) -> None:
    rows = list(csv.DictReader(io.StringIO(comparisons_csv(many), newline="")))
    assert len(rows) == len(many.comparisons) == 40 * 39 // 2
    assert float(rows[0]["difference"]) == many.comparisons[0].difference.value
    table = next(table for table in _tables(markdown(many)) if table[0].startswith("| Pair |"))
    assert len(table) - 2 == 39
    assert "all 780 pairs are in comparisons.csv" in markdown(many)


def test_hostile_text_survives_csv(hostile: Findings) -> None:
    rows = list(csv.DictReader(io.StringIO(cells_csv(hostile), newline="")))
    assert len(rows) == 74
    assert {row["series"] for row in rows} == {*HOSTILE[:5], HOSTILE[7]}
    assert "\ud800" not in rows[-2]["error"]


def test_markdown_of_a_study_without_results(nothing: Findings, bare: Findings) -> None:
    assert "| Variant |" not in markdown(nothing)
    assert "one budget is no curve" in markdown(bare)
