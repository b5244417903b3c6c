"""Looks at a growing study: their types, and the evidence that all of their rules use."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np

from kit.analysis.mean_bounds import Mean, means_of
from kit.analysis.points import Point
from kit.analysis.significance import MIN_SEEDS

SURE = 0.95
INDIFFERENCE = 0.01  # difference of the metric that does not matter to a choice without a target
SEED_STEPS = (1, 3, 5, 8)  # numbers of seeds at which an option is judged


@dataclass(frozen=True)
class Candidate:
    """A series with the budgets at which it may be chosen.

    Attributes:
        series: Name of the series.
        seeds: Number of seeds of the grid for each budget.
        points: Measured budgets.
        excluded: Limit that the series exceeds, in words; empty if none is known.
    """

    series: str
    seeds: Mapping[int, int]
    points: tuple[Point, ...] = ()
    excluded: str = ""


class Verdict(StrEnum):
    """Certain knowledge about an option."""

    MEETS = "meets"
    FAILS = "fails"
    OPEN = "open"


@dataclass(frozen=True)
class Judged:
    """A measured option at a look.

    Attributes:
        series: Name of the series.
        labels: Number of labels.
        seeds: Number of measured seeds.
        value: Mean of the main metric.
        low: Lower bound of the metric; without a target, of the metric minus that of the choice. None with fewer than
            three seeds.
        high: Upper bound of the same.
        verdict: With a target, whether the option reaches it. Without a target, `meets` if the option is the choice
            and certainly within a point of the best, `fails` if it is certainly worse than another one.
    """

    series: str
    labels: int
    seeds: int
    value: float
    low: float | None = None
    high: float | None = None
    verdict: Verdict = Verdict.OPEN


@dataclass(frozen=True)
class Open:
    """An option whose measurement can still change the choice.

    Attributes:
        series: Name of the series.
        labels: Number of labels.
        seeds: Number of seeds that it needs for the next look, those measured included.
    """

    series: str
    labels: int
    seeds: int


@dataclass(frozen=True)
class Look:
    """Certain and open questions after a look at a study.

    Attributes:
        number: Number of this look, from 1; 0 before any option has three seeds.
        options: Measured options of the series within the limits.
        choice: First option, in the order of `advise`, among those that are certain; without any, the best guess. None
            if no option reaches the target.
        sure: Whether the claim is certain. With a target: the choice reaches it, or (without a choice) no option does.
            Without a target: the choice is within a point of the best.
        claim: The claim in words; if it is not certain, what is missing.
        cheapest: Whether it is certain that no option with fewer labels reaches the target.
        open: Options that can still change the choice; empty if more seeds and budgets of the grid cannot.
        dropped: Reason in words for each series that cannot be chosen any more.
    """

    number: int = 0
    options: tuple[Judged, ...] = ()
    choice: Judged | None = None
    sure: bool = False
    claim: str = ""
    cheapest: bool = False
    open: tuple[Open, ...] = ()
    dropped: Mapping[str, str] = field(default_factory=dict)


Key = tuple[str, int]  # series and number of labels


@dataclass(frozen=True)
class Evidence:
    """The measurements of a look.

    Attributes:
        candidates: Series within the limits.
        means: Means of the measured options.
        metric: Name of the main metric.
        floor: Metric of the majority rule.
        number: Number of the look.
        earlier: The look before this one.
    """

    candidates: tuple[Candidate, ...]
    means: Mapping[Key, Mean]
    metric: str
    floor: float
    number: int
    earlier: Look

    @classmethod
    def of(cls, candidates: Sequence[Candidate], metric: str, floor: float, earlier: Look) -> Evidence:
        """Return the evidence of the series within the limits."""
        points = {(one.series, point.budget): point for one in candidates for point in one.points}
        means = dict(zip(points, means_of([point.runs for point in points.values()]), strict=True))
        before = {(one.series, one.labels): one.seeds for one in earlier.options}
        grown = any(mean.seeds >= MIN_SEEDS and mean.seeds != before.get(key) for key, mean in means.items())
        return cls(tuple(candidates), means, metric, floor, number=earlier.number + grown, earlier=earlier)

    @property
    def level(self) -> float:
        """Error probability of one series at this look."""
        return spent(max(1, self.number)) / max(1, len(self.candidates))

    @property
    def next_level(self) -> float:
        """Error probability of one series at the next look."""
        return spent(self.number + 1) / max(1, len(self.candidates))

    def measured(self, candidate: Candidate, seeds: int = 1) -> list[int]:
        """Return the budgets of a series with at least this many seeds, smallest first."""
        return sorted(point.budget for point in candidate.points if len(point.runs) >= seeds)

    def mean(self, candidate: Candidate, labels: int) -> Mean:
        """Return the mean of an option, interpolated over log labels if it is not measured."""
        if (candidate.series, labels) in self.means:
            return self.means[candidate.series, labels]
        budgets = self.measured(candidate)
        known = [self.means[candidate.series, budget] for budget in budgets]
        logs = [math.log(budget) for budget in budgets]
        value = float(np.interp(math.log(labels), logs, [mean.value for mean in known]))
        nearest = min(zip(budgets, known, strict=True), key=lambda pair: abs(math.log(pair[0] / labels)))[1]
        return replace(nearest, value=value, seeds=0, freedom=1.0)


def spent(number: int) -> float:
    """Return the error probability of a look; the sum over all looks is 1 - SURE."""
    return (1 - SURE) / (number * (number + 1))


def next_seeds(seeds: int, most: int) -> int:
    """Return the number of seeds at which an option is judged next."""
    return min(most, next((step for step in SEED_STEPS if step > seeds), most))


def first_round(candidates: Sequence[Candidate]) -> list[Open]:
    """Return the smallest, middle and largest budget of each series that are unmeasured."""
    wanted = []
    for one in candidates:
        budgets, measured = sorted(one.seeds), {point.budget for point in one.points}
        coarse = dict.fromkeys((budgets[0], budgets[len(budgets) // 2], budgets[-1]))
        wanted += [Open(one.series, labels, 1) for labels in coarse if labels not in measured]
    return wanted
