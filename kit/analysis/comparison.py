"""Comparison of two methods: tests whether a difference exceeds chance.

The bootstrap test is about methods: would a beat b with other seeds and other test examples? McNemar's test is about
the trained models: are the two right equally often? It ignores seeds, and can be sure of a difference that another seed
would reverse (simulated with 5 seeds, 3 points apart, on 1,000 test examples: at a level of 5 %, McNemar's test was
wrong in 46 % of the tests and the bootstrap test in 3 to 5 %). Therefore the bootstrap test decides on significance,
corrected for the number of comparisons.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import bdtr, ndtr, stdtr  # scipy.stats has them as well, but takes a second to import

from kit.analysis.points import ROUNDING, Point, Run, metric_range, sample_part, seed_freedom, seed_loadings
from kit.analysis.significance import MIN_SEEDS, Judgement, Result, judge_difference, requirement
from kit.measurement.intervals import Estimate, percentile_interval, wilson_interval
from kit.measurement.logits import Floats
from kit.measurement.units import NOT_SHARES, shown_difference

_FEW = 10  # fewest replicates beyond 0 from which p is counted; with fewer, p is computed from the distribution

Pair = tuple[str, Point, str, Point]


@dataclass(frozen=True)
class Comparison:
    """Series a against series b at one budget, on the same test examples.

    Attributes:
        a: Name of the first series.
        b: Name of the second series.
        budget: Number of labels of both.
        difference: Metric of a - metric of b.
        p_bootstrap: Two-sided p value over seeds and test examples.
        p_mcnemar: Two-sided p value for the trained models as they are.
        p_holm: `p_bootstrap` corrected for the `together` comparisons; equal to `p_bootstrap` if too few seeds are
            paired for the test.
        seeds: Number of seeds on both sides; if 0, only the test examples are paired.
        only_a: Test examples that only a predicts correctly: mean over paired seeds, or over all pairs of runs if no
            seed is paired.
        only_b: Test examples that only b predicts correctly.
        metric: Name of the metric.
        together: Number of comparisons that `p_holm` is corrected for.
        one_run: A side has a single seed, so that the interval does not include its seed variance.
    """

    a: str
    b: str
    budget: int
    difference: Estimate
    p_bootstrap: float
    p_mcnemar: float
    p_holm: float
    seeds: int
    only_a: int
    only_b: int
    metric: str = "accuracy"
    together: int = 1
    one_run: bool = False

    @property
    def judgement(self) -> Judgement:
        """Outcome of the test, in agreement with the interval of the difference."""
        low, high = self.difference.low, self.difference.high
        return judge_difference(
            low, high, self.p_holm, paired_seeds=self.seeds, one_run=self.one_run, together=self.together
        )

    @property
    def significant(self) -> bool:
        """True if the difference is significant at 5 % for all comparisons made together."""
        return self.judgement.result is Result.SIGNIFICANT

    @property
    def tested(self) -> bool:
        """True if both sides share enough seeds for the test."""
        return self.judgement.result is not Result.NOT_TESTED

    @property
    def verdict(self) -> str:
        """Outcome of the test with what it depends on: `significant, corrected for 11 comparisons`."""
        judgement, several = self.judgement, f" for {self.together} comparisons"
        if judgement.result is Result.NOT_TESTED:
            return f"{judgement.words}; {requirement()}"
        if judgement.result is Result.NOT_AFTER_CORRECTION:
            return judgement.words + several
        return judgement.words + (f", corrected{several}" if self.together > 1 else "")

    @property
    def line(self) -> str:
        """Result of the comparison in one sentence."""
        better = self if self.difference.value >= 0 else self.swapped()
        at = f"at {self.budget:,} labels: {self.metric} {better.size}"
        result = self.judgement.result
        if result is Result.NOT_TESTED:
            return f"{better.a} and {better.b} {at}; {self.verdict}"
        p = f"p {_shown(self.p_holm)}" + (f" (corrected for {self.together} comparisons)" if self.together > 1 else "")
        if result is Result.SIGNIFICANT:
            return f"{better.a} is better than {better.b} {at}, {p}"
        if result in (Result.NOT_AFTER_CORRECTION, Result.BORDERLINE):
            return f"{better.a} and {better.b} {at}; {self.judgement.words}: {p}"
        return f"no significant difference: {better.a} and {better.b} {at}, {p}"

    @property
    def size(self) -> str:
        """Difference in words: `+3.2 points [1.1, 5.3]`, or of a correlation `+0.032 [0.011, 0.053]`."""
        return f"{shown_difference(self.metric, self.difference.value, signed=True)} {self.interval}"

    @property
    def interval(self) -> str:
        """Interval in words: `[1.1, 5.3]` in points, or of a correlation `[0.011, 0.053]`."""
        low, high = self.difference.low, self.difference.high
        return f"[{low:.3f}, {high:.3f}]" if self.metric in NOT_SHARES else f"[{100 * low:.1f}, {100 * high:.1f}]"

    def swapped(self) -> Comparison:
        """Return the same comparison with a and b exchanged."""
        estimate = self.difference
        negated = Estimate(-estimate.value, -estimate.high, -estimate.low, level=estimate.level)
        return replace(self, a=self.b, b=self.a, difference=negated, only_a=self.only_b, only_b=self.only_a)


def compare(pairs: Sequence[Pair]) -> tuple[Comparison, ...]:
    """Compare the two points of each pair, and correct the p values of all tested comparisons by Holm's method.

    Raises:
        ValueError: If the points of a pair differ in budget, metric, test examples or number of resamples.
    """
    comparisons = [_compare(*pair) for pair in pairs]
    tested = [index for index, comparison in enumerate(comparisons) if comparison.tested]
    for index, p in zip(tested, holm([comparisons[index].p_bootstrap for index in tested]), strict=True):
        comparisons[index] = replace(comparisons[index], p_holm=float(p), together=len(tested))
    return tuple(comparisons)


def all_pairs(series: Sequence[tuple[str, Sequence[Point]]]) -> tuple[Comparison, ...]:
    """Compare all pairs of series at their largest common budget, Holm-corrected together.

    Args:
        series: (name, points) of each series.
    """
    pairs: list[Pair] = []
    for (a, points_a), (b, points_b) in combinations(series, 2):
        of_a, of_b = ({point.budget: point for point in points} for points in (points_a, points_b))
        if shared := of_a.keys() & of_b.keys():
            pairs.append((a, of_a[max(shared)], b, of_b[max(shared)]))
    return compare(pairs)


def mcnemar(correct_a: ArrayLike, correct_b: ArrayLike) -> float:
    """Return the two-sided p value that two models are right equally often (McNemar 1947, exact binomial form).

    Only examples for which exactly one model is right count; p is 1 if there are none.

    Args:
        correct_a: (n,) whether the first model predicts each example correctly.
        correct_b: (n,) the same for the second model.

    Raises:
        ValueError: If the shapes differ.
    """
    first, second = np.asarray(correct_a, np.bool_), np.asarray(correct_b, np.bool_)
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(f"predictions differ in shape: {first.shape} and {second.shape}")
    only_a, only_b = int((first & ~second).sum()), int((second & ~first).sum())
    return min(1.0, 2 * float(bdtr(min(only_a, only_b), only_a + only_b, 0.5)))


def combined(p_values: Sequence[float]) -> float:
    """Return one p value from several tests of the same question: twice their median, at most 1.

    A single p value is returned unchanged. Tests on the same test examples depend on each other, so their p values
    cannot be multiplied; twice the median is valid under any dependence (Rueger 1978; Vovk & Wang 2020,
    arXiv:1212.4966). Raises ValueError if there are none.
    """
    if not len(p_values):
        raise ValueError("there are no p values")
    return float(p_values[0]) if len(p_values) == 1 else min(1.0, 2 * float(np.median(p_values)))


def holm(p_values: ArrayLike) -> Floats:
    """Return Holm-adjusted p values in the given order: any error among those below 0.05 has a 5 % chance (1979)."""
    values = np.asarray(p_values, np.float64)
    order = np.argsort(values, kind="stable")
    adjusted = np.minimum(1, np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1)))
    result = np.empty_like(values)
    result[order] = adjusted
    return result


def _compare(a: str, point_a: Point, b: str, point_b: Point) -> Comparison:
    _check(a, point_a, b, point_b=point_b)
    paired = _paired_runs(point_a, point_b)
    p_mcnemar = combined([mcnemar(first.correct, second.correct) for first, second in paired])
    difference = point_a.estimate.value - point_b.estimate.value
    whole = sample_part(point_a.runs) - sample_part(point_b.runs)
    sample = whole * _not_in_seeds(point_a, point_b)
    replicates = point_a.replicates - point_b.replicates - whole + sample
    seed_error = _seed_error(point_a, point_b)
    if np.ptp(whole) > ROUNDING or seed_error > ROUNDING:
        fewest = min((len(point.runs) for point in (point_a, point_b) if len(point.runs) > 1), default=2)
        low, high = percentile_interval(replicates)
        tail = _tail(abs(difference), float(sample.std(ddof=1)), seed_error, freedom=seed_freedom(fewest))
        p_bootstrap = _p_value(replicates, 2 * tail)
    else:
        low, high = _same_everywhere(difference, len(point_a.runs[0].correct))
        p_bootstrap = p_mcnemar
    least, most = metric_range(point_a.metric)
    low, high = max(low, least - most), min(high, most - least)
    common = {run.seed for run in point_a.runs} & {run.seed for run in point_b.runs}
    return Comparison(
        a=a,
        b=b,
        budget=point_a.budget,
        difference=Estimate(difference, min(low, difference), max(high, difference)),
        p_bootstrap=p_bootstrap,
        p_mcnemar=p_mcnemar,
        p_holm=p_bootstrap,
        seeds=len(common),
        only_a=round(float(np.mean([(first.correct & ~second.correct).sum() for first, second in paired]))),
        only_b=round(float(np.mean([(second.correct & ~first.correct).sum() for first, second in paired]))),
        metric=point_a.metric,
        one_run=min(len(point_a.runs), len(point_b.runs)) == 1,
    )


def _paired_runs(point_a: Point, point_b: Point) -> list[tuple[Run, Run]]:
    """Return pairs of runs with the same seed; if no seed is on both sides, all pairs of runs."""
    of_b = {run.seed: run for run in point_b.runs}
    paired = [(run, of_b[run.seed]) for run in point_a.runs if run.seed in of_b]
    return paired or list(product(point_a.runs, point_b.runs))


def _p_value(replicates: Floats, tails: float) -> float:
    """Return the two-sided bootstrap p value of a difference with some spread.

    Counted p values cannot fall below 2 / (B + 1), 0.002 with 1,000 replicates, which Holm's correction for 26
    comparisons would raise above 0.05. If few replicates lie beyond 0, p is therefore at most `tails`, the probability
    in the tails of the distribution of the replicates.
    """
    beyond = int(min((replicates <= 0).sum(), (replicates >= 0).sum()))
    counted = min(1.0, 2 * (beyond + 1) / (len(replicates) + 1))
    return counted if beyond >= _FEW else min(counted, tails)


def _not_in_seeds(point_a: Point, point_b: Point) -> float:
    """Return the share, 0 to 1, of the sample part's deviations that the seed part does not include.

    The effect of seeds on single test examples is in both parts, and dominates the variance of a difference. Counting
    it twice is too conservative: tests of 5 seeds at a level of 5 % were wrong in 0.5 % of simulated cases, and had
    less power. Two seeds contain too little information to leave anything out.
    """
    n = len(point_a.runs)
    if n < MIN_SEEDS or [run.seed for run in point_a.runs] != [run.seed for run in point_b.runs]:
        return 1.0
    samples = np.stack([a.samples - b.samples for a, b in zip(point_a.runs, point_b.runs, strict=True)])
    mean = samples.mean(axis=0)
    whole = float(mean.var())
    both = float((samples - mean).var(axis=1).sum()) / (n - 1) / n
    # The total variance never falls below that of the whole sample part, even if seeds agree by chance.
    covered = min(both, _seed_error(point_a, point_b) ** 2, whole)
    return math.sqrt(1 - covered / whole) if whole > ROUNDING**2 else 1.0


def _seed_error(point_a: Point, point_b: Point) -> float:
    """Return the standard error of the difference that seeds cause; seeds of both points count once."""
    of_a, of_b = seed_loadings(point_a.runs), seed_loadings(point_b.runs)
    return math.hypot(*(of_a.get(seed, 0.0) - of_b.get(seed, 0.0) for seed in of_a.keys() | of_b.keys()))


def _tail(distance: float, normal_sd: float, student_scale: float, freedom: float) -> float:
    """Return the probability that the sum of a normal and a scaled Student's t variable exceeds `distance`."""
    if student_scale == 0:
        return float(ndtr(-distance / normal_sd))
    if normal_sd == 0:
        return float(stdtr(freedom, -distance / student_scale))
    grid = np.linspace(-8, 8, 1601)
    tails = stdtr(freedom, (normal_sd * grid - distance) / student_scale)
    density = np.exp(-(grid**2) / 2) / math.sqrt(2 * math.pi)
    return float(np.trapezoid(density * tails, grid))


def _same_everywhere(difference: float, examples: int) -> tuple[float, float]:
    """Return the interval of a difference that is the same on each of n examples, as for two equal models.

    On at least the share `least` of all texts the difference equals the one here; on the others it may be anything from
    -1 to 1. This holds for means over examples; for metrics of the whole test set, such as BLEU, it is an
    approximation.
    """
    least = wilson_interval(examples, examples)[0]
    return least * difference - (1 - least), least * difference + (1 - least)


def _check(a: str, point_a: Point, b: str, point_b: Point) -> None:
    for what, first, second in (
        ("budget", point_a.budget, point_b.budget),
        ("metric", point_a.metric, point_b.metric),
        ("number of test examples", len(point_a.runs[0].correct), len(point_b.runs[0].correct)),
        ("number of resamples", len(point_a.replicates), len(point_b.replicates)),
    ):
        if first != second:
            raise ValueError(f"{a} and {b} cannot be compared: their {what} is {first} and {second}")


def _shown(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {p:.2g}" if p < 0.1 else f"= {p:.2f}"
