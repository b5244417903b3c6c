"""Charts: their rows and marks, and the files that are drawn."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from kit.analysis.findings import Findings
from kit.measurement.intervals import Estimate
from kit.reporting.chart_data import choice_rows, curve_rows, envelope, ladder_rows, seed_rows, set_aside
from kit.reporting.charts import all_charts, frontier, learning_curves, size_ladder
from kit.reporting.names import short_names
from kit.reporting.predictions import needed, targets
from kit.reporting.theme import DARK, LIGHT, SHAPES, Palette, vega_config
from kit.reporting.write import pictures, write_report
from tests.reporting.conftest import BUDGETS


def _rows(spec: dict[str, Any], mark: str) -> list[dict[str, Any]]:
    """Return the rows of all layers with this mark."""
    rows: list[dict[str, Any]] = []
    for layer in spec["layer"]:
        if layer["mark"]["type"] == mark:
            rows += spec["datasets"][layer["data"]["name"]] if "name" in layer["data"] else layer["data"]["values"]
    return rows


def test_curves_show_every_seed_and_mark_flagged_seeds(findings: Findings) -> None:
    chart = learning_curves(findings)
    assert chart is not None
    spec = chart.to_dict()
    assert len(_rows(spec, "circle")) == 6 * 4 * 3 - 2
    crosses = [row for row in _rows(spec, "point") if "flagged" in row]
    assert [(row["series"], row["shown"]) for row in crosses] == [
        ("finetune minilm", "52.0 %"),
        ("finetune mpnet", "52.0 %"),
    ]


def test_curves_end_at_eight_times_the_largest_budget(findings: Findings) -> None:
    rows = curve_rows(findings.series[0], "accuracy")
    ahead = [row["x"] for row in rows if row["ahead"]]
    assert (min(ahead), max(ahead)) == (800, 6400)
    assert min(row["x"] for row in rows) == 100
    chart = learning_curves(findings)
    assert chart is not None
    dotted = [layer for layer in chart.to_dict()["layer"] if layer["encoding"].get("strokeDash") == {"value": [1, 5]}]
    assert len(dotted) == 1
    assert dotted[0]["encoding"]["x"]["scale"]["type"] == "log"


def test_curves_show_the_metric_not_the_error(findings: Findings) -> None:
    series = findings.series[0]
    assert series.fit is not None
    row = next(row for row in curve_rows(series, "accuracy") if row["x"] == 800)
    error = series.fit.predict(800)
    assert (row["y"], row["low"], row["high"]) == (1 - error.value, 1 - error.high, 1 - error.low)
    assert row["low"] <= row["y"] <= row["high"]


def test_means_are_connected_without_a_fit(findings: Findings) -> None:
    rows = curve_rows(findings.series[4], "accuracy")
    assert [row["x"] for row in rows] == list(BUDGETS)
    assert not any(row["ahead"] or row["fitted"] for row in rows)


def test_fitted_curve_has_a_fixed_number_of_points(findings: Findings) -> None:
    assert len(curve_rows(findings.series[0], "accuracy")) == 2 * 40


def test_series_are_moved_within_the_documented_share() -> None:
    for count in (1, 2, 6, 40):
        aside = [set_aside(index, count) for index in range(count)]
        assert max(aside) - min(aside) <= 0.05
        assert sum(aside) == pytest.approx(0)
        assert aside == sorted(set(aside))


def test_all_series_look_different(findings: Findings) -> None:
    looks = {(index % len(LIGHT.series), SHAPES[index % len(SHAPES)]) for index in range(56)}
    assert len(looks) == 56


def test_ladder_needs_two_sizes(findings: Findings) -> None:
    chart = size_ladder(findings)
    assert chart is not None
    assert len(_rows(chart.to_dict(), "point")) == 5 * 4
    small = tuple(series for series in findings.series if series.checkpoint != "mpnet")
    assert size_ladder(replace(findings, series=small)) is None


def test_ladder_uses_bytes_without_parameters(findings: Findings) -> None:
    unknown = tuple(replace(series, parameters=0) for series in findings.series)
    assert {row["size"] for row in ladder_rows(replace(findings, series=unknown))} == {90_800_000, 436_000_000}
    lost = tuple(replace(series, model_bytes=None) for series in unknown)
    assert ladder_rows(replace(findings, series=lost)) == []


def test_frontier_needs_latency_and_marks_dominated_choices(findings: Findings) -> None:
    chart = frontier(findings)
    assert chart is not None
    points = _rows(chart.to_dict(), "point")
    assert len(points) == 24
    assert sum(row["dominated"] for row in points) == sum(choice.dominated for choice in findings.frontier) > 0
    untimed = tuple(replace(choice, latency_ms=None) for choice in findings.frontier)
    assert frontier(replace(findings, frontier=untimed)) is None


def test_best_metric_within_latency_only_rises() -> None:
    rows = [{"x": x, "y": y} for x, y in ((3, 0.5), (1, 0.6), (2, 0.55), (4, 0.9), (1, 0.4), (5, 0.9))]
    assert envelope(rows) == [{"x": 1, "y": 0.6}, {"x": 4, "y": 0.9}]


def test_dots_show_model_size_with_a_single_budget(findings: Findings) -> None:
    one = replace(findings, frontier=tuple(choice for choice in findings.frontier if choice.budget == 800))
    assert {row["weight"] for row in choice_rows(one)} == {90.8, 436.0, 0.164}
    assert {row["weight"] for row in choice_rows(findings)} == set(BUDGETS)


@pytest.mark.parametrize("budgets", [BUDGETS[:1], BUDGETS[:2], BUDGETS])
def test_size_legend_has_one_entry_per_budget(findings: Findings, budgets: Sequence[int]) -> None:
    choices = tuple(choice for choice in findings.frontier if choice.budget in budgets)
    chart = frontier(replace(findings, frontier=choices))
    assert chart is not None
    sizes = [layer["encoding"]["size"] for layer in chart.to_dict()["layer"] if "size" in layer["encoding"]]
    values = sizes[0]["legend"]["values"]
    assert len(values) == len(set(values))
    assert len(budgets) == 1 or values == list(budgets)


def test_names_of_users_are_not_fields(hostile: Findings) -> None:
    for name, chart in all_charts(hostile).items():
        text = json.dumps(chart.to_dict()["layer"])
        fields = set(re.findall(r'"field": "([^"]*)"', text))
        assert fields <= {
            "x", "y", "low", "high", "series", "method", "checkpoint", "labels", "shown", "seed", "seeds", "flag",
            "note", "name", "weight", "latency", "saved", "verdict",
        }, name  # fmt: skip
        assert "expr" not in text
        assert "pwned" not in json.dumps(chart.to_dict()["description"])


def test_mcc_is_not_a_percentage(findings: Findings) -> None:
    chart = learning_curves(replace(findings, metric="mcc"))
    assert chart is not None
    spec = chart.to_dict()
    assert not any("%" in row["shown"] for row in _rows(spec, "circle"))
    assert all(
        layer["encoding"]["y"]["axis"]["format"] == ".2f"
        for layer in spec["layer"]
        if "axis" in layer["encoding"].get("y", {})
    )


def _wide(findings: Findings) -> Findings:
    """Return the study with one interval from 0 to 1."""
    first = findings.series[0]
    point = replace(first.points[0], estimate=Estimate(0.66, 0.0, 1.0))
    choices = (replace(findings.frontier[0], low=0.0, high=1.0, dominated=False), *findings.frontier[1:])
    series = (replace(first, points=(point, *first.points[1:])), *findings.series[1:])
    return replace(findings, series=series, frontier=choices)


@pytest.mark.parametrize("draw", [learning_curves, size_ladder, frontier])
def test_one_wide_interval_does_not_stretch_the_axis(findings: Findings, draw: Callable[..., Any]) -> None:
    usual, wide = (draw(study).to_dict() for study in (findings, _wide(findings)))

    def span(spec: dict[str, Any]) -> float:
        low, high = next(
            layer["encoding"]["y"]["scale"]["domain"] for layer in spec["layer"] if layer["mark"]["type"] == "point"
        )
        return float(high - low)

    assert span(wide) < 1.35 * span(usual) < 0.9
    arrows = [layer["mark"]["text"] for layer in wide["layer"] if layer["mark"].get("text")]
    assert "▼" in arrows
    assert not [layer for layer in usual["layer"] if layer["mark"].get("text") == "▼"]


def test_shortened_names_are_different(findings: Findings) -> None:
    long = "sentence-transformers/paraphrase-multilingual-MiniLM"
    names = {"minilm": f"{long}-L12-v2", "mpnet": f"{long}-L24-v2"}
    series = tuple(
        replace(original, checkpoint=name, name=f"{original.method} {name}")
        for original in findings.series
        if (name := names.get(original.checkpoint or ""))
    )
    for chart in (learning_curves, size_ladder):
        spec = chart(replace(findings, series=series)).to_dict()  # type: ignore[union-attr]
        rows = [*_rows(spec, "point"), *_rows(spec, "text")]
        shown = {row["series"] for row in rows if "shown" in row} if chart is learning_curves else set()
        shown |= {row["name"] for row in rows if "x" in row and "series" not in row and "name" in row}
        assert len(shown) == (5 if chart is learning_curves else 2)
        assert all(len(name) <= 26 for name in shown)


def test_names_that_differ_in_their_middle_get_numbers() -> None:
    names = [f"{'a' * 30}{letter}{'b' * 30}" for letter in "xyz"]
    short = short_names(names, 20)
    assert len(set(short.values())) == 3
    assert max(map(len, short.values())) <= 20
    assert short_names(["tfidf", "probe"], 20) == {"tfidf": "tfidf", "probe": "probe"}


def test_study_without_results_has_no_charts(nothing: Findings, bare: Findings) -> None:
    assert all_charts(nothing) == {}
    assert list(all_charts(bare)) == ["curves"]
    assert seed_rows(bare.series[0], "accuracy")


def test_targets_are_round_and_above_the_best(findings: Findings) -> None:
    best = max(point.estimate.value for series in findings.series for point in series.points)
    values = targets(findings)
    assert best < values[0] <= best + 0.02
    assert [round(b - a, 6) for a, b in pairwise(values)] == [0.02] * 3
    assert all(target < 1 for target in targets(_better(findings)))


def _better(findings: Findings) -> Findings:
    """Return the study with an almost perfect first method."""
    first = findings.series[0]
    last = replace(first.points[-1], estimate=Estimate(0.995, 0.99, 1.0))
    return replace(findings, series=(replace(first, points=(*first.points[:-1], last)), *findings.series[1:]))


def test_unreachable_targets_need_more_labels_than_the_limit(findings: Findings) -> None:
    table = needed(findings)
    scratch = next(row for row in table.rows if row[0].text == "scratch minilm")
    assert [(cell.text, cell.note) for cell in scratch[2:]] == [("more than 6,400", "interval starts at 6,400")] * 4


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_text_has_contrast(palette: Palette) -> None:
    for ground in (palette.page, palette.panel):
        for name in ("text", "muted", "accent", "bad"):
            assert _contrast(getattr(palette, name), ground) >= 4.5, (name, ground)
    assert len(set(palette.series)) == len(palette.series)
    assert vega_config(palette)["background"] == palette.page


def _contrast(first: str, second: str) -> float:
    """Return the contrast ratio of two colours (WCAG 2.2)."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_report_has_all_files_and_no_old_charts(findings: Findings, bare: Findings, tmp_path: Path) -> None:
    paths = write_report(tmp_path / "report", findings)
    names = [str(path.relative_to(tmp_path / "report")) for path in paths]
    assert names == [
        "report.html", "report.md", "report.csv", "points.csv", "charts/curves.png", "charts/sizes.png",
        "charts/frontier.png",
    ]  # fmt: skip
    assert {path for path in (tmp_path / "report").rglob("*") if path.is_file()} == set(paths), "nothing is left over"
    for path in paths[4:]:
        picture = path.read_bytes()
        assert picture.startswith(b"\x89PNG")
        assert int.from_bytes(picture[16:20], "big") > 1400, "twice as many pixels as units"
    write_report(tmp_path / "report", bare)
    assert [path.name for path in (tmp_path / "report" / "charts").iterdir()] == ["curves.png"]


def test_charts_with_hostile_names_are_drawn(hostile: Findings) -> None:
    assert len(pictures(hostile)) == 3


def test_import_of_the_report_imports_no_drawing_library() -> None:
    heavy = ("altair", "vl_convert", "jinja2", "torch", "pandas")
    code = f"import sys, kit.reporting.write; print([name for name in {heavy} if name in sys.modules])"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert process.stdout.strip() == "[]"
