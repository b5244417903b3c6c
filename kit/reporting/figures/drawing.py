"""Axes, looks and marks that the figures share. Colours are configuration, see `theme`.

Names of users are values of rows and of scale domains only, never names of fields or parts of expressions, so their
content is never executed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import altair as alt

from kit.reporting.figures.rows import Rows
from kit.reporting.formatting import is_share, title
from kit.reporting.theme import DASHES, SHAPES

MAX_BANDS = 4  # more bands in one panel cover each other


@dataclass(frozen=True)
class Scale:
    """Axis from `low` to `high` that several fields share. Marks beyond the ends are clipped."""

    heading: str
    low: float
    high: float
    log: bool
    form: str
    ticks: tuple[float, ...] = ()

    def x(self, field: str = "x") -> alt.X:
        """Return the horizontal encoding of a field on this axis."""
        return alt.X(f"{field}:Q", title=self.heading, scale=self._scale(), axis=self._axis(grid=False))

    def y(self, field: str = "y") -> alt.Y:
        """Return the vertical encoding of a field on this axis."""
        return alt.Y(f"{field}:Q", title=self.heading, scale=self._scale(), axis=self._axis(grid=True))

    def _scale(self) -> alt.Scale:
        kind = {"type": "log"} if self.log else {"zero": False}
        return alt.Scale(domain=[self.low, self.high], nice=False, **kind)

    def _axis(self, grid: bool) -> alt.Axis:
        ticks = {"values": list(self.ticks)} if self.ticks else {"tickCount": 6}
        return alt.Axis(format=self.form, labelOverlap="greedy", labelSeparation=6, grid=grid, **ticks)


class Look:
    """Colour, shape and dash of names, so that readers who cannot see one of them can use another.

    There are 8 colours, 7 shapes and 5 dashes; as these have no common factor, 56 names differ in colour or in shape.
    """

    def __init__(self, names: Sequence[str]) -> None:
        domain, count = list(names), len(names)
        shapes = [SHAPES[index % len(SHAPES)] for index in range(count)]
        dashes = [list(DASHES[index % len(DASHES)]) for index in range(count)]
        self.color = alt.Color("series:N", scale=alt.Scale(domain=domain), legend=None)
        self.shape = alt.Shape("series:N", scale=alt.Scale(domain=domain, range=shapes), legend=None)
        self.dash = alt.StrokeDash("series:N", scale=alt.Scale(domain=domain, range=dashes), legend=None)


def metric_scale(metric: str, rows: Rows, bands: Sequence[dict[str, Any]] = (), dots: Sequence[float] = ()) -> Scale:
    """Return the axis of a metric, see `value_range`."""
    low, high = value_range(rows, bands, dots)
    if is_share(metric):
        return Scale(title(metric), max(low, 0.0), min(high, 1.0), log=False, form=".0%")
    return Scale(title(metric), low, high, log=False, form=".2f")


def value_range(rows: Rows, bands: Sequence[dict[str, Any]] = (), dots: Sequence[float] = ()) -> tuple[float, float]:
    """Return the ends of an axis that covers the values and the usual intervals of `rows`, with a margin.

    Beyond the values, intervals get at most a fifth of the span of the values, or twice the median half width of all
    intervals, so that a single wide interval does not flatten the chart. Longer intervals are clipped, see
    `clip_layers`.

    Args:
        rows: Values with intervals.
        bands: Bands of predictions, which may be wide: beyond `rows` they get at most half of the span.
        dots: Values without an interval.
    """
    values = [*(row["y"] for row in rows), *dots]
    lowest, highest = min(values), max(values)
    half_widths = [max(row["y"] - row["low"], row["high"] - row["y"]) for row in rows]
    reach = max((highest - lowest) / 5, 2 * median(half_widths), 0.01)
    ends = [max(row["low"], lowest - reach) for row in rows], [min(row["high"], highest + reach) for row in rows]
    lowest, highest = min([lowest, *ends[0]]), max([highest, *ends[1]])
    span = max(highest - lowest, 0.02)
    low = min([lowest, *(max(row["low"], lowest - span / 2) for row in bands)]) - 0.05 * span
    high = max([highest, *(min(row["high"], highest + span / 2) for row in bands)]) + 0.05 * span
    return low, high


def clip_layers(rows: Rows, x: Scale, y: Scale, color: Any, tooltip: list[alt.Tooltip]) -> list[Any]:
    """Return arrows at the ends of the axis for intervals that extend beyond it."""
    below = [row | {"end": y.low} for row in rows if row["low"] < y.low]
    above = [row | {"end": y.high} for row in rows if row["high"] > y.high]
    marks = [
        *([table(below).mark_text(text="▼", fontSize=11, baseline="bottom")] if below else []),
        *([table(above).mark_text(text="▲", fontSize=11, baseline="top")] if above else []),
    ]
    return [mark.encode(x=x.x(), y=y.y("end"), color=color, tooltip=tooltip) for mark in marks]


def log_scale(heading: str, values: Sequence[float], form: str, ticks: Sequence[float] = ()) -> Scale:
    """Return a logarithmic axis that covers `values`, with these ticks, or with ticks at 1, 2, 5, 10, ..."""
    margin = max(max(values) / min(values), 2.0) ** 0.06
    low, high = min(values) / margin, max(values) * margin
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    regular = [float(digit) * 10.0**exponent for exponent in exponents for digit in (1, 2, 5)]
    return Scale(
        heading, low, high, log=True, form=form, ticks=tuple(ticks or [tick for tick in regular if low <= tick <= high])
    )


def table(rows: Iterable[dict[str, Any]]) -> alt.Chart:
    """Return a chart of these rows, without marks.

    The rows are one string until `figure.spec`: Altair would copy and check every value several times.
    """
    return alt.Chart(alt.InlineData(values=json.dumps(list(rows))))


def tips(**headings: str) -> list[alt.Tooltip]:
    """Return tooltips that show fields of a row as text, by field=heading."""
    return [alt.Tooltip(f"{field}:N", title=heading) for field, heading in headings.items()]


def curve_layers(rows: Rows, x: Scale, y: Scale, look: Look) -> list[Any]:
    """Return bands and lines of curves; predictions are fainter, with dotted lines."""
    layers: list[Any] = []
    for ahead, opacity, width in ((False, 0.13, 1.8), (True, 0.07, 1.6)):
        part = [row for row in rows if row["ahead"] is ahead]
        if banded := [row for row in part if "low" in row]:
            band = table(banded).mark_area(opacity=opacity, line=False, clip=True)
            layers.append(band.encode(x=x.x(), y=y.y("low"), y2="high:Q", color=look.color))
        if part:
            line = table(part).mark_line(strokeWidth=width, strokeCap="round", clip=True)
            dash = alt.value([1, 5]) if ahead else look.dash
            layers.append(line.encode(x=x.x(), y=y.y(), color=look.color, strokeDash=dash))
    return layers


def seed_layers(rows: Rows, x: Scale, y: Scale, look: Look) -> list[Any]:
    """Return a faint dot for every run, and a cross for every run that failed to train."""
    headings = {"series": "Variant", "seed": "Seed", "shown": "Value"}
    faint = table(row for row in rows if "flag" not in row).mark_circle(size=26, opacity=0.45)
    layers = [faint.encode(x=x.x(), y=y.y(), color=look.color, tooltip=tips(**headings))]
    if flagged := [row for row in rows if "flag" in row]:
        cross = table(flagged).mark_point(shape="M-1,-1L1,1M-1,1L1,-1", size=70, strokeWidth=2, opacity=1)
        layers.append(cross.encode(x=x.x(), y=y.y(), color=look.color, tooltip=tips(**headings, flag="Flagged")))
    return layers


def mean_layers(rows: Rows, x: Scale, y: Scale, look: Look, **headings: str) -> list[Any]:
    """Return a mark for every mean, and a line over its interval. headings: Further fields of the tooltip."""
    bar = table(rows).mark_rule(strokeWidth=1.6, clip=True)
    dot = table(rows).mark_point(size=75, filled=True, opacity=1)
    tooltip = tips(name="Variant", labels="Labels", **headings)
    return [
        bar.encode(x=x.x(), y=y.y("low"), y2="high:Q", color=look.color),
        dot.encode(x=x.x(), y=y.y(), color=look.color, shape=look.shape, tooltip=tooltip),
        *clip_layers(rows, x, y, color=look.color, tooltip=tooltip),
    ]


def divide(bought: float, x: Scale) -> list[Any]:
    """Return a vertical line where measurements end and predictions begin."""
    base = table([{"x": bought, "note": "predicted →"}])
    text = base.mark_text(align="left", baseline="top", dx=6)
    return [
        base.mark_rule(strokeDash=[2, 3], opacity=0.7).encode(x=x.x()),
        text.encode(x=x.x(), y=alt.value(2), text="note:N"),
    ]
