"""Charts of the findings; one specification serves the interactive page and the PNG files."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import altair as alt

from kit.reporting.chart_data import (
    Rows,
    choice_rows,
    curve_rows,
    envelope,
    ladder_rows,
    mean_rows,
    seed_rows,
    set_aside,
    weighs_labels,
)
from kit.reporting.drawing import (
    Look,
    chart,
    clip_layers,
    curve_layers,
    divide,
    log_scale,
    mean_layers,
    metric_scale,
    seed_layers,
    table,
    tips,
)
from kit.reporting.formatting import title
from kit.reporting.names import BESIDE, LEGEND, short_names
from kit.runtime.characters import plain

if TYPE_CHECKING:
    from kit.analysis.findings import Findings

_GREY = "#8a939b"  # visible on light and on dark backgrounds
_MAX_NAMES = 5  # checkpoints whose names fit beside each other
_MAX_LEGEND_SIZES = 5  # sizes of dots in a legend


def all_charts(findings: Findings) -> dict[str, alt.LayerChart]:
    """Return the charts that have data, by name of their section on the page."""
    makers: dict[str, Callable[[Findings], alt.LayerChart | None]] = {
        "curves": learning_curves,
        "sizes": size_ladder,
        "frontier": frontier,
    }
    charts = {name: make(findings) for name, make in makers.items()}
    return {name: drawn for name, drawn in charts.items() if drawn is not None}


def learning_curves(findings: Findings) -> alt.LayerChart | None:
    """Draw the metric against labels: means with intervals, seeds, and fitted curves, dotted where they predict.

    Series are moved sideways by up to 2.5 % of the axis, so that their intervals do not cover each other. Returns None
    if nothing was measured.
    """
    measured = [series for series in findings.series if series.points]
    if not measured:
        return None
    budgets = sorted({point.budget for series in measured for point in series.points})
    bought = budgets[-1]
    largest = max([bought, *(series.fit.largest for series in measured if series.fit)])
    ahead = [bought * times for times in (2, 4, 8) if bought * times <= largest * 1.001]
    x = log_scale("Labels (log scale)", [budgets[0], largest], ",", ticks=[*budgets, *ahead])
    means: Rows = []
    seeds: Rows = []
    curves: Rows = []
    for index, series in enumerate(measured):
        aside = math.exp(set_aside(index, len(measured)) * math.log(x.high / x.low))
        means += mean_rows(series, findings.metric, aside)
        seeds += seed_rows(series, findings.metric, aside)
        curves += curve_rows(series, findings.metric)
    short = short_names((plain(series.name) for series in measured), LEGEND)
    means, seeds, curves = (_named(rows, short) for rows in (means, seeds, curves))
    y = metric_scale(findings.metric, means, bands=curves, dots=[row["y"] for row in seeds])
    look = Look(list(short.values()))
    layers = [
        *(divide(bought, x) if largest > bought else []),
        *curve_layers(curves, x, y, look=look),
        *seed_layers(seeds, x, y, look=look),
        *mean_layers(means, x, y, look=look),
    ]
    return chart(
        layers,
        f"Learning curves: {title(findings.metric)} by number of labels, {len(measured)} methods at "
        f"{len(budgets)} budgets from {budgets[0]:,} to {bought:,} labels. The numbers are in the table below.",
    )


def size_ladder(findings: Findings) -> alt.LayerChart | None:
    """Draw the metric against the size of the checkpoint, a line per method and budget.

    Returns None for fewer than two sizes.
    """
    rows = ladder_rows(findings)
    if not rows:
        return None
    by_parameters = rows[0]["size"] in {series.parameters for series in findings.series}
    heading = "Parameters (log scale)" if by_parameters else "Bytes of the saved model (log scale)"
    short = short_names((row["checkpoint"] for row in rows), BESIDE)
    names = {row["size"]: short[row["checkpoint"]] for row in rows}
    x = log_scale(heading, [row["x"] for row in rows], ".3~s", ticks=sorted(names) if len(names) <= _MAX_NAMES else ())
    y = metric_scale(findings.metric, rows)
    budgets = [f"{budget:,}" for budget in sorted({row["budget"] for row in rows})]
    colour = alt.Color("labels:O", title="Labels", scale=alt.Scale(domain=budgets), legend=alt.Legend(columns=4))
    look = Look(list(dict.fromkeys(row["method"] for row in rows)), field="method")
    tooltip = tips(method="Method", checkpoint="Checkpoint", labels="Labels", shown="Mean", seeds="Seeds")
    line = table(rows).mark_line(strokeWidth=1.5, opacity=0.8)
    bar = table(rows).mark_rule(strokeWidth=1.5, opacity=0.5, clip=True)
    dot = table(rows).mark_point(size=75, filled=True, opacity=1)
    layers = [
        line.encode(x=x.x(), y=y.y(), color=colour, strokeDash=look.dash, detail="labels:N"),
        bar.encode(x=x.x(), y=y.y("low"), y2="high:Q", color=colour),
        dot.encode(x=x.x(), y=y.y(), color=colour, shape=look.shape, tooltip=tooltip),
        *clip_layers(rows, x, y, color=colour, tooltip=tooltip),
    ]
    if len(names) <= _MAX_NAMES:
        # Names alternate between two lines, as neighbouring sizes may be close.
        for index, (size, name) in enumerate(sorted(names.items())):
            text = table([{"x": size, "name": name}]).mark_text(baseline="bottom", dy=-2 - 14 * (index % 2))
            layers.append(text.encode(x=x.x(), y=alt.value(0), text="name:N"))
    return chart(
        layers,
        f"Size ladder: {title(findings.metric)} by size of {len(names)} models at {len(budgets)} budgets. "
        "The numbers are in the table below.",
    )


def frontier(findings: Findings) -> alt.LayerChart | None:
    """Draw the metric against latency, with filled dots for choices that are not dominated.

    A dashed line connects the best metric within each latency. The area of a dot shows the number of labels, or with
    one budget the size of the saved model. Returns None if no latency was measured.
    """
    rows = choice_rows(findings)
    if not rows:
        return None
    x = log_scale("Median latency, ms (log scale)", [row["x"] for row in rows], "~g")
    y = metric_scale(findings.metric, rows)
    present = {row["series"] for row in rows}
    names = (plain(series.name) for series in findings.series)
    short = short_names((name for name in names if name in present), LEGEND)
    rows, look = _named(rows, short), Look(list(short.values()))
    by_labels = weighs_labels([choice for choice in findings.frontier if choice.latency_ms])
    weights = sorted({row["weight"] for row in rows})
    size = alt.Size(
        "weight:Q",
        title="Labels" if by_labels else "Saved model, MB",
        scale=alt.Scale(range=[45, 380], zero=False),
        legend=alt.Legend(values=_legend_sizes(weights), format=",.4~r"),
    )
    tooltip = tips(
        name="Method", labels="Labels", shown=title(findings.metric), latency="Latency", saved="Saved model",
        verdict="Dominated",
    )  # fmt: skip
    best = [row for row in rows if not row["dominated"]]
    stairs = table(envelope(rows)).mark_line(interpolate="step-after", strokeWidth=1.5, strokeDash=[5, 4], stroke=_GREY)
    bar = table(best).mark_rule(strokeWidth=1.5, opacity=0.6, clip=True)
    faint = table(row for row in rows if row["dominated"]).mark_point(filled=False, strokeWidth=1.2, opacity=0.6)
    full = table(best).mark_point(filled=True, opacity=0.95)
    channels = {"x": x.x(), "y": y.y(), "color": look.color, "shape": look.shape, "size": size, "tooltip": tooltip}
    layers = [
        stairs.encode(x=x.x(), y=y.y()),
        bar.encode(x=x.x(), y=y.y("low"), y2="high:Q", color=look.color),
        *clip_layers(best, x, y, color=look.color, tooltip=tooltip),
        faint.encode(**channels),
        full.encode(**channels),
    ]
    return chart(
        layers,
        f"Frontier: {title(findings.metric)} by latency of {len(rows)} choices, {len(best)} of which are not "
        "dominated by another choice. The numbers are in the table below.",
    )


def _legend_sizes(weights: Sequence[float]) -> list[float]:
    """Return sorted sizes for a legend: all that differ in four digits, or the ends and the middle of many."""
    sizes = list({f"{value:.4g}": value for value in weights}.values())
    if len(sizes) <= _MAX_LEGEND_SIZES:
        return sizes
    return [sizes[0], sizes[len(sizes) // 2], sizes[-1]]


def _named(rows: Rows, short: dict[str, str]) -> Rows:
    """Return rows with a short name of the series for the legend, and the full name for tooltips."""
    return [row | {"name": row["series"], "series": short[row["series"]]} for row in rows]
