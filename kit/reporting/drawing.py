"""Drawing: axes, looks and marks that the charts share.

Knows Altair and rows. Knows nothing of findings, nor of colours: a scheme's colours are configuration, see `theme`.

Names of users are values of rows and of scale domains only, never names of fields nor part of an expression, so nothing
in them is ever run.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import altair as alt

from kit.reporting.chart_data import Rows
from kit.reporting.formatting import is_share, title
from kit.reporting.theme import DASHES, SHAPES

WIDTH, HEIGHT = 720, 400


@dataclass(frozen=True)
class Scale:
    """An axis that several fields share. low, high: ends. Marks beyond them are clipped."""

    heading: str
    low: float
    high: float
    log: bool
    form: str
    ticks: tuple[float, ...] = ()

    def x(self, field: str = "x") -> alt.X:
        """The field along this axis."""
        return alt.X(f"{field}:Q", title=self.heading, scale=self._scale(), axis=self._axis(grid=False))

    def y(self, field: str = "y") -> alt.Y:
        """The field up this axis."""
        return alt.Y(f"{field}:Q", title=self.heading, scale=self._scale(), axis=self._axis(grid=True))

    def _scale(self) -> alt.Scale:
        kind = {"type": "log"} if self.log else {"zero": False}
        return alt.Scale(domain=[self.low, self.high], nice=False, **kind)

    def _axis(self, grid: bool) -> alt.Axis:
        ticks = {"values": list(self.ticks)} if self.ticks else {"tickCount": 6}
        return alt.Axis(format=self.form, labelOverlap="greedy", labelSeparation=6, grid=grid, **ticks)


class Look:
    """Colour, shape and dash of names: three ways to tell each apart, for those who do not see one of them.

    There are 8 colours, 7 shapes and 5 dashes; as these have no common factor, 56 names differ in colour or in shape.
    """

    def __init__(self, names: Sequence[str], field: str = "series") -> None:
        domain, count = list(names), len(names)
        shapes = [SHAPES[index % len(SHAPES)] for index in range(count)]
        dashes = [list(DASHES[index % len(DASHES)]) for index in range(count)]
        self.color = alt.Color(f"{field}:N", title="Method", scale=alt.Scale(domain=domain))
        self.shape = alt.Shape(f"{field}:N", title="Method", scale=alt.Scale(domain=domain, range=shapes))
        # Legends of the same domain become one, and leaving out one leaves out all: so this domain has one name more.
        dashed = alt.Scale(domain=[*domain, ""], range=[*dashes, [1, 0]])
        self.dash = alt.StrokeDash(f"{field}:N", scale=dashed, legend=None)


def metric_scale(metric: str, rows: Rows, bands: Sequence[dict[str, Any]] = (), dots: Sequence[float] = ()) -> Scale:
    """Return the axis of a metric: as long as values and usual intervals of `rows` need, with a little room.

    An interval gets no more room beyond the values than a fifth of their span, or twice the median half width of all
    intervals: a single one that says nothing does not flatten all others. What goes beyond is cut off, see
    `clip_layers`.

    Args:
        metric: Name of the metric.
        rows: Values with intervals.
        bands: Bands of predictions, which may be wide: beyond `rows` they get at most half the span.
        dots: Values without an interval.
    """
    values = [*(row["y"] for row in rows), *dots]
    least, most = min(values), max(values)
    halves = [max(row["y"] - row["low"], row["high"] - row["y"]) for row in rows]
    reach = max((most - least) / 5, 2 * median(halves), 0.01)
    ends = [max(row["low"], least - reach) for row in rows], [min(row["high"], most + reach) for row in rows]
    least, most = min([least, *ends[0]]), max([most, *ends[1]])
    span = max(most - least, 0.02)
    low = min([least, *(max(row["low"], least - span / 2) for row in bands)]) - 0.05 * span
    high = max([most, *(min(row["high"], most + span / 2) for row in bands)]) + 0.05 * span
    if is_share(metric):
        return Scale(title(metric), max(low, 0.0), min(high, 1.0), log=False, form=".0%")
    return Scale(title(metric), low, high, log=False, form=".2f")


def clip_layers(rows: Rows, x: Scale, y: Scale, color: Any, told: list[alt.Tooltip]) -> list[Any]:
    """Return arrows at the ends of the axis for the intervals that go beyond it."""
    below = [row | {"end": y.low} for row in rows if row["low"] < y.low]
    above = [row | {"end": y.high} for row in rows if row["high"] > y.high]
    marks = [
        *([table(below).mark_text(text="▼", fontSize=10, baseline="bottom")] if below else []),
        *([table(above).mark_text(text="▲", fontSize=10, baseline="top")] if above else []),
    ]
    return [mark.encode(x=x.x(), y=y.y("end"), color=color, tooltip=told) for mark in marks]


def log_scale(heading: str, values: Sequence[float], form: str, ticks: Sequence[float] = ()) -> Scale:
    """A logarithmic axis around `values`, with ticks at 1, 2, 5, 10 ... or at those given."""
    room = max(max(values) / min(values), 2.0) ** 0.06
    low, high = min(values) / room, max(values) * room
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    usual = [float(digit) * 10.0**exponent for exponent in exponents for digit in (1, 2, 5)]
    return Scale(heading, low, high, True, form, tuple(ticks or [tick for tick in usual if low <= tick <= high]))


def table(rows: Iterable[dict[str, Any]]) -> alt.Chart:
    """A chart without marks over rows, as they are."""
    return alt.Chart(alt.InlineData(values=list(rows)))


def tips(**headings: str) -> list[alt.Tooltip]:
    """What is shown on hovering: field=heading, text as the rows have it."""
    return [alt.Tooltip(f"{field}:N", title=heading) for field, heading in headings.items()]


def chart(layers: Sequence[Any], description: str) -> alt.LayerChart:
    """Layers as one chart; description: what a screen reader says."""
    return alt.LayerChart(layer=list(layers)).properties(width=WIDTH, height=HEIGHT, description=description)


def curve_layers(rows: Rows, x: Scale, y: Scale, look: Look) -> list[Any]:
    """Bands and lines; ahead of what was measured both are fainter, and lines are dotted."""
    layers: list[Any] = []
    for ahead, opacity, width in ((False, 0.13, 1.8), (True, 0.07, 1.6)):
        part = [row for row in rows if row["ahead"] is ahead]
        banded = [row for row in part if row["fitted"]]
        if banded:
            band = table(banded).mark_area(opacity=opacity, line=False, clip=True)
            layers.append(band.encode(x=x.x(), y=y.y("low"), y2="high:Q", color=look.color))
        if part:
            line = table(part).mark_line(strokeWidth=width, strokeCap="round", clip=True)
            dash = alt.value([1, 5]) if ahead else look.dash
            layers.append(
                line.encode(
                    x=x.x(), y=y.y(), color=look.color, strokeDash=dash,
                    tooltip=tips(name="Method", labels="Labels", shown="Curve"),
                )
            )  # fmt: skip
    return layers


def seed_layers(rows: Rows, x: Scale, y: Scale, look: Look) -> list[Any]:
    """A faint dot for every run; a cross for those that failed to train."""
    headings = {"name": "Method", "labels": "Labels", "seed": "Seed", "shown": "Value"}
    faint = table(row for row in rows if not row["flagged"]).mark_circle(size=26, opacity=0.45)
    layers = [faint.encode(x=x.x(), y=y.y(), color=look.color, tooltip=tips(**headings))]
    if flagged := [row for row in rows if row["flagged"]]:
        cross = table(flagged).mark_point(shape="M-1,-1L1,1M-1,1L1,-1", size=70, strokeWidth=2, opacity=1)
        layers.append(cross.encode(x=x.x(), y=y.y(), color=look.color, tooltip=tips(**headings, flag="Flagged")))
    return layers


def mean_layers(rows: Rows, x: Scale, y: Scale, look: Look) -> list[Any]:
    """A mark for every mean, and a line over its interval."""
    bar = table(rows).mark_rule(strokeWidth=1.6, clip=True)
    dot = table(rows).mark_point(size=75, filled=True, opacity=1)
    tooltip = tips(name="Method", labels="Labels", shown="Mean", seeds="Seeds")
    return [
        bar.encode(x=x.x(), y=y.y("low"), y2="high:Q", color=look.color),
        dot.encode(x=x.x(), y=y.y(), color=look.color, shape=look.shape, tooltip=tooltip),
        *clip_layers(rows, x, y, look.color, tooltip),
    ]


def divide(bought: float, x: Scale) -> list[Any]:
    """A line where measurements end and predictions begin."""
    base = table([{"x": bought, "what": "predicted →"}])
    text = base.mark_text(align="left", baseline="top", dx=6)
    return [
        base.mark_rule(strokeDash=[2, 3], opacity=0.7).encode(x=x.x()),
        text.encode(x=x.x(), y=alt.value(2), text="what:N"),
    ]
