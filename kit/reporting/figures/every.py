"""The figures of a study."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kit.reporting.figures.compression_cost import compression_cost
from kit.reporting.figures.heat_map import heat_map
from kit.reporting.figures.latency_frontier import latency_frontier
from kit.reporting.figures.learning_curves import learning_curves
from kit.reporting.figures.size_ladder import size_ladder

if TYPE_CHECKING:
    from kit.analysis.findings import Findings
    from kit.reporting.figures.figure import Figure

_FIGURES = (learning_curves, heat_map, latency_frontier, size_ladder, compression_cost)


def all_figures(findings: Findings) -> list[Figure]:
    """Return the figures that have data, in the order of the page."""
    drawn = (figure(findings) for figure in _FIGURES)
    return [figure for figure in drawn if figure is not None]
