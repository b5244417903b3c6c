"""Confidence intervals of scores, from the sampling error of the test set.

The percentile bootstrap over test examples (Efron & Tibshirani 1993, An Introduction to the Bootstrap, ch. 13) gives
every score its interval. If all examples are right, or all are wrong, resamples do not differ: accuracy and exact match
then get the Wilson score interval (Wilson 1927; recommended by Brown, Cai & DasGupta 2001, doi:10.1214/ss/1009213286).
The other scores of such a test set, and those of a single example, keep the bootstrap's interval of zero width.
Calibration error is biased upwards in small samples, resamples included; every interval is widened, if necessary, to
contain its value.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from kit.measurement.logits import Floats
from kit.measurement.measure import Measure
from kit.measurement.units import NOT_SHARES, OF_HUNDRED, PROPORTIONS

# Resamples x examples that are held in memory at once: 64 MB.
_CELLS = 8_000_000


@dataclass(frozen=True)
class Estimate:
    """A score with its interval; a share `level` of such intervals contains the score on an infinite test set."""

    value: float
    low: float
    high: float
    level: float = 0.95

    def format(self, percent: bool = False) -> str:
        """Return `81.2 % [78.9, 83.4]` as a percentage, `0.412 [0.398, 0.431]` otherwise."""
        if percent:
            return f"{100 * self.value:.1f} % [{100 * self.low:.1f}, {100 * self.high:.1f}]"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"

    def __str__(self) -> str:
        return self.format()


def shown(name: str, estimate: Estimate) -> str:
    """Return a metric for messages: shares as percentages, translation scores out of 100, other metrics as they are."""
    if name in OF_HUNDRED:
        return f"{100 * estimate.value:.1f} [{100 * estimate.low:.1f}, {100 * estimate.high:.1f}]"
    return estimate.format(percent=name not in NOT_SHARES)


def bootstrap_scores(
    outputs: np.ndarray,
    targets: np.ndarray,
    measure: Measure,
    *,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Estimate]:
    """Return every score of a measure with its interval.

    Args:
        outputs: Outputs of n examples, as `measure` takes them.
        targets: Targets of the same examples.
        measure: The scores to compute.
        resamples: Number of bootstrap resamples.
        level: Confidence level.
        seed: Seed of the resampling; the same seed gives the same intervals.

    Raises:
        ValueError: If outputs or targets are empty, or do not match.
    """
    parts = measure.tally(outputs, targets)
    n = len(next(iter(parts.values())))
    whole = {name: part.sum(axis=0) for name, part in parts.items()}
    values = measure.scores(whole, n)
    batches = [
        measure.scores({name: weights @ part for name, part in parts.items()}, n, whole)
        for weights in resample_weights(n, resamples, seed)
    ]
    estimates = {}
    for name, value in values.items():
        low, high = percentile_interval(np.concatenate([batch[name] for batch in batches]), level)
        if name in PROPORTIONS and float(value) in (0.0, 1.0):
            low, high = wilson_interval(round(float(value) * n), n, level)
        estimates[name] = Estimate(float(value), min(low, float(value)), max(high, float(value)), level=level)
    return estimates


def percentile_interval(samples: ArrayLike, level: float = 0.95) -> tuple[float, float]:
    """Return the ends (low, high) of the middle `level` of the samples.

    Raises ValueError if there are none.
    """
    values = np.asarray(samples, np.float64)
    if values.size == 0:
        raise ValueError("samples are empty")
    tail = (1 - level) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


def percentile_estimate(value: float, samples: ArrayLike) -> Estimate:
    """Return a value with the interval of its samples, widened to contain the value."""
    low, high = percentile_interval(samples)
    return Estimate(float(value), float(min(low, value)), float(max(high, value)))


def spread(samples: ArrayLike) -> Floats:
    """Return half the distance between the 16 % and 84 % quantiles along the first axis.

    For normal samples this is the standard deviation. It stays finite for Student's t with few degrees of freedom,
    whose true standard deviation is infinite.
    """
    low, high = np.quantile(np.asarray(samples, np.float64), [0.1587, 0.8413], axis=0)
    return np.asarray((high - low) / 2, np.float64)


def wilson_interval(right: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Return the Wilson score interval (low, high) of the proportion `right` / `n`; its width is never zero."""
    if n < 1 or not 0 <= right <= n:
        raise ValueError(f"{right} of {n} is not a proportion")
    z = float(ndtri((1 + level) / 2))
    share = right / n
    centre = share + z**2 / (2 * n)
    spread = z * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    low, high = (centre - spread) / (1 + z**2 / n), (centre + spread) / (1 + z**2 / n)
    return (0.0 if right == 0 else low), (1.0 if right == n else high)


def resample_weights(n: int, resamples: int, seed: int) -> Iterator[Floats]:
    """Yield batches of resamples as draw counts per example: (batch, n), with n draws in each row.

    Callers must not change them: the last single batch is kept.
    """
    if n * resamples <= _CELLS:
        yield _only_batch(n, resamples, seed)
        return
    generator = np.random.default_rng(seed)
    rows = max(1, _CELLS // n)
    for start in range(0, resamples, rows):
        yield _drawn(generator, min(rows, resamples - start), n)


@lru_cache(maxsize=1)
def _only_batch(n: int, resamples: int, seed: int) -> Floats:
    """Return all resamples as one array; a study uses the same for thousands of scores."""
    weights = _drawn(np.random.default_rng(seed), resamples, n)
    weights.setflags(write=False)
    return weights


def _drawn(generator: np.random.Generator, count: int, n: int) -> Floats:
    """Return the draw counts (count, n) of resamples."""
    drawn: NDArray[np.int64] = generator.integers(0, n, (count, n))
    drawn += np.arange(count)[:, None] * n
    return np.bincount(drawn.ravel(), minlength=count * n).reshape(count, n).astype(np.float64)
