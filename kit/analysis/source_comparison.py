"""Comparison of compressed models and students with the models that they are made from.

Both sides are compared on the same test examples and the same seeds, see `points`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from kit.analysis.comparison import Comparison, compare
from kit.analysis.distillation_verdict import SeedOutputs, agreement, point_of, retained_share
from kit.measurement.intervals import Estimate
from kit.measurement.measure import LabelMeasure, Measure


@dataclass(frozen=True)
class SourceComparison:
    """A series against the series that its models are made from, at one budget.

    Attributes:
        series: Name of the series.
        source: Name of the series that its models are made from.
        change: Comparison of the main metric: that of the series minus that of its source.
        retained: Metric of the series / metric of the source; None if the metric of the source may be 0 or less.
        agreement: Share of test examples for which both predict the same.
        calibration: Change of the expected calibration error; None for tasks without it.
        undone: Number of seeds of which the gate undid a compression step.
    """

    series: str
    source: str
    change: Comparison
    retained: Estimate | None
    agreement: Estimate
    calibration: Estimate | None
    undone: int = 0

    @property
    def budget(self) -> int:
        """Number of labels of both."""
        return self.change.budget

    @property
    def seeds(self) -> int:
        """Number of seeds that both have."""
        return self.change.seeds


def compare_with_source(
    names: tuple[str, str],
    outputs: Sequence[SeedOutputs],
    targets: np.ndarray,
    measure: Measure,
    *,
    budget: int,
    undone: int = 0,
) -> SourceComparison:
    """Return the comparison of a series with its source at one budget.

    Args:
        names: Name of the series, and that of its source.
        outputs: Outputs of both for each seed that both have; `teacher` is the source.
        targets: Targets of the test examples, as `metric_samples` takes them.
        measure: Metrics of the task.
        budget: Number of labels.
        undone: Number of seeds of which the gate undid a compression step.
    """
    seeds = [seed.seed for seed in outputs]
    sides = ([seed.student for seed in outputs], [seed.teacher for seed in outputs])

    def difference(of: Measure) -> tuple[Comparison, Estimate | None]:
        series, source = (
            point_of(name, side, seeds, targets=targets, measure=of, budget=budget)
            for name, side in zip(names, sides, strict=True)
        )
        return compare([(names[0], series, names[1], source)])[0], retained_share(series, source)

    change, retained = difference(measure)
    calibration = None
    if isinstance(measure, LabelMeasure):
        calibration = difference(replace(measure, main="ece"))[0].difference
    return SourceComparison(
        *names,
        change=change,
        retained=retained,
        agreement=agreement(outputs, seeds, measure),
        calibration=calibration,
        undone=undone,
    )
