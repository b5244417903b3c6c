"""Ratios of times are unbiased, cover at their level, and ignore disturbed rounds."""

from __future__ import annotations

import numpy as np
import pytest

from kit.measurement.rounds import Times, latency_interval, speedups, text_median
from kit.measurement.speed import by_length


def simulated(factor: float, rounds: int, seed: int, disturbance: np.ndarray) -> Times:
    """Return times of a model that takes `factor` ms per text, times the disturbance of each round."""
    generator = np.random.default_rng(seed)
    latencies = factor * disturbance[:, None] * generator.lognormal(0, 0.1, (rounds, 40))
    rates = 1_000 / factor / disturbance * generator.lognormal(0, 0.02, rounds)
    return Times(latencies, rates)


def test_a_ratio_ignores_disturbed_rounds() -> None:
    disturbance = np.array([1.0, 3.0, 1.0, 2.0, 5.0])
    first, other = simulated(8.0, 5, 0, disturbance), simulated(2.0, 5, 1, disturbance)
    single, many = speedups(first, other)
    assert single.value == pytest.approx(4.0, rel=0.15) and single.low < 4.0 < single.high
    assert many.value == pytest.approx(4.0, rel=0.05)


def test_intervals_of_ratios_cover_at_their_level() -> None:
    held = 0
    for trial in range(60):
        quiet = np.ones(5)
        single, _ = speedups(simulated(3.0, 5, 2 * trial, quiet), simulated(1.0, 5, 2 * trial + 1, quiet), trial)
        held += single.low <= 3.0 <= single.high
    assert held >= 50


def test_times_of_different_rounds_are_refused() -> None:
    quiet = np.ones(5)
    with pytest.raises(ValueError, match="not of the same rounds"):
        speedups(simulated(1.0, 5, 0, quiet), simulated(1.0, 4, 0, np.ones(4)))


def test_quantiles_are_over_all_rounds() -> None:
    times = Times(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([10.0, 30.0, 20.0]))
    assert times.quantile(0.5) == 2.5 and times.throughput == 20.0


def test_latency_interval_leaves_out_the_spread_of_lengths() -> None:
    lengths = np.arange(48)
    noise = np.random.default_rng(0).normal(0, 0.05, (3, 48))
    interval = latency_interval(Times(10.0 + lengths[None, :] + noise, np.array([])), lengths.tolist())
    assert interval.low < 33.5 < interval.high and interval.high - interval.low < 2


def test_latency_interval_covers_rounds_that_differ() -> None:
    interval = latency_interval(Times(np.repeat([[10.0], [12.0], [14.0]], 48, axis=1), np.array([])), [5] * 48)
    assert (interval.low, interval.value, interval.high) == (10.0, 12.0, 14.0)


def test_the_median_agrees_with_its_breakdown_on_a_busy_machine() -> None:
    random = np.random.default_rng(0)
    lengths = np.arange(48)
    latencies = np.where(random.random((6, 48)) < 0.4, 3.0, 1.0) * (1.7 + lengths / 100)  # any prediction may be slow
    times = Times(latencies, np.array([]))
    interval, thirds = latency_interval(times, lengths.tolist()), by_length(times, lengths.tolist())
    assert interval.value == text_median(latencies)
    assert interval.value == pytest.approx(thirds[1].p50_ms, rel=0.15)
    assert min(third.p50_ms for third in thirds) <= interval.value <= max(third.p50_ms for third in thirds)
    assert interval.low < interval.value < interval.high
