"""Comparing models that were timed in turns: medians, tails, and ratios with their intervals.

Knows arrays of times. Knows nothing of models or processes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kit.measurement.intervals import Estimate, percentile_interval

_RESAMPLES = 1_000


@dataclass(frozen=True)
class Times:
    """What was measured of one model.

    latencies: (rounds, texts) milliseconds for one text. rates: (rounds,) texts a second, many at a time.
    """

    latencies: np.ndarray
    rates: np.ndarray

    def quantile(self, share: float) -> float:
        """Milliseconds that this share of all single texts took at most."""
        return float(np.quantile(self.latencies, share))

    @property
    def throughput(self) -> float:
        """Texts a second, many at a time: the median round."""
        return float(np.median(self.rates))


def speedups(first: Times, other: Times, seed: int = 0) -> tuple[Estimate, Estimate]:
    """How many times as fast as the first one the other is: for a single text (median), and many at a time.

    Both were measured in the same rounds, on the same texts. Rounds and texts are resampled together, the same ones for
    both, so that what disturbed a round disturbs both sides of a ratio. Raises ValueError if they do not match.
    """
    if first.latencies.shape != other.latencies.shape or first.rates.shape != other.rates.shape:
        raise ValueError(f"times of {first.latencies.shape} and {other.latencies.shape} are not of the same rounds")
    rounds, texts = first.latencies.shape
    generator = np.random.default_rng(seed)
    single, many = np.empty(_RESAMPLES), np.empty(_RESAMPLES)
    for index in range(_RESAMPLES):
        drawn = generator.integers(0, rounds, rounds)
        columns = generator.integers(0, texts, texts)
        ours, theirs = (times.latencies[drawn][:, columns] for times in (other, first))
        single[index] = np.median(theirs) / np.median(ours)
        many[index] = np.median(other.rates[drawn]) / np.median(first.rates[drawn])
    values = (first.quantile(0.5) / other.quantile(0.5), other.throughput / first.throughput)
    return tuple(_estimate(value, sample) for value, sample in zip(values, (single, many), strict=True))  # type: ignore[return-value]


def _estimate(value: float, samples: Sequence[float] | np.ndarray) -> Estimate:
    low, high = percentile_interval(samples)
    return Estimate(value, min(low, value), max(high, value))
