"""Findings: the results of a study as plain data for the report, the advice and the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kit.analysis.comparison import Comparison
from kit.analysis.curve import Fit
from kit.analysis.points import Point
from kit.analysis.pretraining_value import Transfer
from kit.analysis.source_comparison import SourceComparison
from kit.measurement.baselines import Baselines
from kit.measurement.intervals import shown
from kit.measurement.speed import Speed


@dataclass(frozen=True)
class Series:
    """One method on one checkpoint over the budgets.

    Attributes:
        name: Unique name in the study: the variant, with the checkpoint if the study has several.
        method: Method that the model was trained with.
        checkpoint: Short name of the checkpoint; None for methods without one.
        parameters: Number of parameters.
        points: Measured budgets, smallest first.
        speed: Latency of one model of the series; None if it was not measured.
        model_bytes: Size of the saved model of the largest budget.
        fit: Learning curve; None if there is none.
        refusal: Reason for a missing learning curve.
        others: On unbalanced classes, the points of accuracy or macro_f1, whichever is not the main metric.
        source: Name of the series that the models are made from: the source of compression steps, or the teacher;
            empty for models that start from their checkpoint.
        steps: Compression steps from the source, in words; empty for a trained model.
        variant: Name of the variant, which its series on several checkpoints share.
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
    source: str = ""
    steps: tuple[str, ...] = ()
    variant: str = ""

    def beside(self, budget: int) -> str:
        """Return the other metrics at a budget in words: `macro_f1 61.0 % [58.2, 63.9]`.

        The result is empty if there are none.
        """
        others = [(name, p) for name, points in self.others.items() for p in points if p.budget == budget]
        return ", ".join(f"{name} {shown(name, p.estimate)}" for name, p in others)


@dataclass(frozen=True)
class Choice:
    """A measured (series, budget) with its costs: one dot of the frontier plot.

    Attributes:
        dominated: Whether another choice is at least as good in metric, latency, size and labels, and better in one.
        latency_interval: 95 % interval of `latency_ms`.
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

    Attributes:
        state: `finished`, `failed`, `skipped`, `left out` (it could not change the choice) or `open`.
        error: Message of a failed or skipped cell, reason for one that was left out.
        undone: Compression steps that the gate undid, each with the reason.
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
    undone: tuple[str, ...] = ()


@dataclass(frozen=True)
class Findings:
    """All results of a study.

    Attributes:
        study: Name of the study.
        metric: Name of the main metric; higher is better.
        training_examples: Number of training examples, the largest possible budget.
        answer: Headline, one sentence per item.
        notes: Warnings that readers need to judge the numbers: few seeds, open cells, flagged seeds.
        comparisons: All pairs of series at the largest budget that they share, Holm-corrected together.
        worth: Worth of pretraining, per budget.
        distilled: Worth of distillation, per budget, of students whose control without a teacher is in the study.
        against_sources: Comparisons of compressed models and students with the series that they are made from.
        data: (name, value) rows about the data and their audit.
        environment: Versions and hardware.
        recipe: The YAML of the study's recipe.
        command: The command that reproduces the study.
        baselines: Scores of predictions without a model.
        class_notes: Notes on unbalanced classes, and on classes with too few test examples for macro averages.
        candidates: Compressed and distilled runs derived from the study's runs, for advice.
        runs: Folder of all runs.
        no_latency: Reason for missing latencies of candidates.
        study_command: The command that continues the study.
        student: Student to suggest for distillation; None for the default.
        speed_damage: Damage of the file of latencies, as a verb phrase; empty if there is none.
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
    distilled: tuple[Transfer, ...] = ()
    against_sources: tuple[SourceComparison, ...] = ()
    baselines: Baselines = field(default_factory=Baselines)
    class_notes: tuple[str, ...] = ()
    candidates: tuple[Series, ...] = ()
    runs: str = "runs"
    no_latency: str = ""
    student: str | None = None
    speed_damage: str = ""
    study_command: str = "kit study RECIPE"

    @property
    def unfinished(self) -> str:
        """Number of finished cells in words: `unfinished: 12 of 48 cells`.

        The result is empty if no cell is open.
        """
        finished = sum(cell.state == "finished" for cell in self.cells)
        is_open = any(cell.state == "open" for cell in self.cells)
        return f"unfinished: {finished} of {len(self.cells)} cells" if is_open else ""

    @property
    def options(self) -> tuple[Series, ...]:
        """Series of the study and its candidates."""
        return (*self.series, *self.candidates)
