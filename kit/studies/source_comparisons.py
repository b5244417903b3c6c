"""Comparisons of a study's compressed models and students with the cells that they are made from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from kit.analysis.distillation_verdict import SeedOutputs
from kit.analysis.source_comparison import SourceComparison, compare_with_source
from kit.measurement.measure import Measure
from kit.studies.grid import Cell, Grid, Series


@dataclass
class _Pairs:
    """Outputs of the cells of one series at one budget with those of their sources."""

    outputs: list[SeedOutputs] = field(default_factory=list)
    undone: int = 0


def compare_with_sources(
    grid: Grid,
    outputs: Mapping[Cell, np.ndarray],
    undone: Mapping[Cell, tuple[str, ...]],
    names: Mapping[Series, str],
    targets: np.ndarray,
    measure: Measure,
) -> Iterator[SourceComparison]:
    """Yield the comparison of each series with its source, at each budget that both have seeds of.

    Args:
        grid: Grid of the study.
        outputs: Outputs of the finished cells on the test examples.
        undone: Compression steps that the gate undid, by cell.
        names: Names of the series.
        targets: Targets of the test examples.
        measure: Metrics of the task.
    """
    pairs: dict[tuple[Series, Series, int], _Pairs] = {}
    for cell, own in outputs.items():
        source = grid.source(cell)
        if source is None or source not in outputs:
            continue
        pair = pairs.setdefault((cell.series, source.series, cell.budget), _Pairs())
        pair.outputs.append(SeedOutputs(cell.seed, own, outputs[source], None))
        pair.undone += bool(undone.get(cell))
    for (series, source_series, budget), pair in pairs.items():
        both = names[series], names[source_series]
        yield compare_with_source(both, pair.outputs, targets, measure, budget=budget, undone=pair.undone)
