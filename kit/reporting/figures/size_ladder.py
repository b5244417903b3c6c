"""Size ladder: the metric against the size of the models, a panel per number of labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import altair as alt

from kit.reporting.figures.direct_labels import end_labels, height_for, spread_out
from kit.reporting.figures.drawing import Look, Scale, log_scale, mean_layers, metric_scale, table
from kit.reporting.figures.figure import Figure, panel
from kit.reporting.figures.grouping import by_kind, checkpoint_of, variant_of
from kit.reporting.figures.rows import Rows, mean_row, rounded, set_aside
from kit.reporting.formatting import title
from kit.reporting.names import BESIDE, LEGEND, short_names
from kit.runtime.quantities import megabytes

if TYPE_CHECKING:
    from kit.analysis.findings import Findings, Series

_HEIGHT = 300
_LINES = (
    "Each line is one variant over its checkpoints: where it rises, larger checkpoints are better with this many "
    "labels. A mark is the mean over seeds with its 95 % interval; names of checkpoints are above their largest models."
)
_MARKS = "Further up is better and further left is smaller: a mark is the mean over seeds with its 95 % interval."
_NAME_WIDTH, _NARROW = 17, 180  # pixels of a slanted name, and of the plot on a phone


def size_ladder(findings: Findings) -> Figure | None:
    """Draw the metric against the size of the models, a panel per budget.

    Returns None for fewer than two sizes.
    """
    rows, by_parameters = ladder_rows(findings)
    if not rows:
        return None
    heading = "Parameters (log scale)" if by_parameters else "Bytes of the saved model (log scale)"
    x = log_scale(heading, [row["x"] for row in rows], ".3~s")
    y = metric_scale(findings.metric, rows)
    labels = list(dict.fromkeys(row["series"] for row in rows))
    budgets = sorted({row["budget"] for row in rows})
    names = _names(rows, x, y)
    panels = [
        _panel([row for row in rows if row["budget"] == budget], x, y, labels=labels, names=names)
        for budget in budgets
    ]  # fmt: skip
    size = "number of parameters" if by_parameters else "size of the saved model"
    return Figure(
        name="sizes",
        heading="Size ladder",
        title=f"{title(findings.metric)} by {size}, for each number of labels",
        reading=_LINES if len({row["checkpoint"] for row in rows}) > 1 else _MARKS,
        panels=tuple(panels),
    )


def ladder_rows(findings: Findings) -> tuple[Rows, bool]:
    """Return the mean of each series at each budget by its size, and whether that is the number of parameters.

    Compressed models have as many parameters as their sources, so with them the size is that of the saved model. The
    result is empty for fewer than two sizes, or if one is unknown.
    """
    sized = by_kind(series for series in findings.series if series.checkpoint and series.points)
    stored = [float(series.model_bytes or 0) for series in sized]
    counted = [float(series.parameters or 0) for series in sized]
    compressed = any(series.steps for series in sized)
    by_parameters = all(counted) and not (compressed and all(stored))
    sizes = counted if by_parameters else stored
    if not all(sizes) or len(set(sizes)) < 2:
        return [], by_parameters
    variants = list(dict.fromkeys(variant_of(series) for series in sized))
    short = short_names(variants, LEGEND)
    width = math.log(max(sizes) / min(sizes))
    rows: Rows = []
    for series, size in zip(sized, sizes, strict=True):
        aside = math.exp(set_aside(variants.index(variant_of(series)), len(variants)) * width)
        for row in _means(short[variant_of(series)], series, findings.metric):
            amount = f"{size:,.0f} parameters" if by_parameters else megabytes(int(size))
            rows.append(row | {"x": rounded(size * aside), "size": size, "amount": amount})
    return rows, by_parameters


def _means(label: str, series: Series, metric: str) -> Rows:
    checkpoint = checkpoint_of(series)
    return [
        mean_row(label, series, point, metric=metric) | {"checkpoint": checkpoint, "budget": point.budget}
        for point in series.points
    ]


def _panel(rows: Rows, x: Scale, y: Scale, *, labels: Sequence[str], names: list[Any]) -> alt.LayerChart:
    look, count = Look(labels), f"{rows[0]['labels']} labels"
    ordered = sorted(rows, key=lambda row: float(row["size"]))
    ends = list({row["series"]: row for row in ordered}.values())
    height = height_for(len(ends), _HEIGHT)
    line = table(rows).mark_line(strokeWidth=1.5, opacity=0.8, clip=True)
    headings = {"checkpoint": "Checkpoint", "amount": "Size", "shown": "Mean", "seeds": "Seeds"}
    layers = [
        line.encode(x=x.x(), y=y.y(), color=look.color, strokeDash=look.dash),
        *mean_layers(rows, x, y, look=look, **headings),
        *end_labels(ends, x, y, height=height, look=look),
        *names,
    ]
    return panel(
        layers, count, description=f"Size ladder at {count}. The numbers are in a table below.", height=height
    )  # fmt: skip


def _names(rows: Rows, x: Scale, y: Scale) -> list[Any]:
    """Return the names of checkpoints above the plot, if there is room."""
    largest: dict[str, float] = {}
    for row in rows:
        largest[row["checkpoint"]] = max(largest.get(row["checkpoint"], 0.0), row["size"])
    width = math.log(x.high / x.low)
    gap = _NAME_WIDTH / _NARROW * width
    if not 1 < len(largest) <= width / gap:
        return []
    short = short_names(largest, BESIDE)
    ends = math.log(x.low), math.log(x.high)
    places = spread_out([math.log(size) for size in largest.values()], gap, *ends)
    texts = [
        {"x": rounded(math.exp(place)), "text": short[name]}
        for place, name in zip(places, largest, strict=True)
    ]  # fmt: skip
    text = table(texts).mark_text(angle=315, align="left", baseline="middle", dx=6)
    return [text.encode(x=x.x(), y=alt.value(0), text="text:N")]
