"""The statistics of a study, written again from their definitions: nothing is imported from kit.

`right` is a boolean per run and test example, `samples` a metric per run and resample of the test examples. The seeds
of random streams are those of the definitions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

RESAMPLES = 1_000
Interval = tuple[float, float, float]  # value, low, high


def drawn_examples(n: int) -> np.ndarray:
    """(1,000, n) test examples that each resample draws."""
    return np.random.default_rng(0).integers(0, n, (RESAMPLES, n))


def accuracy_samples(right: np.ndarray) -> np.ndarray:
    return right[drawn_examples(len(right))].mean(axis=1)


def calibration_errors(logits: np.ndarray, truth: np.ndarray) -> tuple[float, np.ndarray]:
    """Expected calibration error in 15 bins of equal width, on all examples and on each resample."""
    scaled = np.exp(logits - logits.max(axis=1, keepdims=True))
    confidence = (scaled / scaled.sum(axis=1, keepdims=True)).max(axis=1)
    bins = np.ceil(15 * confidence).astype(int) - 1
    surplus = (logits.argmax(axis=1) == truth) - confidence

    def error(chosen: np.ndarray) -> float:
        return sum(abs(surplus[chosen][bins[chosen] == one].sum()) for one in range(15)) / len(chosen)

    whole = np.arange(len(truth))
    return error(whole), np.array([error(chosen) for chosen in drawn_examples(len(truth))])


def interval(samples: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(samples, [0.025, 0.975])
    return float(low), float(high)


@dataclass(frozen=True)
class Mean:
    """The mean of one metric over seeds 0 to k - 1, at one budget of one variant."""

    values: np.ndarray  # (k,)
    samples: np.ndarray  # (k, 1,000)
    right: np.ndarray  # (k, n)

    @property
    def value(self) -> float:
        return float(self.values.mean())

    @property
    def sd(self) -> float:
        return float(self.values.std(ddof=1))

    @property
    def test_part(self) -> np.ndarray:
        """Deviations due to the test examples, widened for n - 1 degrees of freedom."""
        n, mean = self.right.shape[1], self.samples.mean(axis=0)
        return (mean - mean.mean()) * math.sqrt(n / (n - 1)) * stats.t.ppf(0.975, n - 1) / stats.norm.ppf(0.975)

    @property
    def loadings(self) -> np.ndarray:
        k = len(self.values)
        return (self.values - self.value) / math.sqrt(k * (k - 1))

    @property
    def seed_part(self) -> np.ndarray:
        """Deviations due to the seeds: Student's t with k - 1 degrees of freedom."""
        k = len(self.values)
        normal = np.stack([np.random.default_rng([20_070, seed]).standard_normal(RESAMPLES) for seed in range(k)])
        chi_squared = np.random.default_rng([19_350, k]).chisquare(k - 1, RESAMPLES)
        return self.loadings @ normal / np.sqrt(chi_squared / (k - 1))

    @property
    def replicates(self) -> np.ndarray:
        return self.value + self.test_part + self.seed_part

    @property
    def estimate(self) -> Interval:
        low, high = interval(self.replicates)
        return self.value, min(max(low, 0), self.value), max(min(high, 1), self.value)


def not_in_seeds(a: Mean, b: Mean) -> float:
    """Share of the deviations due to test examples that the seed part of a difference does not contain already."""
    samples = a.samples - b.samples
    mean, k = samples.mean(axis=0), len(samples)
    both = (samples - mean).var(axis=1).sum() / (k - 1) / k
    covered = min(both, ((a.loadings - b.loadings) ** 2).sum(), mean.var())
    return math.sqrt(1 - covered / mean.var())


def difference(a: Mean, b: Mean) -> tuple[Interval, float]:
    """a - b with its 95 % interval, and the two-sided p value of the bootstrap test."""
    sample = (a.test_part - b.test_part) * not_in_seeds(a, b)
    replicates = a.value - b.value + sample + a.seed_part - b.seed_part
    value, (low, high) = a.value - b.value, interval(replicates)
    beyond = min((replicates <= 0).sum(), (replicates >= 0).sum())
    p = min(1.0, 2 * (beyond + 1) / (RESAMPLES + 1))
    if beyond < 10:
        p = min(p, 2 * tail(abs(value), sample.std(ddof=1), math.hypot(*(a.loadings - b.loadings)), len(a.values) - 1))
    return (value, min(low, value), max(high, value)), p


def tail(distance: float, normal: float, student: float, freedom: float) -> float:
    """Probability that a normal plus a scaled Student's t variable exceeds `distance`, by integration."""
    grid = np.linspace(-8, 8, 4_001)
    return float(np.trapezoid(stats.norm.pdf(grid) * stats.t.sf((distance - normal * grid) / student, freedom), grid))


def mcnemar(a: Mean, b: Mean) -> float:
    """Twice the median over seeds of the exact p values that both are right equally often."""
    p_values = []
    for first, second in zip(a.right, b.right, strict=True):
        only = int((first & ~second).sum()), int((second & ~first).sum())
        p_values.append(stats.binomtest(min(only), sum(only)).pvalue if sum(only) else 1.0)
    return min(1.0, 2 * float(np.median(p_values)))


def holm(p_values: list[float]) -> list[float]:
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda one: p_values[one])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def retained(a: Mean, b: Mean) -> Interval:
    low, high = interval(np.clip(a.replicates, 0, 1) / b.replicates)
    return a.value / b.value, min(low, a.value / b.value), max(high, a.value / b.value)


def labels_of_control(mean: Mean, budget: int, control: dict[int, Mean]) -> tuple[float | None, float, float | None]:
    """Labels of a control, as multiples of a budget, at which its error falls to that of `mean`: value, low, high.

    The error of the control is linear in the logarithm of the labels between two budgets, and does not rise.
    """
    (small, first), (large, last) = sorted(control.items())

    def reached(error: float, start: float, end: float) -> float:
        if end > start:  # pooled: the error does not rise
            start = end = (start + end) / 2
        if start <= error + 1e-12:
            return small
        if end > error + 1e-12:
            return math.inf
        return small * (large / small) ** ((start - error) / (start - end))

    value = reached(1 - mean.value, 1 - first.value, 1 - last.value)
    clipped = (np.clip(1 - one.replicates, 0, 1) for one in (mean, first, last))
    low, high = interval(np.minimum([reached(*errors) for errors in zip(*clipped, strict=True)], 1e300))
    low = min(low, value)
    low = 0.0 if low <= small else min(low, large) / budget
    if value > large:
        return None, low, None
    return value / budget, low, max(high, value) / budget if high <= large else None


def is_dominated(one: tuple[float, ...], others: list[tuple[float, ...]]) -> bool:
    """Whether a choice is no better in anything and worse in something than another one.

    Choices are (metric, low and high latency, size, labels); overlapping latencies are equal.
    """

    def dominates(other: tuple[float, ...]) -> bool:
        metric, _, _, size, labels = (a - b for a, b in zip(other, one, strict=True))
        faster, slower = other[2] < one[1], other[1] > one[2]
        worse = metric < 0 or slower or size > 0 or labels > 0
        return not worse and (metric > 0 or faster or size < 0 or labels < 0)

    return any(dominates(other) for other in others)
