"""Plan of a study: its grid over existing data and checkpoints, and an estimate of its duration."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.errors import KitError
from kit.measurement.durations import Span
from kit.recipe import Recipe
from kit.recipe.identity import readable_parts
from kit.recipe.sections.compression import Step
from kit.records.record import Record
from kit.runs.request import LoadedInputs, make_request
from kit.studies.grid import Cell, Grid, Series, cell_keys, model_section, plan_cells
from kit.studies.repeated_variants import require_distinct
from kit.studies.variant_checks import require_valid

if TYPE_CHECKING:
    from kit.data import Cleaned
    from kit.models.checkpoints.checkpoint import Checkpoint

# Seconds for loading, saving, verifying and writing the Record, measured for MiniLM.
_SECONDS_AROUND_A_CELL = 2.0
# Arithmetic of TF-IDF for one example, in forward passes of a small encoder.
_TFIDF_PASS = 0.05
# Texts of the pool that a gate predicts, and forward passes of a step for each text that it predicts: it quantizes, and
# loads the model again.
_GATE_TEXTS, _STEP_PASSES = 1_000, 0.5
# Training needs memory for weights, gradients and Adam's two moments (four times the weights) and activations: several
# cells of these sizes fit together into a GPU of 16 GB.
_GPU_SHARES = ((150_000_000, 0.25), (500_000_000, 0.5))


@dataclass(frozen=True)
class Plan:
    """A study that is about to run.

    Attributes:
        grid: Its variants and the recipes of its cells.
        shared: Loaded data and checkpoints.
        prints: Hashes of the data (under None) and of every checkpoint.
        cells: Cells with their keys, see `grid.cell_keys`.
        efforts: Arithmetic of each cell, in forward passes of one example.
        facts: Facts about the data, as plain data.
        model_bytes: Size of a cell's weights by checkpoint.
    """

    grid: Grid
    shared: LoadedInputs
    prints: dict[str | None, str]
    cells: dict[Cell, str]
    efforts: dict[Cell, float]
    facts: dict[str, Any]
    model_bytes: dict[str | None, int]

    @property
    def recipe(self) -> Recipe:
        """Recipe of the study."""
        return self.grid.recipe

    def checkpoint(self, name: str) -> Checkpoint:
        """Return a checkpoint of the study."""
        return self.shared.checkpoint(model_section(self.recipe, name))

    @cached_property
    def made_from(self) -> dict[Cell, list[Cell]]:
        """The cells that are made from a cell's model, by that cell."""
        cells: dict[Cell, list[Cell]] = {}
        for cell in self.cells:
            source = self.grid.source(cell)
            if source is not None:
                cells.setdefault(source, []).append(cell)
        return cells

    @cached_property
    def kept(self) -> set[Cell]:
        """The cell of each series whose model is always kept and timed: the first seed of the largest budget."""
        best: dict[Series, Cell] = {}
        for cell in self.cells:
            if cell.series not in best or cell.budget > best[cell.series].budget:
                best[cell.series] = cell
        return set(best.values())

    @cached_property
    def earlier_runs(self) -> set[tuple[str, ...]]:
        """Readable parts of the ids of runs that existed at the start of the study."""
        runs = Path(self.recipe.runs)
        return {readable_parts(entry.name) for entry in os.scandir(runs)} if runs.is_dir() else set()

    def gpu_share(self, cell: Cell) -> float:
        """Return the share of a GPU that a cell needs: 0 for TF-IDF, else as in the recipe, else by its size."""
        if self.grid.chain(cell.variant)[0].method == "tfidf":
            return 0.0
        if self.recipe.study.gpus is not None:
            return self.recipe.study.gpus
        return next((share for limit, share in _GPU_SHARES if self.model_bytes[cell.checkpoint] <= limit), 1.0)


@dataclass(frozen=True)
class Estimate:
    """Estimate of a study.

    Attributes:
        seconds: Time of each cell on this machine.
        parameters: Number of parameters of the model that a series trains, or starts its compression from.
    """

    seconds: dict[Cell, Span]
    parameters: dict[Series, int]


def plan_study(recipe: Recipe, *, weights: bool = True) -> Plan:
    """Load and audit the data, find the checkpoints and lay out the grid.

    Args:
        recipe: Recipe with a `study` section.
        weights: False to download no weights, which an estimate does not need.

    Raises:
        KitError: For any problem that would fail all cells of a series.
    """
    shared = LoadedInputs(weights)
    cleaned = shared.cleaned(recipe.data)
    rows = cleaned.splits.train.labels
    several = recipe.data.multi_label
    labels = {name for names in rows for name in (names if several else names[:1])} if cleaned.splits.labels else {}
    smallest = max(2, len(labels))
    grid = Grid(recipe)
    cells = plan_cells(grid, len(rows), smallest)
    prints: dict[str | None, str] = {None: repr(sorted(cleaned.audit.fingerprints.items()))}
    sizes: dict[str | None, int] = {None: 0}
    for name in dict.fromkeys(cell.checkpoint for cell in cells if cell.checkpoint is not None):
        try:
            checkpoint = shared.checkpoint(model_section(recipe, name))
        except KitError as error:
            if name != recipe.model.checkpoint and error.key == "model.checkpoint":
                error.key = "study.checkpoints"
            raise
        prints[name] = f"{checkpoint.sha256} {checkpoint.tokenizer_sha256}"
        sizes[name] = sum(file.stat().st_size for file in checkpoint.folder.glob("*.safetensors"))
    require_valid(grid, cells, shared)
    require_distinct(grid, cells, shared)
    facts = {
        "description": cleaned.splits.description,
        "labels": list(cleaned.splits.labels),
        "training_examples": len(rows),
        "test_examples": len(cleaned.splits.test),
        "fingerprints": cleaned.audit.fingerprints,
        "warnings": cleaned.audit.warnings(),
    }
    efforts = _efforts(grid, cells, cleaned)
    return Plan(
        grid, shared, prints, cells=cell_keys(grid, cells, prints), efforts=efforts, facts=facts, model_bytes=sizes
    )


def find_record(plan: Plan, cell: Cell) -> Record | None:
    """Return the finished Record that a cell would produce, from any command.

    The result is None if there was none when the study started, and for a cell with compression steps: the chain itself
    finds their Records.

    The id of a Record depends on the drawn data, so it is computed only if a folder's name has its readable part.
    """
    runs, variant = Path(plan.recipe.runs), plan.grid.variants[cell.variant]
    if variant.steps is not None:
        return None
    if (variant.method, str(cell.budget), f"s{cell.seed}") not in plan.earlier_runs:
        return None
    from kit.runs.derived_recipes import taught_by

    try:
        wanted = plan.grid.recipe_of(cell)
        source = plan.grid.source(cell)
        if source is not None:
            teacher = find_record(plan, source)
            if teacher is None:
                return None
            wanted = taught_by(wanted, teacher)
        record = Record.load(runs / make_request(wanted, plan.shared).id)
    except KitError:
        return None  # no such Record, a damaged one, or a cell that will fail
    return record if record.id == record.folder.name else None


def estimate(plan: Plan) -> Estimate:
    """Return the time of every cell on this machine, measured on a few steps at the largest budget of each series.

    The models of checkpoints without weights get random weights, which take the same time.
    """
    from kit.runs.estimate import make_trial, tfidf_seconds
    from kit.training.hardware import set_up_hardware

    hardware = set_up_hardware(plan.recipe.train.precision)
    pace: dict[Series, Span] = {}
    parameters: dict[Series, int] = {}
    for cell in sorted(plan.cells, key=lambda cell: -cell.budget):
        trained, steps = plan.grid.chain(cell.variant)
        if cell.series in pace or steps:
            continue
        request = make_request(plan.grid.recipe_of(cell), plan.shared)
        if trained.method == "tfidf":
            pace[cell.series] = tfidf_seconds(request).scaled(1 / plan.efforts[cell])
        else:
            trial = make_trial(request, hardware)
            pace[cell.series] = trial.seconds_a_pass
            parameters[cell.series] = sum(parameter.numel() for parameter in trial.model.parameters())
    around = {cell: _seconds_around(cell, plan.grid) for cell in plan.cells}
    seconds: dict[Cell, Span] = {}
    for cell in plan.cells:
        start = cell
        while plan.grid.variants[start.variant].steps is not None:
            start = plan.grid.source(start) or start
        seconds[cell] = pace[start.series].scaled(plan.efforts[cell]) + Span.fixed(around[cell])
        if start.series in parameters:
            parameters[cell.series] = parameters[start.series]
    return Estimate(seconds, parameters)


def _seconds_around(cell: Cell, grid: Grid) -> float:
    """Return the seconds of a cell beside its arithmetic; each compression step writes a Record of its own."""
    records = len(grid.variants[cell.variant].steps or [()])
    return records * (_SECONDS_AROUND_A_CELL if cell.checkpoint else _SECONDS_AROUND_A_CELL / 4)


def _efforts(grid: Grid, cells: list[Cell], cleaned: Cleaned) -> dict[Cell, float]:
    efforts: dict[tuple[Series, int], float] = {}
    for cell in cells:
        if (cell.series, cell.budget) not in efforts:
            recipe, steps = grid.recipe_of(cell), grid.variants[cell.variant].steps
            effort = _effort if steps is None else partial(_chain_effort, steps)
            efforts[cell.series, cell.budget] = effort(recipe, cell, cleaned)
    return {cell: efforts[cell.series, cell.budget] for cell in cells}


def _chain_effort(steps: Sequence[Step], recipe: Recipe, cell: Cell, cleaned: Cleaned) -> float:
    """Return the effort of a cell with compression steps: predictions and training."""
    test, train = len(cleaned.splits.test), len(cleaned.splits.train)
    predicted = test + _held_out(recipe, cell) + min(train - cell.budget, _GATE_TEXTS)
    trained = sum(getattr(step, "epochs", 0.0) + getattr(step, "aware", 0.0) for step in steps)
    return len(steps) * _STEP_PASSES * predicted + 3 * trained * train


def _effort(recipe: Recipe, cell: Cell, cleaned: Cleaned) -> float:
    """Return a cell's effort before its model is built, see `Family.foreseen_facts`."""
    from kit.methods import family_of
    from kit.methods.base import Sizes
    from kit.recipe.defaults import STEPS
    from kit.recipe.resolve import resolve

    test = len(cleaned.splits.test)
    if recipe.method == "tfidf":
        return (cell.budget + test) * _TFIDF_PASS
    if recipe.method not in STEPS:
        return float(cell.budget)  # the vectors of test examples are shared by all cells of the series
    held = _held_out(recipe, cell)
    train = cell.budget - held
    try:
        transfer = _transfer(recipe, train, len(cleaned.splits.train) - cell.budget)
        family, sizes = family_of(recipe), Sizes(train, held, test, transfer=transfer)
        facts = family.foreseen_facts(recipe, cleaned.splits.labels, sizes)
        return family.passes(resolve(recipe, facts), sizes)
    except KitError:
        return 1.0  # the cell will fail at its start


def _held_out(recipe: Recipe, cell: Cell) -> int:
    from kit.recipe.sections.data import MAX_VALIDATION_EXAMPLES, VALIDATION_SHARE

    share = recipe.data.validation
    if share is None:
        return min(MAX_VALIDATION_EXAMPLES, round(VALIDATION_SHARE * cell.budget))
    return round(share * cell.budget)


def _transfer(recipe: Recipe, train: int, pool: int) -> int:
    """Return the number of texts to distil on, as far as it is known before files with further texts are read."""
    section = recipe.distill
    return (train + (pool if section.pool is None else min(section.pool, pool))) * (1 + section.augment.copies)
