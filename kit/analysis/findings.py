"""Findings: what a study says, as plain data for the report, the advice and the terminal.

Knows the shapes of the answers. Knows nothing of how they are computed, nor of how they are shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kit.analysis.comparison import Comparison
from kit.analysis.curve import Fit
from kit.analysis.points import Point
from kit.analysis.transfer import Transfer
from kit.measurement.baselines import Baselines
from kit.measurement.intervals import shown
from kit.measurement.speed import Speed


@dataclass(frozen=True)
class Series:
    """One method on one checkpoint over the budgets.

    name: unique in the study, for people: the method, with the checkpoint where the study has several.
    checkpoint: short name, None for methods that start from none. points: by budget, smallest first.
    others: on unbalanced classes, the points of accuracy or macro_f1, whichever is not the main metric.
    fit: of the learning curve; None if there is none, and then `refusal` says why. model_bytes: size of the saved model
    of the largest budget.
    """

    name: str
    method: str
    checkpoint: str | None
    parameters: int
    points: tuple[Point, ...]
    speed: Speed | None
    model_bytes: int | None
    fit: Fit | None
    refusal: str
    others: Mapping[str, tuple[Point, ...]] = field(default_factory=dict)

    def beside(self, budget: int) -> str:
        """Return the other metrics at a budget in words: `macro_f1 61.0 % [58.2, 63.9]`; empty if there are none."""
        found = [(name, p) for name, points in self.others.items() for p in points if p.budget == budget]
        return ", ".join(f"{name} {shown(name, p.estimate)}" for name, p in found)


@dataclass(frozen=True)
class Choice:
    """A measured (series, budget) with what it costs: one dot of the frontier plot.

    dominated: whether another choice is at least as good in metric, latency, size and labels, and better in one.
    latency_interval: 95 % interval of latency_ms.
    """

    series: str
    budget: int
    metric: float
    low: float
    high: float
    latency_ms: float | None
    model_bytes: int | None
    dominated: bool
    latency_interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class CellRow:
    """One cell of the grid, finished or not, for the table of all cells.

    state: `finished`, `failed` or `open`. error: what a failed cell said.
    """

    series: str
    budget: int
    seed: int
    state: str
    metric: float | None = None
    low: float | None = None
    high: float | None = None
    seconds: float | None = None
    diagnosis: str = ""
    flag: str = ""
    record: str = ""
    error: str = ""


@dataclass(frozen=True)
class Findings:
    """Everything a study says.

    study: its name. metric: the main metric's name; higher is better. training_examples: that labels can be bought for.
    answer: the headline in words, by sentence.
    comparisons: of all pairs of series at the largest budget they share, Holm-corrected together. worth: what
    pretraining is worth, budget by budget. notes: what a reader must know to trust the numbers (few seeds, open cells,
    flagged seeds). data: (name, value) rows about the data and its audit. environment: versions and hardware.
    recipe: the YAML that was run. command: what reproduces the study. baselines: scores that need no model. balance:
    how unbalanced the classes are and which metric decides, empty for balanced ones. candidates: compressed and
    distilled runs that were made from the study's runs, for advice. runs: folder of all runs. no_latency: why latencies
    of candidates are missing.
    """

    study: str
    created: str
    task: str
    metric: str
    labels: tuple[str, ...]
    training_examples: int
    test_examples: int
    answer: tuple[str, ...]
    notes: tuple[str, ...]
    series: tuple[Series, ...]
    comparisons: tuple[Comparison, ...]
    worth: tuple[Transfer, ...]
    frontier: tuple[Choice, ...]
    cells: tuple[CellRow, ...]
    data: tuple[tuple[str, str], ...]
    environment: dict[str, Any]
    recipe: str
    command: str
    baselines: Baselines = field(default_factory=Baselines)
    balance: str = ""
    candidates: tuple[Series, ...] = ()
    runs: str = "runs"
    no_latency: str = ""

    @property
    def unfinished(self) -> str:
        """`unfinished: 12 of 48 cells`; empty if no cell is open."""
        finished = sum(cell.state == "finished" for cell in self.cells)
        is_open = any(cell.state == "open" for cell in self.cells)
        return f"unfinished: {finished} of {len(self.cells)} cells" if is_open else ""

    @property
    def options(self) -> tuple[Series, ...]:
        """The study's series, and those that were made from its runs."""
        return (*self.series, *self.candidates)
