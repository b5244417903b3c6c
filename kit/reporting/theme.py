"""Colours of the page and of its charts, for light and dark schemes.

Series have the colours of Okabe & Ito 2008 (Color Universal Design), which people with any kind of colour blindness can
distinguish; black becomes white on a dark background. Some colours are pale, so charts always add a shape or a dash.
Ordered values have the colours of viridis (van der Walt & Smith 2015), whose order any kind of colour blindness keeps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, "Noto Sans", sans-serif'
SHAPES = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "triangle-right")
DASHES = ((1, 0), (8, 3), (4, 2), (10, 3, 2, 3), (14, 4))

HEAT = ("#eff5fb", "#6baed6", "#08306b")  # of the smallest, middle and largest value, on light and on dark pages
ON_LIGHT, ON_DARK = "#1c2126", "#ffffff"  # text on cells of a heat map


@dataclass(frozen=True)
class Palette:
    """Colours of one scheme.

    `text`, `muted`, `accent` and `bad` have a contrast of at least 4.5:1 on `page` and `panel` (WCAG 2.2, level AA).
    """

    page: str
    panel: str
    text: str
    muted: str
    rule: str
    accent: str
    bad: str
    series: tuple[str, ...]
    ramp: tuple[str, ...]


_OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
LIGHT = Palette(
    page="#ffffff",
    panel="#f5f6f8",
    text="#1c2126",
    muted="#56606a",
    rule="#d5dade",
    accent="#0a58a6",
    bad="#a8261c",
    series=(*_OKABE_ITO, "#000000", "#B8A900"),  # Okabe & Ito's yellow, darkened, as it is invisible on white
    ramp=("#5ec962", "#21918c", "#3b528b", "#440154"),
)
DARK = Palette(
    page="#14171a",
    panel="#1d2125",
    text="#e7eaec",
    muted="#a6afb7",
    rule="#363c42",
    accent="#80bbf7",
    bad="#ff9c92",
    series=(*_OKABE_ITO, "#ffffff", "#F0E442"),
    ramp=("#5a6fae", "#21a198", "#5ec962", "#fde725"),
)


def vega_config(palette: Palette) -> dict[str, Any]:
    """Return the Vega-Lite configuration of a palette; it sets the colours that charts leave open."""
    axis = {
        "domainColor": palette.rule,
        "tickColor": palette.rule,
        "gridColor": palette.rule,
        "gridOpacity": 0.6,
        "labelColor": palette.muted,
        "titleColor": palette.text,
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": 600,
        "titlePadding": 10,
        "labelPadding": 5,
    }
    return {
        "background": palette.page,
        "font": FONT,
        "view": {"stroke": None},
        "axis": axis,
        "title": _titles(palette),
        "legend": {
            "orient": "bottom",
            "labelColor": palette.text,
            "titleColor": palette.muted,
            "labelFontSize": 12,
            "titleFontSize": 12,
            "titleFontWeight": 600,
            "symbolSize": 80,
            "symbolStrokeWidth": 2,
            "symbolOpacity": 1,
            "symbolBaseFillColor": palette.muted,
            "symbolBaseStrokeColor": palette.muted,
            "columnPadding": 18,
            "rowPadding": 5,
            "offset": 16,
            "labelLimit": 190,
            "columns": 3,
            "layout": {"bottom": {"anchor": "start", "direction": "horizontal", "margin": 26}},
        },
        "text": {"color": palette.muted, "fontSize": 11},
        "rule": {"color": palette.muted},
        "range": {"category": list(palette.series), "ordinal": {"scheme": list(palette.ramp)}},
    }


def _titles(palette: Palette) -> dict[str, Any]:
    return {
        "color": palette.text,
        "subtitleColor": palette.muted,
        "fontSize": 14,
        "fontWeight": 600,
        "subtitleFontSize": 12,
        "subtitlePadding": 6,
        "offset": 10,
    }
