"""One-sided bounds of means over seeds that hold at small error probabilities.

A mean has two errors, see `points`: the sample part (normal) and the seed part (Student's t). Replicates show quantiles
of 5 %, but not of 0.1 %, as a family of claims needs them. Three approximations give such quantiles:

- Variances over three seeds are rough. They are moderated towards the variance that is typical of the study, as far as
  the variances of its options agree (empirical Bayes: Smyth 2004, doi:10.2202/1544-6115.1027).
- The quantile of the sum of both parts is the mean of their quantiles, weighted by their variances (Cochran & Cox 1950,
  Experimental Designs, section 4.14).
- Metrics from 0 to 1 have bounds of Wilson's form, with the number of examples that would give the same standard error
  (Korn & Graubard 1998, Survey Methodology 24, 193-201), as normal bounds are too narrow close to 0 and 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, polygamma, psi, stdtrit

from kit.analysis.points import Run, metric_range, sample_part
from kit.measurement.logits import Floats

UNKNOWN_DEVIATION = 0.03  # standard deviation over seeds that is assumed before any is measured
_LEAST_SHARE = 1e-5  # least variance, as a share of the median
_NEWTON_STEPS = 50


@dataclass(frozen=True)
class Mean:
    """A mean over seeds with its standard errors.

    Attributes:
        value: Mean of the metric, or of a paired difference.
        seeds: Number of seeds; 0 for an interpolated value.
        sample: Standard error due to the test examples.
        deviation: Standard deviation over seeds.
        freedom: Degrees of freedom of `deviation`.
        examples: Number of test examples.
    """

    value: float
    seeds: int
    sample: float
    deviation: float
    freedom: float
    examples: int

    def error(self, seeds: int | None = None) -> float:
        """Return the standard error with this number of seeds; by default with those measured."""
        return math.hypot(self.sample, self._seed_error(seeds))

    def width(self, level: float, seeds: int | None = None) -> float:
        """Return the distance from the mean to its one-sided bound.

        Args:
            level: Probability that the bound is wrong.
            seeds: Number of seeds for a forecast; None for those measured.
        """
        seed_error, freedom = self._seed_error(seeds), self.freedom + max((seeds or self.seeds) - self.seeds, 0)
        if (error := self.error(seeds)) == 0:
            return 0.0
        student = float(stdtrit(freedom, 1 - level)) if seed_error else 0.0
        return (self.sample**2 * -float(ndtri(level)) + seed_error**2 * student) / error

    def bounds(self, level: float, metric: str) -> tuple[float, float]:
        """Return the lower and the upper bound of a metric, each wrong with probability `level`."""
        width = self.width(level)
        if metric_range(metric) != (0.0, 1.0) or not 0 <= self.value <= 1:
            return self.value - width, self.value + width
        error = self.error()
        quantile = width / error if error else -float(ndtri(level))
        return _wilson(self.value, error, quantile, examples=self.examples)

    def _seed_error(self, seeds: int | None) -> float:
        return self.deviation / math.sqrt(max(1, self.seeds if seeds is None else seeds))


def means_of(runs: Sequence[Sequence[Run]]) -> list[Mean]:
    """Return the mean of the runs of each option, with moderated deviations over seeds.

    Args:
        runs: Runs of each option, one per seed. An option of one run has the typical deviation of the study.
    """
    variances = np.array([np.var([run.value for run in some], ddof=1) if len(some) > 1 else np.nan for some in runs])
    moderated, freedoms = moderate(variances, np.array([len(some) - 1.0 for some in runs]))
    return [
        Mean(
            float(np.mean([run.value for run in some])),
            len(some),
            float(sample_part(some).std()),
            deviation=math.sqrt(variance),
            freedom=freedom,
            examples=len(some[0].correct),
        )
        for some, variance, freedom in zip(runs, moderated.tolist(), freedoms.tolist(), strict=True)
    ]


def moderate(variances: Floats, freedoms: Floats) -> tuple[Floats, Floats]:
    """Return variances shrunk towards their typical value, with their degrees of freedom.

    Args:
        variances: (k,) variances; NaN if unknown, which becomes the typical value with 1 degree of freedom.
        freedoms: (k,) degrees of freedom of the variances.
    """
    known = ~np.isnan(variances)
    if not known.any() or not (variances[known] > 0).any():
        return np.where(known, variances, UNKNOWN_DEVIATION**2), np.maximum(freedoms, 1.0)
    measured, own = variances[known], freedoms[known]
    floored = np.maximum(measured, _LEAST_SHARE * max(float(np.median(measured)), float(measured.max()) / 100))
    prior_freedom, prior = _prior(floored, own)
    total = np.minimum(own + prior_freedom, own.sum())
    weight = own / (own + prior_freedom)
    result, result_freedoms = np.full(len(variances), prior), np.ones(len(variances))
    result[known], result_freedoms[known] = weight * measured + (1 - weight) * prior, total
    return result, result_freedoms


def _prior(variances: Floats, freedoms: Floats) -> tuple[float, float]:
    """Return the degrees of freedom and the value of the typical variance.

    The degrees of freedom are infinite if the variances agree.
    """
    if len(variances) < 2:
        return 0.0, float(variances.mean())
    logs = np.log(variances) - psi(freedoms / 2) + np.log(freedoms / 2)
    excess = float(logs.var(ddof=1) - polygamma(1, freedoms / 2).mean())
    if excess <= 0:
        return math.inf, float((variances * freedoms).sum() / freedoms.sum())
    half = _inverse_trigamma(excess)
    return 2 * half, float(np.exp(logs.mean() + psi(half) - np.log(half)))


def _inverse_trigamma(value: float) -> float:
    """Return x with polygamma(1, x) = value, by Newton's method on 1 / trigamma."""
    x = 0.5 + 1 / value
    for _ in range(_NEWTON_STEPS):
        trigamma = float(polygamma(1, x))
        step = trigamma * (1 - trigamma / value) / float(polygamma(2, x))
        x += step
        if -step / x < 1e-8:
            break
    return x


def _wilson(value: float, error: float, quantile: float, examples: int) -> tuple[float, float]:
    """Return Wilson's bounds of a share, for the number of examples with this error."""
    spread = value * (1 - value)
    n = spread / error**2 if spread and error else examples
    z = quantile**2 / n
    centre, half = value + z / 2, quantile * math.sqrt(spread / n + z / (4 * n))
    return (centre - half) / (1 + z), (centre + half) / (1 + z)
