"""Scores of predicted numbers: MAE, RMSE, R2, and the correlations of Pearson and Spearman.

As in other measures, every score is a function of sums over examples. Ranks change with every resample, so Spearman's
correlation is not such a function; its resamples are linear in the examples, by the influence function of the
correlation of ranks (Croux & Dehon 2010, doi:10.1007/s10260-010-0142-z) on the scale of Fisher's z, which keeps them
within -1 and 1. Simulated intervals cover at their level (tested).

Undefined scores are numbers: a correlation with constant predictions or targets is 0, and R2 of constant targets is 0,
or 1 without any error, as in scikit-learn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kit.measurement.logits import Floats

SAME_DISTANCE = 0.1  # standard deviations up to which two predictions count as the same
RIGHT_DISTANCE = 0.5  # standard deviations of the targets up to which a prediction counts as right
_MAX_Z = 20.0  # Fisher's z of a correlation of 1, whose hyperbolic tangent is 1 in float64
_TINY = 1e-12  # variance, relative to the square of the values, that is a rounding error


@dataclass(frozen=True)
class RegressionMeasure:
    """Measure of (n, 1) predicted numbers against (n,) targets.

    Attributes:
        main: Main metric.
    """

    main: str = "r2"

    def tally(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, Floats]:
        """Return each example's summands for `scores`: arrays (n, width).

        Raises ValueError, see `check_numbers`.
        """
        predictions, truth = check_numbers(outputs, targets)
        center = truth.mean()  # sums of squares of large numbers would lose their digits
        errors, values, wanted = predictions - truth, predictions - center, truth - center
        return {
            "absolute": np.abs(errors)[:, None],
            "loss": (errors**2)[:, None],
            "moments": np.stack([values, wanted, values**2, wanted**2, values * wanted], axis=1),
            "ranks": _spearman_summands(predictions, truth)[:, None],
        }

    def scores(
        self, sums: Mapping[str, Floats], n: int, whole: Mapping[str, Floats] | None = None
    ) -> dict[str, Floats]:
        """Return scores (...) from sums over n examples (..., width)."""
        squares = sums["loss"][..., 0]
        value, wanted, value_2, wanted_2, product = np.moveaxis(sums["moments"], -1, 0) / n
        spread, wanted_spread = _variance(value, value_2), _variance(wanted, wanted_2)
        both = np.sqrt(spread * wanted_spread)
        return {
            "mae": sums["absolute"][..., 0] / n,
            "rmse": np.sqrt(squares / n),
            "r2": _r2(squares / n, wanted_spread),
            "pearson": np.where(both > 0, (product - value * wanted) / np.where(both > 0, both, 1), 0.0).clip(-1, 1),
            "spearman": np.tanh(sums["ranks"][..., 0] / n),
        }

    def right(self, outputs: np.ndarray, targets: np.ndarray) -> NDArray[np.bool_]:
        """Return (n,) whether each prediction is within half a standard deviation of the targets of its target."""
        predictions, truth = check_numbers(outputs, targets)
        return np.asarray(np.abs(predictions - truth) <= RIGHT_DISTANCE * truth.std())

    def same(self, outputs: np.ndarray, others: np.ndarray) -> NDArray[np.bool_]:
        """Return (n,) whether two predictions are within a tenth of the standard deviation of the second model's."""
        first, second = check_numbers(outputs, np.asarray(others, np.float64).reshape(-1))
        return np.asarray(np.abs(first - second) <= SAME_DISTANCE * second.std())


def check_numbers(outputs: ArrayLike, targets: ArrayLike) -> tuple[Floats, Floats]:
    """Return (n,) predictions and (n,) targets in float64.

    Args:
        outputs: (n, 1) or (n,) predictions.
        targets: (n,) targets.

    Raises:
        ValueError: An array is empty, not finite or of the wrong shape.
    """
    predictions, truth = np.asarray(outputs, np.float64), np.asarray(targets, np.float64)
    if predictions.ndim == 2 and predictions.shape[1] == 1:
        predictions = predictions[:, 0]
    if predictions.ndim != 1 or predictions.shape != truth.shape or not len(truth):
        raise ValueError(f"predictions of the shape {np.shape(outputs)} for targets of the shape {truth.shape}")
    for name, values in (("predictions", predictions), ("targets", truth)):
        if not np.isfinite(values).all():
            raise ValueError(f"{name} are NaN or infinite, first in row {int(np.flatnonzero(~np.isfinite(values))[0])}")
    return predictions, truth


def _variance(mean: Floats, mean_of_squares: Floats) -> Floats:
    variance = mean_of_squares - mean**2
    return np.where(variance > _TINY * mean_of_squares, variance, 0.0)


def _r2(mean_square: Floats, variance: Floats) -> Floats:
    undefined = np.where(mean_square > 0, 0.0, 1.0)
    return np.where(variance > 0, 1 - mean_square / np.where(variance > 0, variance, 1), undefined)


def _spearman_summands(predictions: Floats, truth: Floats) -> Floats:
    """Return (n,) numbers whose mean is Fisher's z of Spearman's correlation, and whose resamples have its variance."""
    first, second = _Ranked.of(predictions), _Ranked.of(truth)
    spread = first.variance * second.variance
    if spread <= 0:
        return np.zeros(len(truth))
    product = float((first.ranks * second.ranks).mean())
    scale = float(np.sqrt(spread))
    rho = min(max((product - 0.25) / scale, -1.0), 1.0)
    of_covariance = first.ranks * second.ranks + first.above(second.ranks) + second.above(first.ranks) - 3 * product
    relative = first.variance_influence / first.variance + second.variance_influence / second.variance
    influence = of_covariance / scale - rho / 2 * relative
    slope = 1 - rho**2  # of rho over z
    with np.errstate(divide="ignore"):
        z = float(np.clip(np.arctanh(rho), -_MAX_Z, _MAX_Z))
    return np.asarray(z + (influence - influence.mean()) / slope if slope > _TINY else np.full(len(truth), z))


@dataclass(frozen=True)
class _Ranked:
    """Values with their ranks, from 0 to 1.

    Attributes:
        inverse: (n,) index of each example's value among the distinct values in ascending order.
        counts: Number of examples per distinct value.
        ranks: (n,) share of examples below, with half of the equal ones.
    """

    inverse: NDArray[np.intp]
    counts: NDArray[np.intp]
    ranks: Floats

    @classmethod
    def of(cls, values: Floats) -> _Ranked:
        """Rank values; equal values share their mean rank."""
        _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
        ranks = (np.cumsum(counts) - counts / 2) / len(values)
        return cls(inverse, counts, ranks[inverse])

    @property
    def variance(self) -> float:
        """Variance of the ranks; 0 if all values are equal."""
        return float((self.ranks**2).mean() - 0.25) if len(self.counts) > 1 else 0.0

    @property
    def variance_influence(self) -> Floats:
        """(n,) influence of each example on the variance of the ranks."""
        return np.asarray(self.ranks**2 + 2 * self.above(self.ranks) - 3 * (self.ranks**2).mean())

    def above(self, weights: Floats) -> Floats:
        """Return (n,) mean weight of the examples with a greater value, with half of those with an equal value."""
        sums = np.bincount(self.inverse, weights, len(self.counts))
        return np.asarray((sums.sum() - np.cumsum(sums) + sums / 2)[self.inverse] / len(self.ranks))
