"""A figure: one chart or several panels, with a title and a sentence on how to read it."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

WIDTH, PANEL_WIDTH = 720, 430
_COLUMNS = 2  # panels beside each other in a PNG
_CHARACTERS = {1: 105, 2: 150}  # of a line below the title, by the number of columns


@dataclass(frozen=True)
class Figure:
    """A figure of the report.

    Attributes:
        name: Id on the page, and name of the PNG file.
        heading: Heading of its section.
        title: Statement of what is shown.
        reading: Sentence on how to read it.
        panels: Charts; each has a title if there are several.
        key: Meaning of the numbers 1, 2, ... in the charts.
    """

    name: str
    heading: str
    title: str
    reading: str
    panels: tuple[alt.LayerChart, ...]
    key: tuple[str, ...] = ()

    def specs(self) -> list[dict[str, Any]]:
        """Return the Vega-Lite specification of each panel."""
        return [_spec(panel) for panel in self.panels]

    def picture(self) -> dict[str, Any]:
        """Return the specification of all panels with the title, for a PNG file."""
        columns = min(len(self.panels), _COLUMNS)
        key = "; ".join(f"{number}: {meaning}" for number, meaning in enumerate(self.key, start=1))
        lines = [line for text in (self.reading, key) for line in textwrap.wrap(text, _CHARACTERS[columns])]
        title = alt.TitleParams(self.title, subtitle=lines, anchor="start", offset=16)
        if columns == 1:
            return _spec(self.panels[0].properties(title=title, width=WIDTH))
        together = alt.concat(*self.panels, columns=_COLUMNS, spacing=30, title=title)
        return _spec(
            together.resolve_scale(
                color="independent", shape="independent", strokeDash="independent", size="independent"
            )
        )


def panel(layers: Sequence[Any], title: str = "", *, description: str, height: int) -> alt.LayerChart:
    """Return layers as one panel. description: Text for screen readers."""
    drawn = alt.LayerChart(layer=list(layers)).properties(width=PANEL_WIDTH, height=height, description=description)
    return drawn.properties(title=alt.TitleParams(title, anchor="start")) if title else drawn


def _spec(chart: Any) -> dict[str, Any]:
    """Return the specification of a chart of `drawing.table`s."""
    content: dict[str, Any] = chart.to_dict(validate=False)
    content["datasets"] = {name: json.loads(rows) for name, rows in content["datasets"].items()}
    return content
