"""Learning curves: the metric against the number of labels."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import altair as alt

from kit.reporting.figures.direct_labels import end_labels, height_for
from kit.reporting.figures.drawing import (
    MAX_BANDS,
    Look,
    Scale,
    curve_layers,
    divide,
    log_scale,
    mean_layers,
    metric_scale,
    seed_layers,
)
from kit.reporting.figures.figure import Figure, panel
from kit.reporting.figures.grouping import Group, grouped
from kit.reporting.figures.rows import Rows, curve_rows, mean_rows, seed_rows, set_aside
from kit.reporting.formatting import title

if TYPE_CHECKING:
    from kit.analysis.findings import Findings

_HEIGHT, _PANEL_HEIGHT = 420, 300
_READING = (
    "Higher is better: marks are means over seeds with 95 % intervals, faint dots are single seeds, crosses are seeds "
    "that failed to train, and lines are fitted learning curves, dotted where they predict. ▲ and ▼ mark intervals "
    "that extend beyond the axis."
)


@dataclass(frozen=True)
class _Lines:
    """Rows of one panel."""

    group: Group
    means: Rows = field(default_factory=list)
    seeds: Rows = field(default_factory=list)
    curves: Rows = field(default_factory=list)


def learning_curves(findings: Findings) -> Figure | None:
    """Draw the metric against labels: means with intervals, seeds, and fitted curves.

    Returns None if nothing was measured.
    """
    measured = [series for series in findings.series if series.points]
    if not measured:
        return None
    budgets = sorted({point.budget for series in measured for point in series.points})
    largest = max([budgets[-1], *(series.fit.largest for series in measured if series.fit)])
    x = _labels_axis(budgets, largest)
    parts = [_lines(group, findings.metric, x) for group in grouped(measured)]
    y = metric_scale(
        findings.metric,
        [row for part in parts for row in part.means],
        bands=[row for part in parts for row in part.curves if "low" in row],
        dots=[row["y"] for part in parts for row in (*part.seeds, *part.curves)],
    )
    metric = title(findings.metric)
    return Figure(
        name="curves",
        heading="Learning curves",
        title=f"{metric} by number of labels",
        reading=_READING,
        panels=tuple(_panel(part, x, y, bought=budgets[-1] if largest > budgets[-1] else None) for part in parts),
    )


def _labels_axis(budgets: list[int], largest: float) -> Scale:
    """Return the axis of labels, with a tick at each budget and predicted doubling."""
    ahead = [budgets[-1] * times for times in (2, 4, 8) if budgets[-1] * times <= largest * 1.001]
    return log_scale("Labels (log scale)", [budgets[0], largest], ",", ticks=[*budgets, *ahead])


def _lines(group: Group, metric: str, x: Scale) -> _Lines:
    lines, banded = _Lines(group), len(group.members) <= MAX_BANDS
    for index, (label, series) in enumerate(group.members.items()):
        aside = math.exp(set_aside(index, len(group.members)) * math.log(x.high / x.low))
        lines.means.extend(mean_rows(label, series, metric, aside=aside))
        lines.seeds.extend(seed_rows(label, series, metric, aside=aside))
        lines.curves.extend(curve_rows(label, series, metric, banded=banded))
    return lines


def _panel(lines: _Lines, x: Scale, y: Scale, bought: int | None) -> alt.LayerChart:
    """Return a panel. bought: Budget beyond which curves predict; None without predictions."""
    group = lines.group
    look = Look(group.labels)
    height = height_for(len(group.members), _PANEL_HEIGHT if group.title else _HEIGHT)
    ends = list({row["series"]: row for row in lines.curves}.values())
    layers = [
        *(divide(bought, x) if bought is not None else []),
        *curve_layers(lines.curves, x, y, look=look),
        *seed_layers(lines.seeds, x, y, look=look),
        *mean_layers(lines.means, x, y, look=look, shown="Mean", seeds="Seeds"),
        *end_labels(ends, x, y, height=height, look=look),
    ]
    description = f"Learning curves{f' of {group.title}' if group.title else ''}. The numbers are in the tables below."
    return panel(layers, group.title, description=description, height=height)
