"""Points: the runs of one method at one budget, with their mean over seeds and its interval.

The metric of a run has two sources of error: another seed would draw other labels, weights and another order, and the
test set is a sample. The replicates of a point contain both, as two parts:

- sample part: test examples are resampled, with the same resamples for every run of a study, and all runs of the point
  are scored on them (the crossed bootstrap of Owen 2007, The pigeonhole bootstrap, doi:10.1214/07-AOAS122).
- seed part: each seed's deviation from the mean times a normal multiplier of that seed (Wu 1986,
  doi:10.1214/aos/1176350142), over the root of a chi-squared variable that accounts for few seeds. It follows Student's
  t with n - 1 degrees of freedom; the sum of both parts has the Behrens-Fisher distribution (Fisher 1935).

Seeds are not drawn with replacement: two seeds have only two distinct means (n - 1 of n, Rao & Wu 1988), and even
widened by Student's t such intervals covered 88 to 99 % in a simulation, where these cover 93 to 99 %.

Multipliers belong to the seed and resamples to the study, so the replicates of two points are paired: their differences
are replicates of the difference. The effect of a seed on single test examples is in both parts, so intervals of methods
whose seeds disagree on many examples are slightly too wide.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from kit.measurement.intervals import Estimate, percentile_interval, resample_weights, wilson_interval
from kit.measurement.logits import Floats
from kit.measurement.measure import Measure
from kit.measurement.units import NUMBER_SCORES, OF_HUNDRED, PROPORTIONS

_MULTIPLIERS, _SCALES, _UNSEEN = (
    20_070,
    19_350,
    17_630,
)  # seeds of generators, which differ from the seed of test resamples
Z_95 = 1.959964
ROUNDING = 1e-12  # largest difference between means of equal numbers
# Student's t with 1 degree of freedom makes intervals of two seeds that agree three times wider than necessary (99 %
# covered); 1.5 covers 93 to 99 % if seeds differ by 0.5 to 3 points on 200 to 1,000 test examples, and 89 % in the
# worst case tried (5 points on 3,000).
_LEAST_DF = 1.5
_RUNS_AT_ONCE = 256  # rows of booleans that are converted to floats together


@dataclass(frozen=True)
class Run:
    """One finished cell.

    Attributes:
        record: Id of its Record.
        seed: Training seed.
        value: Main metric on the test examples.
        correct: (n,) whether each test example is predicted correctly (in all its labels, if multi-label).
        samples: (B,) main metric on B resamples of the test examples, the same for every run of a study.
        verdict: Verdict on the training, see `training.diagnosis`; empty without training.
        line: Diagnosis in a sentence; empty without training.
        flag: Symptom of a run that failed to train; empty if it did not fail.
        seconds: Duration of fitting.
        model_bytes: Size of the saved model; None if it was not kept.
    """

    record: str
    seed: int
    value: float
    correct: np.ndarray
    samples: np.ndarray
    verdict: str = ""
    line: str = ""
    flag: str = ""
    seconds: float = 0.0
    model_bytes: int | None = None


@dataclass(frozen=True)
class Point:
    """All runs of one method at one budget, by seed.

    Attributes:
        budget: Number of labels.
        runs: Runs in the order of their seeds.
        estimate: Mean over seeds, with an interval for seeds and test examples together.
        seed_sd: Standard deviation over seeds; None for one seed.
        replicates: (B,) replicates of the mean, with the spread of the interval. They are not clipped, so that
            differences of replicates stay valid.
        metric: Name of the main metric.
    """

    budget: int
    runs: tuple[Run, ...]
    estimate: Estimate
    seed_sd: float | None
    replicates: np.ndarray
    metric: str = "accuracy"

    @property
    def model_bytes(self) -> int | None:
        """Size of the saved model, the largest over seeds; None if unknown."""
        return max((run.model_bytes for run in self.runs if run.model_bytes is not None), default=None)


def metric_samples(
    outputs: Sequence[np.ndarray], targets: np.ndarray, measure: Measure, *, resamples: int = 1000, seed: int = 0
) -> tuple[Floats, Floats]:
    """Return the main metric of every run, on all test examples and on the same resamples of them.

    Args:
        outputs: Outputs of R runs for n examples, in the form that `measure` takes.
        targets: Targets of the examples.
        measure: Metrics of the task.
        resamples: Number B of resamples.
        seed: Seed of the resamples; the same seed gives the resamples of `bootstrap_scores`.

    Returns:
        (R,) values and (R, B) samples.

    Raises:
        ValueError: If the main metric does not fit the task, or outputs and targets do not match.
    """
    if measure.main in PROPORTIONS:
        return _sample_shares(outputs, targets, measure, resamples=resamples, seed=seed)
    n = len(targets)
    values, samples = np.empty(len(outputs)), np.empty((len(outputs), resamples))
    for index, run in enumerate(outputs):
        parts = measure.tally(run, targets)
        whole = {name: part.sum(axis=0) for name, part in parts.items()}
        values[index] = _score(measure, whole, whole, n=n)
        # One product for all summands reads the weights once.
        columns, ends = np.hstack(list(parts.values())), np.cumsum([part.shape[1] for part in parts.values()])
        done = 0
        for weights in resample_weights(n, resamples, seed):
            sums = dict(zip(parts, np.split(weights @ columns, ends[:-1], axis=1), strict=True))
            samples[index, done : done + len(weights)] = _score(measure, sums, whole, n=n)
            done += len(weights)
    return values, samples


def point(budget: int, runs: Sequence[Run], metric: str = "accuracy") -> Point:
    """Return the mean of runs over their seeds, with a 95 % interval for seeds and test examples together.

    One seed contains no information on other seeds: the interval then covers the test sample only. If all runs predict
    all examples correctly, or all wrongly, resamples do not differ: the interval is the Wilson interval of the test
    examples, and the replicates are those of `_unseen`. Simulated coverage: 94 to 99 % with three or more seeds; see
    the module for two.

    Raises:
        ValueError: If there are no runs, two runs of a seed, or runs with different test examples or resamples.
    """
    _check_runs(runs)
    ordered = tuple(sorted(runs, key=lambda run: run.seed))
    values = np.array([run.value for run in ordered])
    value = float(values.mean())
    replicates = value + sample_part(ordered) + _seed_part(ordered)
    # A single run has the interval of its Record. The replicates are slightly wider, because they resample the mean.
    low, high = percentile_interval(replicates if len(ordered) > 1 else ordered[0].samples)
    correct = np.concatenate([run.correct for run in ordered])
    if (
        metric not in (*OF_HUNDRED, *NUMBER_SCORES)
        and np.ptp(replicates) <= ROUNDING
        and (correct.all() or not correct.any())
    ):
        examples = len(ordered[0].correct)
        low, high = wilson_interval(examples if correct.all() else 0, examples)
        replicates = value + (-1 if correct.all() else 1) * _unseen(examples, len(replicates))
    least, most = metric_range(metric)
    estimate = Estimate(value, min(max(low, least), value), max(min(high, most), value))
    deviation = float(values.std(ddof=1)) if len(values) > 1 else None
    return Point(budget, ordered, estimate, seed_sd=deviation, replicates=replicates, metric=metric)


def errors(points: Sequence[Point]) -> tuple[Floats, Floats]:
    """Return 1 - metric of k points for learning curves: (k,) values and (B, k) replicates, at least 0."""
    if not points:
        return np.empty(0), np.empty((0, 0))
    values = np.array([1 - measured.estimate.value for measured in points])
    worst = 1 - metric_range(points[0].metric)[0]
    return values, np.clip(1 - np.stack([measured.replicates for measured in points], axis=1), 0, worst)


def metric_of(error: Estimate) -> Estimate:
    """Return the metric that an error of `errors` stands for."""
    return Estimate(1 - error.value, 1 - error.high, 1 - error.low, level=error.level)


def metric_range(metric: str) -> tuple[float, float]:
    """Return the lowest and the highest value of a main metric."""
    return {"mcc": (-1.0, 1.0), "pearson": (-1.0, 1.0), "spearman": (-1.0, 1.0), "r2": (-np.inf, 1.0)}.get(
        metric, (0.0, 1.0)
    )


def sample_part(runs: Sequence[Run]) -> Floats:
    """Return (B,) deviations of the mean over runs on resamples of the test examples.

    They are scaled to a standard error of n examples: n / (n - 1) for the variance, and Student's t for the normal.
    """
    mean = np.mean([run.samples for run in runs], axis=0)
    examples = len(runs[0].correct)
    deviations = np.asarray(mean - mean.mean(), np.float64)
    if examples < 2 or np.ptp(mean) <= ROUNDING:
        return np.zeros_like(deviations)
    return deviations * math.sqrt(examples / (examples - 1)) * float(stdtrit(examples - 1, 0.975)) / Z_95


def _unseen(examples: int, replicates: int) -> Floats:
    """Return (B,) error rates that are possible after n examples without error: Beta(1, n + 1), by Bayes 1763.

    They are the same for every point of a study, so that two perfect points do not differ.
    """
    drawn = np.random.default_rng([_UNSEEN, examples]).random(replicates)
    return np.asarray(1 - drawn ** (1 / (examples + 1)), np.float64)


def seed_loadings(runs: Sequence[Run]) -> dict[int, float]:
    """Return the effect of each seed's multiplier on the mean; their root sum of squares is its standard error."""
    n = len(runs)
    if n < 2:
        return {run.seed: 0.0 for run in runs}
    mean = sum(run.value for run in runs) / n
    return {run.seed: (run.value - mean) / math.sqrt(n * (n - 1)) for run in runs}


def seed_freedom(seeds: int) -> float:
    """Return the degrees of freedom of the seed part of a mean over this many seeds."""
    return max(seeds - 1.0, _LEAST_DF)


def _seed_part(runs: Sequence[Run]) -> Floats:
    """Return (B,) deviations of the mean over seeds, which follow Student's t."""
    replicates, freedom = len(runs[0].samples), seed_freedom(len(runs))
    total = np.zeros(replicates)
    for seed, loading in seed_loadings(runs).items():
        total += loading * np.random.default_rng([_MULTIPLIERS, seed]).standard_normal(replicates)
    # Points with the same number of seeds share the scale of each replicate: their difference is again a Student's t.
    chi_squared = np.random.default_rng([_SCALES, len(runs)]).chisquare(freedom, replicates)
    return total / np.sqrt(chi_squared / freedom)


def _sample_shares(
    outputs: Sequence[np.ndarray], targets: np.ndarray, measure: Measure, resamples: int, seed: int
) -> tuple[Floats, Floats]:
    """Return `metric_samples` of a metric that is a share of right predictions, by a matrix product for many runs."""
    n = len(targets)
    right = np.empty((len(outputs), n), np.bool_)
    for index, run in enumerate(outputs):
        right[index] = measure.right(run, targets)
    samples = np.empty((len(outputs), resamples))
    done = 0
    for weights in resample_weights(n, resamples, seed):
        for rows in _slices(len(outputs)):
            samples[rows, done : done + len(weights)] = right[rows].astype(np.float64) @ weights.T / n
        done += len(weights)
    return right.mean(axis=1), samples


def _slices(rows: int) -> Iterator[slice]:
    return (slice(start, start + _RUNS_AT_ONCE) for start in range(0, rows, _RUNS_AT_ONCE))


def _score(measure: Measure, sums: dict[str, Floats], whole: dict[str, Floats], n: int) -> Floats:
    """Return the main metric of resamples.

    Raise ValueError if the task does not have this metric.
    """
    scores = measure.scores(sums, n, whole)
    if measure.main not in scores:
        raise ValueError(f"metric {measure.main} does not fit the task, which has {', '.join(scores)}")
    return scores[measure.main]


def _check_runs(runs: Sequence[Run]) -> None:
    if not runs:
        raise ValueError("a point needs at least one run")
    seeds = [run.seed for run in runs]
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"two runs of a point have the same seed: {sorted(seeds)}")
    if len({(len(run.correct), len(run.samples)) for run in runs}) > 1:
        raise ValueError("runs of a point differ in their test examples or resamples")
