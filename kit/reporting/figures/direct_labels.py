"""Labels beside the ends of lines, which replace a legend and never cover each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np

from kit.reporting.figures.drawing import Look, Scale, table
from kit.reporting.figures.rows import Rows

LINE_HEIGHT = 15  # pixels from one label to the next
_INSET = 6  # pixels between the first label and the end of the axis


def spread_out(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Return positions at least `gap` apart from low to high, moved as little as possible.

    The sum of squared moves is the least: isotonic regression of positions without their gaps (Robertson, Wright &
    Dykstra 1988). Positions keep their order; if there is not enough room, they extend beyond `high`.
    """
    from scipy.optimize import isotonic_regression

    order = np.argsort(wanted, kind="stable")
    steps = gap * np.arange(len(order))
    room = max(low, high - gap * (len(order) - 1))
    placed = np.clip(isotonic_regression(np.asarray(wanted, np.float64)[order] - steps).x, low, room) + steps
    result = np.empty(len(order))
    result[order] = placed
    return [float(position) for position in result]


def height_for(labels: int, least: int) -> int:
    """Return the height of a panel with this many labels, in pixels."""
    return max(least, LINE_HEIGHT * labels + 2 * _INSET)


def end_labels(ends: Rows, x: Scale, y: Scale, *, height: int, look: Look) -> list[Any]:
    """Return a mark and a label right of the plot for each line, linked to its end.

    Args:
        ends: Rows of the last point of each line.
        x: Horizontal axis.
        y: Vertical axis.
        height: Height of the panel in pixels.
        look: Colours and shapes of the names.
    """
    pixel = (y.high - y.low) / height
    inset = _INSET * pixel
    places = spread_out([row["y"] for row in ends], LINE_HEIGHT * pixel, y.low + inset, high=y.high - inset)
    rows = [
        {"series": row["series"], "x": row["x"], "y": min(max(row["y"], y.low), y.high), "place": place}
        for row, place in zip(ends, places, strict=True)
    ]
    edge = alt.value("width")
    mark = table(rows).mark_point(size=55, filled=True, opacity=1, xOffset=14)
    text = table(rows).mark_text(align="left", baseline="middle", dx=22, limit=170)
    return [
        _links(rows, x, y, look=look),
        mark.encode(x=edge, y=y.y("place"), color=look.color, shape=look.shape),
        text.encode(x=edge, y=y.y("place"), text="series:N"),
    ]


def _links(rows: Rows, x: Scale, y: Scale, look: Look) -> Any:
    """Return lines from the ends to the edge of the plot, level with their labels."""
    points = [
        {"series": row["series"], "x": at, "y": level}
        for row in rows
        for at, level in ((row["x"], row["y"]), (x.high, row["place"]))
    ]
    lines = table(points).mark_line(strokeWidth=1, strokeDash=[1, 3], opacity=0.9)
    return lines.encode(x=x.x(), y=y.y(), color=look.color, detail="series:N")
