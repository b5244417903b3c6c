"""Frontier: the metric against the latency of every choice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import altair as alt

from kit.reporting.figures.drawing import Scale, clip_layers, log_scale, metric_scale, table, tips
from kit.reporting.figures.figure import Figure, panel
from kit.reporting.figures.rows import Rows, envelope, interval, rounded
from kit.reporting.formatting import between, title
from kit.runtime.characters import plain
from kit.runtime.quantities import megabytes

if TYPE_CHECKING:
    from kit.analysis.findings import Choice, Findings

_GREY = "#8a939b"  # visible on light and on dark backgrounds
_HEIGHT = 440
_AREAS = (40, 560)  # square pixels of the smallest and the largest model
_MAX_SIZES = 3  # in the legend
_READING = (
    "Further up is better and further left is faster: the dashed line connects the best choices within each latency, "
    "which have numbers and 95 % intervals, and hollow dots are dominated: another choice is at least as good in "
    "metric, latency, size and labels, and better in one of them."
)


def latency_frontier(findings: Findings) -> Figure | None:
    """Draw the metric against latency, with labels as colour and model size as area.

    A dashed line connects the best metric within each latency. Returns None if no latency was measured.
    """
    timed = [choice for choice in findings.frontier if choice.latency_ms]
    if not timed:
        return None
    rows = [_row(choice, findings.metric) for choice in timed]
    x = log_scale("Median latency per text, ms (log scale)", [row["x"] for row in rows], "~g")
    y = metric_scale(findings.metric, rows)
    best = envelope(rows)
    tooltip = tips(
        name="Variant", labels="Labels", shown=title(findings.metric), latency="Latency", saved="Saved model",
        verdict="Dominated",
    )  # fmt: skip
    color = _labels_color(timed)
    channels = {"x": x.x(), "y": y.y(), "color": color, "size": _area(rows), "tooltip": tooltip}
    stairs = table({"x": row["x"], "y": row["y"]} for row in best)
    bar = table(best).mark_rule(strokeWidth=1.5, opacity=0.7, clip=True)
    faint = [row for row in rows if row["dominated"]]
    full = [row for row in rows if not row["dominated"]]
    layers = [
        stairs.mark_line(interpolate="step-after", strokeWidth=1.5, strokeDash=[5, 4], stroke=_GREY).encode(
            x=x.x(), y=y.y()
        ),
        bar.encode(x=x.x(), y=y.y("low"), y2="high:Q", color=color),
        *clip_layers(best, x, y, color=color, tooltip=tooltip),
        table(faint).mark_point(filled=False, strokeWidth=1.3, opacity=0.7).encode(**channels),
        table(full).mark_point(filled=True, opacity=0.9).encode(**channels),
        _numbers(best, x, y),
    ]
    description = (
        f"Frontier: {title(findings.metric)} by latency of {len(rows)} choices, {len(full)} of which are not dominated "
        "by another choice. The numbers are in the tables below."
    )
    return Figure(
        name="frontier",
        heading="Frontier",
        title=f"{title(findings.metric)} by latency; colour: number of labels, area: size of the saved model",
        reading=_READING,
        panels=(panel(layers, description=description, height=_HEIGHT),),
        key=tuple(f"{row['name']}, {row['labels']} labels" for row in best),
    )


def _row(choice: Choice, metric: str) -> dict[str, Any]:
    size, latency = choice.model_bytes, f"{choice.latency_ms:.3g} ms"
    if choice.latency_interval is not None:
        latency += f" [{choice.latency_interval[0]:.3g}, {choice.latency_interval[1]:.3g}]"
    return {
        "name": plain(choice.series),
        "x": rounded(choice.latency_ms or 0.0),
        **interval(choice.metric, choice.low, choice.high),
        "weight": rounded((size or 0) / 1e6),
        "labels": f"{choice.budget:,}",
        "shown": between(metric, choice.metric, choice.low, high=choice.high),
        "latency": latency,
        "saved": "not kept" if size is None else megabytes(size),
        "dominated": choice.dominated,
        "verdict": "yes" if choice.dominated else "no",
    }


def _labels_color(choices: list[Choice]) -> alt.Color:
    budgets = [f"{budget:,}" for budget in sorted({choice.budget for choice in choices})]
    return alt.Color("labels:O", title="Labels", scale=alt.Scale(domain=budgets), legend=alt.Legend(columns=4))


def _area(rows: Rows) -> alt.Size:
    """Return the area of dots; the smallest area if no size differs."""
    sizes = sorted({row["weight"] for row in rows})
    scale = alt.Scale(type="sqrt", domain=[sizes[0], max(sizes[-1], sizes[0] + 1)], range=list(_AREAS), zero=False)
    if len(sizes) == 1:
        return alt.Size("weight:Q", scale=scale, legend=None)
    last = len(sizes) - 1
    shown = [sizes[round(index * last / (_MAX_SIZES - 1))] for index in range(_MAX_SIZES)]
    legend = alt.Legend(values=sorted(set(shown)), format=",.3~r", symbolType="circle", columns=_MAX_SIZES)
    return alt.Size("weight:Q", title="Saved model, MB", scale=scale, legend=legend)


def _numbers(best: Rows, x: Scale, y: Scale) -> Any:
    """Return a number beside each choice on the line."""
    rows = [{"x": row["x"], "y": row["y"], "number": str(number)} for number, row in enumerate(best, start=1)]
    number = table(rows).mark_text(dx=-9, dy=-9, fontWeight=600)
    return number.encode(x=x.x(), y=y.y(), text="number:N")
