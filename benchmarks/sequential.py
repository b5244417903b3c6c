"""Simulate studies with known truth that stop early: how often is "sure" right, and how many cells does it take?

    python benchmarks/sequential.py --studies 2000

Each study has 3 to 8 variants with learning curves. A test example has a difficulty that all models share, a part of
each variant and budget, and noise of each run; a seed moves the mean of a run. A study is run in rounds, as
`kit answer` does, by the rule of kit/analysis/sequential.py. The truth is the accuracy over all seeds and examples.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import ndtri

from kit.analysis.advice_options import Wish
from kit.analysis.points import Point, Run
from kit.analysis.sequential import INDIFFERENCE, Candidate, Look, look
from kit.measurement.intervals import Estimate, resample_weights

BUDGETS = (80, 160, 320, 640)
SEEDS, TEST_EXAMPLES, RESAMPLES = 5, (300, 1000, 3000), 200
TARGET = 0.8
# Shares of the variance of an example's outcome: shared by all models, by the runs of an option, and of a single run.
SHARED, OWN, NOISE = 0.6, 0.2, 0.2
FIXED_COST = 100  # part of a cell's cost that does not grow with its labels, in labels
KINDS = (
    ("spread", TARGET),  # curves that cross the target anywhere
    ("at", TARGET),  # one budget of each variant misses the target by a hair
    ("just below", TARGET),  # no option reaches the target; large budgets miss it by 0.2 points
    ("hair below", TARGET),  # every option misses the target by a hair
    ("spread", None),
    ("equal", None),  # all variants are equal
    ("one ahead", None),  # one variant is ahead by slightly more than the difference that does not matter
)


@dataclass(frozen=True)
class Truth:
    """(V, B) true means of variants and budgets, and standard deviations over seeds."""

    means: np.ndarray
    deviations: np.ndarray


@dataclass(frozen=True)
class Ended:
    """The end of one simulated study."""

    sure: bool
    wrong: bool
    cheapest: bool
    wrongly_cheapest: bool
    cost: float
    same: bool  # choice as after one look at the full grid


def draw_truth(generator: np.random.Generator, kind: str) -> Truth:
    """Return a truth of a kind."""
    variants = int(generator.integers(3, 9))
    labels = np.log2(np.array(BUDGETS) / BUDGETS[-1])
    top, slope = generator.uniform(0.74, 0.9, (variants, 1)), generator.uniform(0.01, 0.05, (variants, 1))
    means = top + slope * labels
    if kind == "at":
        means = TARGET - 1e-6 + slope * (labels + generator.integers(0, len(BUDGETS), (variants, 1)))
    elif kind == "just below":
        means = np.minimum(means, TARGET - 0.002)
    elif kind == "hair below":
        means = np.full((variants, len(BUDGETS)), TARGET - 1e-6)
    elif kind in ("equal", "one ahead"):
        means = np.repeat(top[:1] + slope[:1] * labels, variants, axis=0)
        means[0] += (INDIFFERENCE + 1e-6) * (kind == "one ahead")
    deviations = generator.uniform(0.002, 0.02, (variants, 1)) * 2 ** (-labels / 2)
    deviations = deviations * np.where(generator.random((variants, 1)) < 0.15, 2, 1)  # unstable variants
    return Truth(np.clip(means, 0.4, 0.98), np.broadcast_to(deviations, means.shape))


@lru_cache
def weights_of(examples: int) -> np.ndarray:
    """Return (RESAMPLES, n) weights of test examples."""
    return np.concatenate(list(resample_weights(examples, RESAMPLES, 0))) / examples


class SimulatedStudy:
    """A study whose runs are drawn when they are measured."""

    def __init__(self, truth: Truth, generator: np.random.Generator) -> None:
        self.truth, self.generator = truth, generator
        self.examples = int(generator.choice(TEST_EXAMPLES))
        self.shared = generator.standard_normal(self.examples) * math.sqrt(SHARED)
        self.own = generator.standard_normal((*truth.means.shape, self.examples)) * math.sqrt(OWN)
        self.runs: dict[tuple[int, int], list[Run]] = {}

    def measure(self, variant: int, budget: int, seeds: int) -> None:
        """Add runs until an option has this many seeds."""
        runs = self.runs.setdefault((variant, budget), [])
        while len(runs) < seeds:
            margin = ndtri(self.truth.means[variant, budget])
            # Effect of a seed on the latent scale, on which an example is right above 0.
            effect = self.truth.deviations[variant, budget] * math.sqrt(2 * math.pi) * math.exp(margin**2 / 2)
            latent = margin * math.sqrt(1 + effect**2) + effect * self.generator.standard_normal()
            noise = self.generator.standard_normal(self.examples) * math.sqrt(NOISE)
            correct = latent + self.shared + self.own[variant, budget] + noise > 0
            samples = weights_of(self.examples) @ correct
            runs.append(Run("", len(runs), float(correct.mean()), correct=correct, samples=samples))

    def candidates(self) -> list[Candidate]:
        """Return the series with the points measured so far."""
        seeds = dict.fromkeys(BUDGETS, SEEDS)
        return [Candidate(str(v), seeds, tuple(self._points(v))) for v in range(len(self.truth.means))]

    def _points(self, variant: int) -> Iterator[Point]:
        for index, budget in enumerate(BUDGETS):
            if runs := self.runs.get((variant, index)):
                value = float(np.mean([run.value for run in runs]))
                yield Point(budget, tuple(runs), Estimate(value, value, value), None, np.empty(0))

    @property
    def cost(self) -> float:
        """Cost of the measured cells, as a share of the full grid."""
        full = len(self.truth.means) * SEEDS * sum(FIXED_COST + budget for budget in BUDGETS)
        return sum(len(runs) * (FIXED_COST + BUDGETS[budget]) for (_, budget), runs in self.runs.items()) / full


def run(truth: Truth, wish: Wish, generator: np.random.Generator) -> Ended:
    """Run a study in rounds until nothing is open, and compare its last claim with the truth."""
    study, last = SimulatedStudy(truth, generator), look([], wish)
    while (last := look(study.candidates(), wish, earlier=last)).open:
        for one in last.open:
            study.measure(int(one.series), BUDGETS.index(one.labels), one.seeds)
    wrong, wrongly_cheapest, cost = is_wrong(last, truth, wish), is_wrongly_cheapest(last, truth, wish), study.cost
    for variant in range(len(truth.means)):
        for budget in range(len(BUDGETS)):
            study.measure(variant, budget, SEEDS)
    same = chosen(last) == chosen(look(study.candidates(), wish))
    return Ended(last.sure, wrong, last.cheapest, wrongly_cheapest, cost, same)


def chosen(last: Look) -> tuple[str, int] | None:
    """Return the option that a look chooses."""
    return None if last.choice is None else (last.choice.series, last.choice.labels)


def is_wrong(last: Look, truth: Truth, wish: Wish) -> bool:
    """Return whether the claim of a look is wrong."""
    if not last.sure:
        return False
    if last.choice is None:
        return bool((truth.means >= wish.target).any())
    mean = truth.means[int(last.choice.series), BUDGETS.index(last.choice.labels)]
    return bool(mean < (truth.means.max() - INDIFFERENCE if wish.target is None else wish.target))


def is_wrongly_cheapest(last: Look, truth: Truth, wish: Wish) -> bool:
    """Return whether an option with fewer labels reaches the target although it was certain that none does."""
    if not last.cheapest or last.choice is None:
        return False
    return bool((truth.means[:, : BUDGETS.index(last.choice.labels)] >= wish.target).any())


def simulate(kind: str, wish: Wish, studies: int) -> list[Ended]:
    """Return the ends of simulated studies of one kind."""
    ends = []
    for number in range(studies):
        generator = np.random.default_rng([number, len(kind), wish.target is None])
        ends.append(run(draw_truth(generator, kind), wish, generator))
    return ends


def line(name: str, ends: list[Ended]) -> str:
    """Return a row of the table: shares of studies that end sure, and of these that are right, and the cost."""
    sure, cheapest = [end for end in ends if end.sure], [end for end in ends if end.cheapest]
    wrong = sum(end.wrong for end in ends)
    right = f"{100 * (1 - wrong / len(sure)):.1f} %" if sure else "-"
    fewest = f"{100 * (1 - sum(end.wrongly_cheapest for end in ends) / len(cheapest)):.1f} %" if cheapest else "-"
    cost = np.quantile([end.cost for end in ends], [0.5, 0.9])
    return (
        f"| {name} | {len(ends)} | {100 * len(sure) / len(ends):.0f} % | {right} | {100 * wrong / len(ends):.1f} % | "
        f"{100 * len(cheapest) / len(ends):.0f} % | {fewest} | {100 * cost[0]:.0f} % | {100 * cost[1]:.0f} % | "
        f"{100 * np.mean([end.same for end in ends]):.0f} % |"
    )


def main() -> None:
    """Parse the command line and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=2000, help="number of studies of all kinds together")
    studies, everything, began = -(-parser.parse_args().studies // len(KINDS)), [], time.perf_counter()
    print("| truth | studies | sure | right | wrong | fewest | right | cost, median | cost, 90 % | same choice |")
    for kind, target in KINDS:
        ends = simulate(kind, Wish(target), studies)
        everything += ends
        print(line(f"{kind}, {'no target' if target is None else 'target'}", ends), flush=True)
    print(line("all", everything))
    print(f"{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
