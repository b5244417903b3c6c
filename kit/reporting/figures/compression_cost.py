"""Cost of compression: the change of the metric against the source, by number of labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import altair as alt

from kit.measurement.units import NOT_SHARES
from kit.reporting.figures.direct_labels import end_labels, height_for
from kit.reporting.figures.drawing import Look, Scale, log_scale, mean_layers, table, value_range
from kit.reporting.figures.figure import Figure, panel
from kit.reporting.figures.grouping import Group, grouped
from kit.reporting.figures.rows import Rows, interval, rounded, set_aside
from kit.reporting.formatting import difference, title
from kit.runtime.characters import plain

if TYPE_CHECKING:
    from kit.analysis.findings import Findings
    from kit.analysis.source_comparison import SourceComparison

_HEIGHT, _PANEL_HEIGHT = 380, 280
_READING = (
    "Below the zero line, a model is worse than the model it is made from, on the same test examples and seeds; if its "
    "bar, a 95 % interval, crosses the line, the study does not show a difference."
)


def compression_cost(findings: Findings) -> Figure | None:
    """Draw the change of the metric of compressed models and students at each budget.

    Returns None without such models.
    """
    compared: dict[str, list[SourceComparison]] = {}
    for one in findings.against_sources:
        compared.setdefault(one.series, []).append(one)
    series = [one for one in findings.series if one.name in compared]
    if not series:
        return None
    budgets = sorted({one.budget for one in findings.against_sources})
    x = log_scale("Labels (log scale)", budgets, ",", ticks=budgets)
    groups = grouped(series)
    lines = [_rows(group, compared, findings.metric, x=x) for group in groups]
    y = _scale(findings.metric, [row for rows in lines for row in rows])
    return Figure(
        name="compression",
        heading="Cost of compression and distillation",
        title=f"Change of {_in_sentence(findings.metric)} by compression and distillation, at each number of labels",
        reading=_READING,
        panels=tuple(_panel(group, rows, x, y=y) for group, rows in zip(groups, lines, strict=True)),
    )


def _in_sentence(metric: str) -> str:
    name = title(metric)
    return name if name[1:2].isupper() else f"{name[:1].lower()}{name[1:]}"


def _scale(metric: str, rows: Rows) -> Scale:
    low, high = value_range(rows)
    margin = 0.05 * (high - low)
    low, high = min(low, -margin), max(high, margin)
    unit, form = ("", "+.2f") if metric in NOT_SHARES else (", points", "+.3~f")
    return Scale(f"Change of {_in_sentence(metric)}{unit}", low, high, log=False, form=form)


def _rows(group: Group, compared: dict[str, list[SourceComparison]], metric: str, x: Scale) -> Rows:
    rows: Rows = []
    for index, (label, series) in enumerate(group.members.items()):
        aside = math.exp(set_aside(index, len(group.members)) * math.log(x.high / x.low))
        ordered = sorted(compared[series.name], key=lambda one: one.budget)
        rows += [_row(label, one, metric) | {"x": rounded(one.budget * aside)} for one in ordered]
    return rows


def _row(label: str, one: SourceComparison, metric: str) -> dict[str, Any]:
    change, unit = one.change.difference, 1 if metric in NOT_SHARES else 100
    return {
        "series": label,
        "name": plain(one.series),
        "source": plain(one.source),
        **interval(unit * change.value, unit * change.low, unit * change.high),
        "labels": f"{one.budget:,}",
        "shown": difference(metric, change),
        "same": one.agreement.format(percent=True),
        "verdict": one.change.judgement.words,
    }


def _panel(group: Group, rows: Rows, x: Scale, y: Scale) -> alt.LayerChart:
    look = Look(group.labels)
    height = height_for(len(group.members), _PANEL_HEIGHT if group.title else _HEIGHT)
    zero = table([{"y": 0}]).mark_rule(strokeWidth=1.5).encode(y=y.y())
    lines = table(rows).mark_line(strokeWidth=1.5, opacity=0.8, clip=True)
    headings = {"source": "Made from", "shown": "Change", "same": "Same predictions", "verdict": "Test"}
    layers = [
        zero,
        lines.encode(x=x.x(), y=y.y(), color=look.color, strokeDash=look.dash),
        *mean_layers(rows, x, y, look=look, **headings),
        *end_labels(_ends(rows), x, y, height=height, look=look),
    ]
    description = f"Cost of compression{f' of {group.title}' if group.title else ''}. The numbers are in a table below."
    return panel(layers, group.title, description=description, height=height)


def _ends(rows: Sequence[dict[str, Any]]) -> Rows:
    return list({row["series"]: row for row in rows}.values())
