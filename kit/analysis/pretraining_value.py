"""What pretraining is worth: how many times more labels training from scratch would need.

Effective data transferred (Hernandez et al. 2021, Scaling Laws for Transfer, arXiv:2102.01293), as a ratio of budgets.

Knows learning curves. Knows nothing of models or files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kit.analysis.curve import NEVER, Fit
from kit.analysis.curve_forms import Floats, first_reach, pooled
from kit.analysis.points import Point, errors
from kit.measurement.intervals import percentile_interval


@dataclass(frozen=True)
class Transfer:
    """At one budget of a pretrained method, the labels that `scratch` needs for the same metric.

    series: name of the pretrained series. times: labels from scratch / labels pretrained; None where scratch does not
    get there within what can be said, and then `low` is a lower bound and `high` None.
    """

    series: str
    budget: int
    times: float | None
    low: float
    high: float | None


def effective_data(
    series: str, points: Sequence[Point], scratch: Sequence[Point], fit: Fit | None = None
) -> list[Transfer]:
    """What pretraining is worth at each budget of a pretrained series, smallest first, with 95 % intervals.

    points, scratch: of the two, at distinct budgets. fit: the learning curve of scratch, which answers up to 8 times
    its largest budget. Without one its points answer, up to the largest: made non-increasing, and linear in the
    logarithm of the labels between them.
    Replicates are joint: replicate b of a point is compared with replicate b of scratch.

    Where scratch needs more than can be said, `times` is None and `low` the 2.5 % quantile over replicates, in which
    those that never get there count as the limit. `high` is None where more than 2.5 % never do.
    Nothing is known of scratch below its smallest budget. Where it is as good there already, `times` is smallest /
    budget and means 'at most'; where the lower end of an interval falls there, `low` is 0.
    Raises ValueError if points have different numbers of replicates. No points, no answers.
    """
    if not scratch:
        return []
    ordered = sorted(points, key=lambda each: each.budget)
    return [_transfer(series, each.budget, *_labels(each, scratch, fit)) for each in ordered]


def _labels(point: Point, scratch: Sequence[Point], fit: Fit | None) -> tuple[float, Floats, float, float]:
    """Labels that scratch needs to match the point: as measured, and by replicate (R,); the smallest and the limit."""
    values, replicates = errors([point])
    error, samples = float(values[0]), replicates[:, 0]
    if len(samples) != len(scratch[0].replicates):
        raise ValueError(f"{len(samples)} replicates cannot be compared with {len(scratch[0].replicates)} of scratch")
    if fit is not None:
        smallest = float(fit.budgets[0])
        reached = fit.labels_by_replicate(samples[fit.rows])
        return max(fit.curve.labels(error), smallest), reached, smallest, float(fit.largest)
    known = sorted(scratch, key=lambda each: each.budget)
    knots = np.array([each.budget for each in known], np.float64)
    falling = pooled(np.vstack(errors(known)), np.ones(len(knots)))
    reached = first_reach(knots, falling, np.append(error, samples))
    return float(reached[0]), reached[1:], float(knots[0]), float(knots[-1])


def _transfer(series: str, budget: int, value: float, reached: Floats, smallest: float, limit: float) -> Transfer:
    low, high = percentile_interval(np.minimum(reached, NEVER))
    low = min(low, value)
    # At the smallest budget the labels are only known to be that many or fewer.
    low = 0.0 if low <= smallest else min(low, limit) / budget
    if value > limit:
        return Transfer(series, budget, None, low, None)
    return Transfer(series, budget, value / budget, low, max(high, value) / budget if high <= limit else None)
