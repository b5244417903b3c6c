"""Figures: their rows and marks, and the files that are drawn."""

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

from kit.analysis.findings import Findings, Series
from kit.measurement.intervals import Estimate
from kit.reporting.figures.compression_cost import compression_cost
from kit.reporting.figures.direct_labels import LINE_HEIGHT, spread_out
from kit.reporting.figures.every import all_figures
from kit.reporting.figures.figure import Figure
from kit.reporting.figures.grouping import MAX_LINES, grouped
from kit.reporting.figures.heat_map import heat_map
from kit.reporting.figures.latency_frontier import latency_frontier
from kit.reporting.figures.learning_curves import learning_curves
from kit.reporting.figures.rows import curve_rows, envelope, seed_rows, set_aside
from kit.reporting.figures.size_ladder import ladder_rows, size_ladder
from kit.reporting.names import short_names
from kit.reporting.predictions import needed, targets
from kit.reporting.theme import DARK, LIGHT, SHAPES, Palette, vega_config
from kit.reporting.write import pictures, write_report
from tests.reporting.conftest import BUDGETS


def _specs(figure: Figure | None) -> list[dict[str, Any]]:
    """Return the specifications of the panels."""
    assert figure is not None
    return figure.specs()


def _rows(figure: Figure | None, mark: str) -> list[dict[str, Any]]:
    """Return the rows of all layers with this mark in all panels."""
    return [
        row
        for spec in _specs(figure)
        for layer in spec["layer"]
        if layer["mark"]["type"] == mark
        for row in spec["datasets"][layer["data"]["name"]]
    ]


def _labels(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of the names right of the plot."""
    layer = next(
        layer for layer in spec["layer"]
        if layer["mark"]["type"] == "text" and layer["encoding"]["x"] == {"value": "width"}
    )  # fmt: skip
    rows: list[dict[str, Any]] = spec["datasets"][layer["data"]["name"]]
    return rows


def test_curves_show_every_seed_and_mark_flagged_seeds(findings: Findings) -> None:
    figure = learning_curves(findings)
    assert len(_rows(figure, "circle")) == 6 * 4 * 3 - 2
    crosses = [row for row in _rows(figure, "point") if "flag" in row]
    assert [(row["series"], row["shown"]) for row in crosses] == [
        ("finetune minilm", "52.0 %"),
        ("finetune mpnet", "52.0 %"),
    ]


def test_curves_end_at_eight_times_the_largest_budget(findings: Findings) -> None:
    rows = curve_rows("a", findings.series[0], "accuracy")
    ahead = [row["x"] for row in rows if row["ahead"]]
    assert (min(ahead), max(ahead)) == (800, 6400)
    assert min(row["x"] for row in rows) == 100
    (spec,) = _specs(learning_curves(findings))
    dotted = [layer for layer in spec["layer"] if layer["encoding"].get("strokeDash") == {"value": [1, 5]}]
    assert len(dotted) == 1
    assert dotted[0]["encoding"]["x"]["scale"]["type"] == "log"


def test_curves_show_the_metric_not_the_error(findings: Findings) -> None:
    series = findings.series[0]
    assert series.fit is not None
    row = next(row for row in curve_rows("a", series, "accuracy") if row["x"] == 800)
    error = series.fit.predict(800)
    assert [row["y"], row["low"], row["high"]] == pytest.approx(
        [1 - error.value, 1 - error.high, 1 - error.low], rel=1e-4
    )
    assert row["low"] <= row["y"] <= row["high"]


def test_means_are_connected_without_a_fit(findings: Findings) -> None:
    rows = curve_rows("a", findings.series[4], "accuracy")
    assert [row["x"] for row in rows] == list(BUDGETS)
    assert not any(row["ahead"] or "low" in row for row in rows)


def test_curves_have_a_point_at_every_budget(findings: Findings) -> None:
    rows = curve_rows("a", findings.series[0], "accuracy", banded=False)
    assert {100, 200, 400, 800} <= {row["x"] for row in rows}
    assert len(rows) <= 2 * 20 + 2
    assert not any("low" in row for row in rows)


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
    figure = size_ladder(findings)
    assert figure is not None
    assert len(figure.panels) == 4
    assert sum("size" in row for row in _rows(figure, "point")) == 5 * 4
    small = tuple(series for series in findings.series if series.checkpoint != "mpnet")
    assert size_ladder(replace(findings, series=small)) is None


def test_ladder_uses_bytes_without_parameters_or_for_compressed(findings: Findings) -> None:
    def sizes(series: Sequence[Series]) -> set[float]:
        return {row["size"] for row in ladder_rows(replace(findings, series=tuple(series)))[0]}

    assert sizes(findings.series) == {22_700_000, 109_000_000}
    unknown = tuple(replace(series, parameters=0) for series in findings.series)
    assert sizes(unknown) == {90_800_000, 436_000_000}
    small = replace(findings.series[0], steps=("int8-onnx",), model_bytes=23_000_000)
    assert sizes((*findings.series, small)) == {23_000_000, 90_800_000, 436_000_000}
    assert sizes([replace(series, model_bytes=None) for series in unknown]) == set()


def test_frontier_needs_latency_and_marks_dominated_choices(findings: Findings) -> None:
    figure = latency_frontier(findings)
    points = _rows(figure, "point")
    assert len(points) == 24
    assert sum(row["dominated"] for row in points) == sum(choice.dominated for choice in findings.frontier) > 0
    untimed = tuple(replace(choice, latency_ms=None) for choice in findings.frontier)
    assert latency_frontier(replace(findings, frontier=untimed)) is None


def test_frontier_names_every_choice_on_its_line(findings: Findings) -> None:
    figure = latency_frontier(findings)
    best = envelope([row for row in _rows(figure, "point") if "weight" in row])
    assert figure is not None
    assert figure.key == tuple(f"{row['name']}, {row['labels']} labels" for row in best)
    numbers = [row["number"] for row in _rows(figure, "text") if "number" in row]
    assert numbers == [str(number) for number in range(1, len(best) + 1)]
    assert [row["y"] for row in best] == sorted(row["y"] for row in best)


def test_best_metric_within_latency_only_rises() -> None:
    rows = [{"x": x, "y": y} for x, y in ((3, 0.5), (1, 0.6), (2, 0.55), (4, 0.9), (1, 0.4), (5, 0.9))]
    assert [(row["x"], row["y"]) for row in envelope(rows)] == [(1, 0.6), (4, 0.9)]


def test_area_is_the_size_and_colour_the_labels(findings: Findings) -> None:
    figure = latency_frontier(findings)
    assert {row["weight"] for row in _rows(figure, "point")} == {90.8, 436.0, 0.164}
    (spec,) = _specs(figure)
    points = [layer["encoding"] for layer in spec["layer"] if layer["mark"]["type"] == "point"]
    assert {encoding["size"]["field"] for encoding in points} == {"weight"}
    assert points[0]["color"]["scale"]["domain"] == [f"{budget:,}" for budget in BUDGETS]
    lost = tuple(replace(choice, model_bytes=None) for choice in findings.frontier)
    assert latency_frontier(replace(findings, frontier=lost)) is not None


def test_heat_map_has_the_value_of_every_mean(findings: Findings, bare: Findings) -> None:
    cells = _rows(heat_map(findings), "rect")
    shown = {(row["name"], row["labels"]): row["text"] for row in cells}
    assert shown == {
        (series.name, f"{point.budget:,}"): f"{100 * point.estimate.value:.1f}"
        for series in findings.series
        for point in series.points
    }
    assert {row["text"] for row in _rows(heat_map(findings), "text")} == set(shown.values())
    assert heat_map(bare) is None


def test_cost_of_compression_is_drawn_in_points(many: Findings, findings: Findings) -> None:
    assert compression_cost(findings) is None
    figure = compression_cost(many)
    assert figure is not None
    rows = [row for row in _rows(figure, "point") if "source" in row]
    assert len(rows) == 20 * 5
    first = many.against_sources[0].change.difference
    row = next(row for row in rows if row["name"] == many.against_sources[0].series)
    assert [row["y"], row["low"], row["high"]] == pytest.approx(
        [100 * first.value, 100 * first.low, 100 * first.high], rel=1e-4, abs=1e-9
    )
    for spec in figure.specs():
        assert {"y": 0} in [row for rows in spec["datasets"].values() for row in rows]


def test_names_of_users_are_not_fields(hostile: Findings) -> None:
    for figure in all_figures(hostile):
        for spec in figure.specs():
            text = json.dumps(spec["layer"])
            fields = set(re.findall(r'"field": "([^"]*)"', text))
            assert fields <= {
                "x", "y", "low", "high", "series", "method", "checkpoint", "labels", "shown", "seed", "seeds", "flag",
                "note", "name", "weight", "latency", "saved", "verdict", "place", "text", "number", "amount", "source",
                "same", "end",
            }, figure.name  # fmt: skip
            assert "expr" not in text
            assert "pwned" not in json.dumps(spec["description"])


def test_mcc_is_not_a_percentage(findings: Findings) -> None:
    figure = learning_curves(replace(findings, metric="mcc"))
    assert not any("%" in row["shown"] for row in _rows(figure, "circle"))
    assert all(
        layer["encoding"]["y"]["axis"]["format"] == ".2f"
        for layer in _specs(figure)[0]["layer"]
        if "axis" in layer["encoding"].get("y", {})
    )


def test_few_series_share_a_panel(findings: Findings) -> None:
    (group,) = grouped(findings.series)
    assert (group.title, list(group.members)) == ("", [series.name for series in findings.series])


def test_many_series_have_a_panel_per_variant(many: Findings) -> None:
    groups = grouped(many.series)
    titles = ["Controls: scratch", "Pretrained: finetune", "Students: student", "Compressed: int8"]
    assert [group.title for group in groups] == titles
    assert {len(group.members) for group in groups} == {10}
    assert len({group.labels for group in groups}) == 1, "a checkpoint has the same colour in every panel"
    one = tuple(replace(series, checkpoint="only", name=f"{i} {series.name}") for i, series in enumerate(many.series))
    parts = grouped(one)
    assert sum(len(group.members) for group in parts) == 40
    assert max(len(group.members) for group in parts) <= MAX_LINES
    assert [group.title for group in parts][:2] == ["Controls (1 of 2)", "Controls (2 of 2)"]


@pytest.mark.parametrize("draw", [learning_curves, size_ladder, compression_cost])
def test_labels_of_40_series_do_not_cover_each_other(many: Findings, draw: Callable[..., Figure]) -> None:
    for spec in draw(many).specs():
        low, high = next(
            layer["encoding"]["y"]["scale"]["domain"] for layer in spec["layer"] if layer["mark"]["type"] == "rule"
            and "scale" in layer["encoding"].get("y", {})
        )  # fmt: skip
        pixels = sorted((row["place"] - low) / (high - low) * spec["height"] for row in _labels(spec))
        assert min(b - a for a, b in pairwise(pixels)) >= LINE_HEIGHT - 0.01
        assert pixels[0] >= 0
        assert pixels[-1] <= spec["height"]


def test_labels_move_as_little_as_possible() -> None:
    assert spread_out([5.0, 1.0, 9.0], 1.0, 0, 10) == [5.0, 1.0, 9.0]
    assert spread_out([5.0, 5.0], 1.0, 0, 10) == [4.5, 5.5]
    assert spread_out([10.0, 10.0], 2.0, 0, 10) == [8.0, 10.0]
    assert spread_out([3.0, 3.0, 3.0], 5.0, 0, 6) == [0.0, 5.0, 10.0]


def _wide(findings: Findings) -> Findings:
    """Return the study with one interval from 0 to 1."""
    first = findings.series[0]
    point = replace(first.points[0], estimate=Estimate(0.66, 0.0, 1.0))
    best = max(findings.frontier, key=lambda choice: choice.metric)
    choices = tuple(replace(one, low=0.0, high=1.0) if one is best else one for one in findings.frontier)
    series = (replace(first, points=(point, *first.points[1:])), *findings.series[1:])
    return replace(findings, series=series, frontier=choices)


@pytest.mark.parametrize("draw", [learning_curves, size_ladder, latency_frontier])
def test_one_wide_interval_does_not_stretch_the_axis(findings: Findings, draw: Callable[..., Figure]) -> None:
    usual, wide = (draw(study).specs()[0] for study in (findings, _wide(findings)))

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
    study = replace(findings, series=series)
    shown = {row["series"] for row in _labels(_specs(learning_curves(study))[0])}
    assert len(shown) == 5
    checkpoints = {row["text"] for row in _rows(size_ladder(study), "text") if "text" in row}
    assert len(checkpoints) == 2
    assert all(len(name) <= 26 for name in shown | checkpoints)


def test_names_that_differ_in_their_middle_get_numbers() -> None:
    names = [f"{'a' * 30}{letter}{'b' * 30}" for letter in "xyz"]
    short = short_names(names, 20)
    assert len(set(short.values())) == 3
    assert max(map(len, short.values())) <= 20
    assert short_names(["tfidf", "probe"], 20) == {"tfidf": "tfidf", "probe": "probe"}


def test_study_without_results_has_no_charts(nothing: Findings, bare: Findings) -> None:
    assert all_figures(nothing) == []
    assert [figure.name for figure in all_figures(bare)] == ["curves"]
    assert seed_rows("a", bare.series[0], "accuracy")


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
        "report.html", "report.md", "report.csv", "points.csv", "comparisons.csv", "charts/curves.png",
        "charts/heat-map.png", "charts/frontier.png", "charts/sizes.png",
    ]  # fmt: skip
    assert {path for path in (tmp_path / "report").rglob("*") if path.is_file()} == set(paths), "nothing is left over"
    for path in paths[5:]:
        picture = path.read_bytes()
        assert picture.startswith(b"\x89PNG")
        assert int.from_bytes(picture[16:20], "big") > 1400, "twice as many pixels as units"
    write_report(tmp_path / "report", bare)
    assert [path.name for path in (tmp_path / "report" / "charts").iterdir()] == ["curves.png"]


def test_charts_with_hostile_names_are_drawn(hostile: Findings) -> None:
    assert len(pictures(all_figures(hostile))) == 4


def test_import_of_the_report_imports_no_drawing_library() -> None:
    heavy = ("altair", "vl_convert", "jinja2", "torch", "pandas")
    code = f"import sys, kit.reporting.write; print([name for name in {heavy} if name in sys.modules])"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert process.stdout.strip() == "[]"
