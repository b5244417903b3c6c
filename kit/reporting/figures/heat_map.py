"""Heat map: the metric of every variant at every number of labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import altair as alt

from kit.measurement.intervals import shown
from kit.measurement.units import OF_HUNDRED
from kit.reporting.figures.drawing import table, tips
from kit.reporting.figures.figure import Figure, panel
from kit.reporting.figures.grouping import by_kind
from kit.reporting.figures.rows import Rows, rounded
from kit.reporting.formatting import is_share, title
from kit.reporting.names import LEGEND, short_names
from kit.reporting.theme import HEAT, ON_DARK, ON_LIGHT
from kit.runtime.characters import plain

if TYPE_CHECKING:
    from kit.analysis.findings import Findings, Series
    from kit.analysis.points import Point

_ROW_HEIGHT = 22
_MAX_ROWS = 25  # in one panel
_DARK = 0.68  # share of the range of values from which cells are dark


def heat_map(findings: Findings) -> Figure | None:
    """Draw the mean of each variant at each budget as a coloured cell with its value.

    Returns None for fewer than two variants or two budgets, which a table shows as well.
    """
    series = by_kind(one for one in findings.series if one.points)
    points = [point for one in series for point in one.points]
    budgets = sorted({point.budget for point in points})
    if len(series) < 2 or len(budgets) < 2:
        return None
    values = [point.estimate.value for point in points]
    ends = min(values), max(values)
    names = short_names((plain(one.name) for one in series), LEGEND)
    panels = []
    for part in _parts(series):
        rows = [
            _row(names[plain(one.name)], one, point, metric=findings.metric, ends=ends)
            for one in part
            for point in one.points
        ]
        panels.append(_panel(rows, [f"{budget:,}" for budget in budgets], ends=ends, count=len(part)))
    metric, unit = title(findings.metric), ", %" if is_share(findings.metric) else ""
    return Figure(
        name="heat-map",
        heading="All variants at all budgets",
        title=f"{metric}{unit}, of each variant (row) at each number of labels (column)",
        reading="A darker cell is a higher mean over seeds, and an empty cell was not measured; the table of means "
        "below has the intervals.",
        panels=tuple(panels),
    )


def _parts(series: Sequence[Series]) -> list[Sequence[Series]]:
    """Return parts of the series that fit into a panel, as equal as possible."""
    count = -(-len(series) // _MAX_ROWS)
    size = -(-len(series) // count)
    return [series[start : start + size] for start in range(0, len(series), size)]


def _row(name: str, one: Series, point: Point, metric: str, ends: tuple[float, float]) -> dict[str, object]:
    value = point.estimate.value
    hundred = is_share(metric) or metric in OF_HUNDRED
    share = (value - ends[0]) / (ends[1] - ends[0]) if ends[1] > ends[0] else 0.0
    return {
        "series": name,
        "name": plain(one.name),
        "labels": f"{point.budget:,}",
        "y": rounded(value),
        "text": f"{100 * value:.1f}" if hundred else f"{value:.3f}",
        "dark": share >= _DARK,
        "shown": shown(metric, point.estimate),
        "seeds": str(len(point.runs)),
    }


def _panel(rows: Rows, budgets: list[str], ends: tuple[float, float], count: int) -> alt.LayerChart:
    order = list(dict.fromkeys(row["series"] for row in rows))
    axis = alt.Axis(orient="top", labelAngle=0, labelOverlap="greedy", domain=False, ticks=False)
    x = alt.X("labels:O", title="Labels", sort=budgets, scale=alt.Scale(domain=budgets), axis=axis)
    y = alt.Y("series:N", title=None, sort=order, axis=alt.Axis(labelLimit=190, domain=False, ticks=False))
    colour = alt.Color("y:Q", scale=alt.Scale(domain=[ends[0], sum(ends) / 2, ends[1]], range=list(HEAT)), legend=None)
    tooltip = tips(name="Variant", labels="Labels", shown="Mean", seeds="Seeds")
    cells = table(rows).mark_rect(stroke="white", strokeWidth=1).encode(x=x, y=y, color=colour, tooltip=tooltip)
    texts = [
        table(row for row in rows if row["dark"] is dark)
        .mark_text(baseline="middle", fill=ON_DARK if dark else ON_LIGHT)
        .encode(x=x, y=y, text="text:N", tooltip=tooltip)
        for dark in (False, True)
        if any(row["dark"] is dark for row in rows)
    ]
    description = "Heat map of the means. The numbers are in the table of means."
    return panel([cells, *texts], description=description, height=_ROW_HEIGHT * count)
