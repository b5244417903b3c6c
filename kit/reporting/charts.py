"""Charts: the findings as pictures, one specification for the interactive page and for the PNG.

Knows findings and which marks show what. Knows nothing of pages, files or colours.
"""

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
from kit.reporting.formatting import plain, title
from kit.reporting.names import BESIDE, LEGEND, short_names

if TYPE_CHECKING:
    from kit.analysis.findings import Findings

_GREY = "#8a939b"  # seen on light and on dark ground
_MOST_NAMES = 5  # checkpoints whose names fit beside each other
_MOST_SIZES = 5  # sizes of dots that a legend shows


def all_charts(findings: Findings) -> dict[str, alt.LayerChart]:
    """Every chart that there is something to draw for, by the name of its section in the page."""
    makers: dict[str, Callable[[Findings], alt.LayerChart | None]] = {
        "curves": learning_curves,
        "sizes": size_ladder,
        "frontier": frontier,
    }
    drawn = {name: make(findings) for name, make in makers.items()}
    return {name: found for name, found in drawn.items() if found is not None}


def learning_curves(findings: Findings) -> alt.LayerChart | None:
    """Metric against labels: means with intervals, every seed, and the fitted curves, dotted where they predict.

    Series are set apart sideways by up to 2.5 % of the axis, so that their intervals do not hide each other. None if
    nothing was measured.
    """
    measured = [each for each in findings.series if each.points]
    if not measured:
        return None
    budgets = sorted({point.budget for each in measured for point in each.points})
    bought = budgets[-1]
    largest = max([bought, *(each.fit.largest for each in measured if each.fit)])
    ahead = [bought * times for times in (2, 4, 8) if bought * times <= largest * 1.001]
    x = log_scale("Labels bought (log scale)", [budgets[0], largest], ",", [*budgets, *ahead])
    means: Rows = []
    seeds: Rows = []
    curves: Rows = []
    for index, one in enumerate(measured):
        aside = math.exp(set_aside(index, len(measured)) * math.log(x.high / x.low))
        means += mean_rows(one, findings.metric, aside)
        seeds += seed_rows(one, findings.metric, aside)
        curves += curve_rows(one, findings.metric)
    short = short_names((plain(one.name) for one in measured), LEGEND)
    means, seeds, curves = (_named(rows, short) for rows in (means, seeds, curves))
    y = metric_scale(findings.metric, means, bands=curves, dots=[row["y"] for row in seeds])
    look = Look(list(short.values()))
    layers = [
        *(divide(bought, x) if largest > bought else []),
        *curve_layers(curves, x, y, look),
        *seed_layers(seeds, x, y, look),
        *mean_layers(means, x, y, look),
    ]
    return chart(
        layers,
        f"Learning curves: {title(findings.metric)} against the number of labels, {len(measured)} methods at "
        f"{len(budgets)} budgets from {budgets[0]:,} to {bought:,} labels. The numbers are in the table below.",
    )


def size_ladder(findings: Findings) -> alt.LayerChart | None:
    """Metric against the size of the checkpoint, a line for each method and budget; None for fewer than two sizes."""
    rows = ladder_rows(findings)
    if not rows:
        return None
    by_parameters = rows[0]["size"] in {each.parameters for each in findings.series}
    heading = "Parameters (log scale)" if by_parameters else "Bytes of the saved model (log scale)"
    short = short_names((row["checkpoint"] for row in rows), BESIDE)
    names = {row["size"]: short[row["checkpoint"]] for row in rows}
    x = log_scale(heading, [row["x"] for row in rows], ".3~s", sorted(names) if len(names) <= _MOST_NAMES else ())
    y = metric_scale(findings.metric, rows)
    budgets = [f"{budget:,}" for budget in sorted({row["budget"] for row in rows})]
    colour = alt.Color("labels:O", title="Labels", scale=alt.Scale(domain=budgets), legend=alt.Legend(columns=4))
    look = Look(list(dict.fromkeys(row["method"] for row in rows)), field="method")
    told = tips(method="Method", checkpoint="Checkpoint", labels="Labels", shown="Mean", seeds="Seeds")
    line = table(rows).mark_line(strokeWidth=1.5, opacity=0.8)
    bar = table(rows).mark_rule(strokeWidth=1.5, opacity=0.5, clip=True)
    dot = table(rows).mark_point(size=75, filled=True, opacity=1)
    layers = [
        line.encode(x=x.x(), y=y.y(), color=colour, strokeDash=look.dash, detail="labels:N"),
        bar.encode(x=x.x(), y=y.y("low"), y2="high:Q", color=colour),
        dot.encode(x=x.x(), y=y.y(), color=colour, shape=look.shape, tooltip=told),
        *clip_layers(rows, x, y, colour, told),
    ]
    if len(names) <= _MOST_NAMES:
        # In turns in two lines, as neighbours may be close.
        for index, (size, name) in enumerate(sorted(names.items())):
            text = table([{"x": size, "name": name}]).mark_text(baseline="bottom", dy=-2 - 14 * (index % 2))
            layers.append(text.encode(x=x.x(), y=alt.value(0), text="name:N"))
    return chart(
        layers,
        f"Size ladder: {title(findings.metric)} against the size of {len(names)} models at {len(budgets)} budgets. "
        "The numbers are in the table below.",
    )


def frontier(findings: Findings) -> alt.LayerChart | None:
    """Metric against latency: choices that none beats in everything are filled, the best within each latency connected.

    A dot is as large as the number of labels, or with one budget as the saved model. None if no latency was measured.
    """
    rows = choice_rows(findings)
    if not rows:
        return None
    x = log_scale("Median latency, ms (log scale)", [row["x"] for row in rows], "~g")
    y = metric_scale(findings.metric, rows)
    met = {row["series"] for row in rows}
    short = short_names((name for one in findings.series if (name := plain(one.name)) in met), LEGEND)
    rows, look = _named(rows, short), Look(list(short.values()))
    by_labels = weighs_labels([choice for choice in findings.frontier if choice.latency_ms])
    weights = sorted({row["weight"] for row in rows})
    size = alt.Size(
        "weight:Q",
        title="Labels" if by_labels else "Saved model, MB",
        scale=alt.Scale(range=[45, 380], zero=False),
        legend=alt.Legend(values=_legend_sizes(weights), format=",.4~r"),
    )
    told = tips(
        name="Method", labels="Labels", shown=title(findings.metric), latency="Latency", saved="Saved model",
        said="Beaten in everything",
    )  # fmt: skip
    best = [row for row in rows if not row["beaten"]]
    stairs = table(envelope(rows)).mark_line(interpolate="step-after", strokeWidth=1.5, strokeDash=[5, 4], stroke=_GREY)
    bar = table(best).mark_rule(strokeWidth=1.5, opacity=0.6, clip=True)
    faint = table(row for row in rows if row["beaten"]).mark_point(filled=False, strokeWidth=1.2, opacity=0.6)
    full = table(best).mark_point(filled=True, opacity=0.95)
    place = {"x": x.x(), "y": y.y(), "color": look.color, "shape": look.shape, "size": size, "tooltip": told}
    layers = [
        stairs.encode(x=x.x(), y=y.y()),
        bar.encode(x=x.x(), y=y.y("low"), y2="high:Q", color=look.color),
        *clip_layers(best, x, y, look.color, told),
        faint.encode(**place),
        full.encode(**place),
    ]
    return chart(
        layers,
        f"Frontier: {title(findings.metric)} against latency of {len(rows)} choices, {len(best)} of which no other "
        "beats in everything. The numbers are in the table below.",
    )


def _legend_sizes(weights: Sequence[float]) -> list[float]:
    """Return sorted sizes for a legend: all that look different at four digits, or of many the ends and the middle."""
    sizes = list({f"{value:.4g}": value for value in weights}.values())
    if len(sizes) <= _MOST_SIZES:
        return sizes
    return [sizes[0], sizes[len(sizes) // 2], sizes[-1]]


def _named(rows: Rows, short: dict[str, str]) -> Rows:
    """Return rows whose series have a short name for the legend, and their whole name for what is shown on hovering."""
    return [row | {"name": row["series"], "series": short[row["series"]]} for row in rows]
