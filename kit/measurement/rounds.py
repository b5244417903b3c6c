"""Times of models that were measured in turns: medians and ratios of two models, with intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kit.measurement.intervals import Estimate, percentile_estimate

_RESAMPLES = 1_000
_NEIGHBOURS = 4  # texts of near-equal length that replace each other in resamples


@dataclass(frozen=True)
class Times:
    """Measured times of one model.

    Attributes:
        latencies: (rounds, texts) milliseconds per text.
        rates: (rounds,) texts per second in batches; empty if batches were not measured.
    """

    latencies: np.ndarray
    rates: np.ndarray

    def quantile(self, share: float) -> float:
        """Return this quantile of the milliseconds per prediction, over all texts and rounds."""
        return float(np.quantile(self.latencies, share))

    @property
    def throughput(self) -> float:
        """Texts per second in batches, the median over rounds."""
        return float(np.median(self.rates))


def text_median(latencies: np.ndarray) -> Any:
    """Return the median over texts of each text's median over rounds, for (..., rounds, texts) latencies.

    All medians of times use this estimator. The median over rounds and texts together would mix fast and slow rounds of
    different texts, and could contradict the medians of short, medium and long texts on a busy machine.
    """
    return np.median(np.median(latencies, axis=-2), axis=-1)


def latency_interval(times: Times, lengths: Sequence[int], seed: int = 0) -> Estimate:
    """Return the median time per text with its 95 % interval over rounds and texts, see `text_median`.

    Rounds are resampled, and texts among those of near-equal length: by design the sample has the length distribution
    of all texts, so lengths do not add to its error.
    """
    rounds, texts = times.latencies.shape
    ordered = times.latencies[:, np.argsort(lengths, kind="stable")]
    starts = np.arange(texts) // _NEIGHBOURS * _NEIGHBOURS
    ends = np.minimum(starts + _NEIGHBOURS, texts)
    generator = np.random.default_rng(seed)
    drawn = generator.integers(0, rounds, (_RESAMPLES, rounds))
    columns = generator.integers(starts, ends, (_RESAMPLES, texts))
    samples = ordered[drawn[:, :, None], columns[:, None, :]]
    return percentile_estimate(text_median(times.latencies), text_median(samples))


def speedups(first: Times, other: Times, seed: int = 0) -> tuple[Estimate, Estimate]:
    """Return the speedup of the other model over the first, per text (median) and in batches.

    Both models were measured in the same rounds, on the same texts. Rounds and texts are resampled together for both,
    so that a disturbed round affects both sides of a ratio. Raises ValueError if the shapes differ.
    """
    if first.latencies.shape != other.latencies.shape or first.rates.shape != other.rates.shape:
        raise ValueError(f"times of {first.latencies.shape} and {other.latencies.shape} are not of the same rounds")
    in_batches = _ratio(lambda drawn, _: np.median(other.rates[drawn]) / np.median(first.rates[drawn]), first, seed)
    return latency_ratio(first, other, seed), in_batches


def latency_ratio(first: Times, other: Times, seed: int = 0) -> Estimate:
    """Return the speedup of the other model over the first for a single text, see `speedups`."""
    first_ms, other_ms = first.latencies, other.latencies
    return _ratio(
        lambda rows, cols: text_median(first_ms[rows][:, cols]) / text_median(other_ms[rows][:, cols]), first, seed
    )


def _ratio(ratio: Callable[[np.ndarray, np.ndarray], np.floating], times: Times, seed: int) -> Estimate:
    """Return a ratio of two models with its interval. ratio: Function of rows (rounds) and columns (texts)."""
    rounds, texts = times.latencies.shape
    generator = np.random.default_rng(seed)
    samples = np.empty(_RESAMPLES)
    for index in range(_RESAMPLES):
        rows, columns = generator.integers(0, rounds, rounds), generator.integers(0, texts, texts)
        samples[index] = ratio(np.asarray(rows), np.asarray(columns))
    return percentile_estimate(float(ratio(np.arange(rounds), np.arange(texts))), samples)
