"""Compare the adaptive order of `kit answer` with the fixed grid: same choice, and in which share of the time?

    python benchmarks/answer.py replay runs/study-decide --target 0.8 --seeds 5 --repeats 10
    python benchmarks/answer.py run recipes/decide.yaml --target 0.8 --seeds 5 --repeats 10 --runs runs/answer

`replay` reads the Records of a finished study with many seeds, and draws other seeds in another order for each repeat.
Seconds are those of the Records. `run` trains every repeat of both orders, with other seeds.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.special import stdtrit

from kit.analysis.advice import advise
from kit.analysis.advice_options import Option, Wish, breaks
from kit.analysis.findings import Findings, Series
from kit.analysis.points import point
from kit.analysis.sequential import Candidate, Judged, Look, look
from kit.recipe import load_recipe
from kit.studies.analyse import analyse
from kit.studies.grid import Cell, Grid, series_names
from kit.studies.ledger import Ledger

Choice = tuple[str, int] | None


@dataclass(frozen=True)
class Repeat:
    """One comparison of the fixed grid with the adaptive order.

    Attributes:
        fixed: Choice after one look at the fixed grid.
        adaptive: Choice after the last look of the adaptive order.
        advised: Choice of `kit advise` on the fixed grid, which need not be certain.
        sure: Whether the adaptive order ended sure.
        fixed_seconds: Time of the fixed grid.
        adaptive_seconds: Time of the cells that the adaptive order measured.
    """

    fixed: Choice
    adaptive: Choice
    advised: Choice
    sure: bool
    fixed_seconds: float
    adaptive_seconds: float

    @property
    def ratio(self) -> float:
        """Time of the adaptive order as a share of the fixed grid's."""
        return self.adaptive_seconds / self.fixed_seconds


class FinishedStudy:
    """A finished study whose cells are read again in another order."""

    def __init__(self, folder: Path, wish: Wish) -> None:
        self.wish, self.findings = wish, analyse(folder)
        ledger = Ledger.load(folder)
        self.grid, self.names = Grid(ledger.recipe), series_names(list(ledger.cells))
        self.seconds: dict[Cell, float] = {}
        for cell, key in ledger.cells.items():
            outcome = ledger.outcome(cell, key)
            record = ledger.record(outcome) if outcome is not None else None
            if record is not None:
                self.seconds[cell] = record.content.seconds.total
        self.baseline = self.findings.baselines.majority.get(self.findings.metric, -1.0)

    @property
    def seeds(self) -> list[int]:
        """Seeds that every option has."""
        options: dict[tuple[object, int], set[int]] = {}
        for cell in self.seconds:
            options.setdefault((cell.series, cell.budget), set()).add(cell.seed)
        return sorted(set.intersection(*options.values()))

    def repeat(self, seeds: Sequence[int]) -> Repeat:
        """Return the comparison of both orders on these seeds, in this order."""
        everything = {(one.name, p.budget): len(seeds) for one in self.findings.series for p in one.points}
        advised = advise(self.restricted(everything, seeds), self.wish).choice
        last, measured = self.adaptive(seeds, everything)
        return Repeat(
            choice_of(self.look(everything, seeds, None).choice),
            choice_of(last.choice),
            choice_of(advised),
            last.sure,
            fixed_seconds=self.time_of(everything, seeds),
            adaptive_seconds=self.time_of(measured, seeds),
        )

    def adaptive(
        self, seeds: Sequence[int], everything: Mapping[tuple[str, int], int]
    ) -> tuple[Look, dict[tuple[str, int], int]]:
        """Return the last look of the adaptive order, and the number of seeds of each option that it measured."""
        measured: dict[tuple[str, int], int] = {}
        present = None
        while True:
            present = self.look(measured, seeds, present)
            wanted = {(o.series, o.labels): o.seeds for o in present.open if (o.series, o.labels) in everything}
            if all(measured.get(option, 0) >= count for option, count in wanted.items()):
                return present, measured
            measured |= wanted

    def look(self, measured: Mapping[tuple[str, int], int], seeds: Sequence[int], earlier: Look | None) -> Look:
        """Return the look at the first seeds of each option."""
        candidates = [
            Candidate(
                whole.name,
                {p.budget: len(seeds) for p in whole.points},
                one.points,
                breaks(whole, self.wish) if one.points else "",
            )
            for whole, one in zip(self.findings.series, self.restricted(measured, seeds).series, strict=True)
        ]
        return look(candidates, self.wish, metric=self.findings.metric, floor=self.baseline, earlier=earlier)

    def restricted(self, measured: Mapping[tuple[str, int], int], seeds: Sequence[int]) -> Findings:
        """Return the findings with the first seeds of each option only, and without predictions."""
        series = tuple(self._restricted(one, measured, seeds) for one in self.findings.series)
        return replace(self.findings, series=series, candidates=())

    def _restricted(self, one: Series, measured: Mapping[tuple[str, int], int], seeds: Sequence[int]) -> Series:
        points = []
        for whole in one.points:
            allowed = seeds[: measured.get((one.name, whole.budget), 0)]
            if runs := [run for run in whole.runs if run.seed in allowed]:
                points.append(point(whole.budget, runs, whole.metric))
        return replace(one, points=tuple(points), fit=None)

    def time_of(self, measured: Mapping[tuple[str, int], int], seeds: Sequence[int]) -> float:
        """Return the seconds of cells and of those that they are made from."""
        cells: set[Cell] = set()
        for cell in self.seconds:
            if cell.seed in seeds[: measured.get((self.names[cell.series], cell.budget), 0)]:
                cells.update(self._line(cell))
        return sum(self.seconds[cell] for cell in cells)

    def _line(self, cell: Cell) -> Iterator[Cell]:
        yield cell
        if (source := self.grid.source(cell)) is not None:
            yield from self._line(source)


def choice_of(option: Judged | Option | None) -> Choice:
    """Return the series and the number of labels of an option."""
    return None if option is None else (option.series, option.labels)


def replay(folder: Path, wish: Wish, seeds: int, repeats: int) -> list[Repeat]:
    """Return the repeats of a finished study, each with other seeds in another order."""
    study = FinishedStudy(folder, wish)
    available = study.seeds
    if len(available) < seeds:
        raise SystemExit(f"{folder} has {len(available)} seeds of every option; {seeds} are needed")
    generator = np.random.default_rng(0)
    return [study.repeat([int(s) for s in generator.permutation(available)[:seeds]]) for _ in range(repeats)]


def run(recipe_file: Path, wish: Wish, seeds: int, repeats: int, runs: Path) -> list[Repeat]:
    """Return repeats that are trained: both orders, each with its own Records."""
    from kit.studies.rounds import run_in_rounds
    from kit.workflows.study import study

    results = []
    for number in range(repeats):
        own = list(range(number * seeds, (number + 1) * seeds))
        recipes = [
            load_recipe(recipe_file, [f"study.seeds={own}", f"runs={runs / order / str(number)}"])
            for order in ("adaptive", "fixed")
        ]
        began = time.perf_counter()
        adaptive = run_in_rounds(recipes[0], wish)
        middle = time.perf_counter()
        fixed = study(recipes[1])
        end = time.perf_counter()
        results.append(
            Repeat(
                choice_of(run_in_rounds(recipes[1], wish).look.choice),  # every cell is finished: one look
                choice_of(adaptive.look.choice),
                choice_of(advise(analyse(fixed.folder), wish).choice),
                adaptive.look.sure,
                fixed_seconds=end - middle,
                adaptive_seconds=middle - began,
            )
        )
    return results


def report(repeats: Sequence[Repeat]) -> None:
    """Print each repeat, the share of equal choices and the ratio of the seconds with its interval."""
    for one in repeats:
        sure = " (sure)" if one.sure else ""
        print(f"fixed {one.fixed}, adaptive {one.adaptive}{sure}, advised {one.advised}, time {one.ratio:.2f}")
    logs = np.log([one.ratio for one in repeats])
    half = float(stdtrit(len(logs) - 1, 0.975)) * logs.std(ddof=1) / math.sqrt(len(logs)) if len(logs) > 1 else math.inf
    low, mean, high = (math.exp(logs.mean() + sign * half) for sign in (-1, 0, 1))
    equal = sum(one.fixed == one.adaptive for one in repeats)
    advised, certain = sum(one.advised == one.adaptive for one in repeats), sum(one.sure for one in repeats)
    print(f"same choice in {equal} of {len(repeats)}; as advised in {advised}; sure in {certain}")
    print(f"time of the adaptive order: {mean:.2f} [{low:.2f}, {high:.2f}] of the fixed grid (geometric mean)")


def main() -> None:
    """Parse the command line and print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("how", choices=("replay", "run"))
    parser.add_argument("path", type=Path, help="folder of a study, or a recipe")
    parser.add_argument("--target", type=float)
    parser.add_argument("--max-latency-ms", type=float)
    parser.add_argument("--max-size-mb", type=float)
    parser.add_argument("--seeds", type=int, default=5, help="seeds of the fixed grid")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--runs", type=Path, default=Path("runs/answer"), help="folder for the Records of `run`")
    given = parser.parse_args()
    size = None if given.max_size_mb is None else 1e6 * given.max_size_mb
    wish = Wish(given.target, None, given.max_latency_ms, size)
    if given.how == "replay":
        report(replay(given.path, wish, given.seeds, given.repeats))
    else:
        report(run(given.path, wish, given.seeds, given.repeats, given.runs))


if __name__ == "__main__":
    main()
