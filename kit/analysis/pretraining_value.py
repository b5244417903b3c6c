"""The worth of pretraining: the multiple of labels that training from scratch would need.

Effective data transferred (Hernandez et al. 2021, Scaling Laws for Transfer, arXiv:2102.01293), as a ratio of budgets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kit.analysis.curve import NEVER, Fit
from kit.analysis.curve_forms import first_reach, pooled
from kit.analysis.points import Point, errors
from kit.measurement.intervals import percentile_interval
from kit.measurement.logits import Floats


@dataclass(frozen=True)
class Transfer:
    """Labels that `scratch` needs to match one budget of a pretrained method.

    Attributes:
        series: Name of the pretrained series.
        budget: Budget of the pretrained method.
        times: Labels from scratch / labels pretrained; None if scratch does not reach the metric within the range of
            predictions. Then `low` is a lower bound and `high` is None.
        low: Lower end of the 95 % interval.
        high: Upper end of the interval; None if it has none.
    """

    series: str
    budget: int
    times: float | None
    low: float
    high: float | None


def effective_data(
    series: str, points: Sequence[Point], scratch: Sequence[Point], fit: Fit | None = None
) -> list[Transfer]:
    """Return the worth of pretraining at each budget of a pretrained series, smallest first, with 95 % intervals.

    Replicates are joint: replicate b of a point is compared with replicate b of scratch. If scratch needs more labels
    than the range of predictions, `times` is None and `low` is the 2.5 % quantile over replicates, in which those that
    never reach the metric count as the limit. `high` is None if more than 2.5 % never reach it. Below its smallest
    budget scratch is unknown: if it is as good there already, `times` is smallest / budget and means 'at most'; if the
    lower end of an interval is there, `low` is 0.

    Args:
        series: Name of the pretrained series.
        points: Points of the pretrained series, at distinct budgets.
        scratch: Points of scratch, at distinct budgets; if empty, nothing is returned.
        fit: Learning curve of scratch, which reaches up to 8 times its largest budget. If None, the points are used
            up to the largest: made non-increasing, and linear in the logarithm of the labels between them.

    Raises:
        ValueError: If points have different numbers of replicates.
    """
    if not scratch:
        return []
    ordered = sorted(points, key=lambda measured: measured.budget)
    return [_transfer(series, measured.budget, *_labels(measured, scratch, fit)) for measured in ordered]


def _labels(point: Point, scratch: Sequence[Point], fit: Fit | None) -> tuple[float, Floats, float, float]:
    """Return the labels that scratch needs to match a point, (R,) the same by replicate, and smallest and limit."""
    values, replicates = errors([point])
    error, samples = float(values[0]), replicates[:, 0]
    if len(samples) != len(scratch[0].replicates):
        raise ValueError(f"{len(samples)} replicates cannot be compared with {len(scratch[0].replicates)} of scratch")
    if fit is not None:
        smallest = float(fit.budgets[0])
        reached = fit.labels_by_replicate(samples[fit.rows])
        return max(fit.curve.labels(error), smallest), reached, smallest, float(fit.largest)
    ordered = sorted(scratch, key=lambda measured: measured.budget)
    knots = np.array([measured.budget for measured in ordered], np.float64)
    falling = pooled(np.vstack(errors(ordered)), np.ones(len(knots)))
    reached = first_reach(knots, falling, np.append(error, samples))
    return float(reached[0]), reached[1:], float(knots[0]), float(knots[-1])


def _transfer(series: str, budget: int, value: float, reached: Floats, smallest: float, limit: float) -> Transfer:
    low, high = percentile_interval(np.minimum(reached, NEVER))
    low = min(low, value)
    # At the smallest budget the labels are only known to be that many or fewer.
    low = 0.0 if low <= smallest else min(low, limit) / budget
    if value > limit:
        return Transfer(series, budget, None, low=low, high=None)
    return Transfer(series, budget, value / budget, low=low, high=max(high, value) / budget if high <= limit else None)
