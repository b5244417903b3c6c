"""The grid of a study: its cells, each of them one run, in the order in which they are run."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from kit.errors import BudgetError
from kit.recipe.defaults import DEFAULTS
from kit.recipe.identity import identity_hash, keys_in_id
from kit.recipe.load import validated
from kit.recipe.schema import Recipe
from kit.recipe.sections.compression import Step
from kit.recipe.sections.model import ModelSection
from kit.recipe.sections.study import StudySection, Variant

SMALL_BUDGET, SEEDS_SMALL, SEEDS = 64, 10, 5  # small budgets vary more between seeds
_DEFAULT_BUDGETS = 5


Series = tuple[str, str | None]  # variant and checkpoint, which share a learning curve


@dataclass(frozen=True)
class Cell:
    """One run of a study.

    `checkpoint` is written as in recipes; it is None for variants without one.
    """

    variant: str
    checkpoint: str | None
    budget: int
    seed: int

    @property
    def series(self) -> Series:
        """Series that the cell belongs to."""
        return (self.variant, self.checkpoint)

    @property
    def name(self) -> str:
        """Name that is unique in a study and safe as a file name."""
        parts = [_file_name(self.variant), str(self.budget), f"s{self.seed}"]
        if self.checkpoint is not None:
            stem = re.sub(r"[^a-z0-9]+", "-", self.checkpoint.lower()).strip("-")[-40:]
            parts.insert(1, f"{stem}-{_digest(self.checkpoint)}")
        return "-".join(parts)


@dataclass(frozen=True)
class Grid:
    """The variants of a study, and the recipes of its cells.

    Attributes:
        recipe: Recipe of the study.
    """

    recipe: Recipe
    _recipes: dict[Series, Recipe] = field(default_factory=dict, compare=False)

    @cached_property
    def variants(self) -> dict[str, Variant]:
        """Variants by name, each after the one that it is made from.

        For students without a named teacher, a variant with method finetune is added if there is none.
        """
        named = {variant.name: variant for variant in self.recipe.variants}
        if any(self._needs_teacher(variant) for variant in named.values()) and _finetuned(named) is None:
            teacher = "finetune" if "finetune" not in named else "finetune (teacher)"
            named[teacher] = Variant.model_construct(name=teacher, method="finetune", of=None, steps=None, set={})
        ordered: dict[str, Variant] = {}
        for name in named:
            self._add(name, named, ordered)
        return ordered

    @cached_property
    def sources(self) -> dict[str, str]:
        """Names of the variants that others are made from, by the names of those."""
        finetuned = _finetuned(self.variants)
        return {
            name: variant.of or str(finetuned)
            for name, variant in self.variants.items()
            if variant.of is not None or self._needs_teacher(variant)
        }

    def chain(self, name: str) -> tuple[Variant, list[Step]]:
        """Return the trained variant that a variant starts from, and all steps from there."""
        variant, steps = self.variants[name], list[Step]()
        while variant.steps is not None:
            steps = [*variant.steps, *steps]
            variant = self.variants[self.sources[variant.name]]
        return variant, steps

    @cached_property
    def checkpoints(self) -> dict[str, list[str | None]]:
        """Checkpoints of each variant as recipes name them; [None] without one.

        A checkpoint that teaches the others is left out, also for variants that are made from these students.
        """
        every = _unique(self.recipe.study.checkpoints or [self.recipe.model.checkpoint])
        without = self.recipe.rules.methods_without_checkpoint
        checkpoints: dict[str, list[str | None]] = {}
        for name, variant in self.variants.items():  # sources come first
            of = checkpoints.get(self.sources.get(name, ""))
            if variant.method in without:
                checkpoints[name] = [None]
            elif of is not None and (variant.steps is not None or (of != [None] and not variant.teacher_checkpoint)):
                checkpoints[name] = of
            else:
                teacher = variant.teacher_checkpoint
                checkpoints[name] = [one for one in every if teacher is None or one != teacher]
        return checkpoints

    def source(self, cell: Cell) -> Cell | None:
        """Return the cell that a cell is made from; None if it starts from its checkpoint."""
        name = self.sources.get(cell.variant)
        if name is None:
            return None
        checkpoint = self.variants[cell.variant].teacher_checkpoint or cell.checkpoint
        if checkpoint not in self.checkpoints[name]:
            checkpoint = None
        return replace(cell, variant=name, checkpoint=checkpoint)

    def place_of(self, name: str) -> str:
        """Return the key of the recipe that has a variant."""
        if self.recipe.study.variants is None:
            return "study.methods"
        names = [variant.name for variant in self.recipe.study.variants]
        return f"study.variants[{names.index(name)}]" if name in names else "study.variants"

    def recipe_of(self, cell: Cell) -> Recipe:
        """Return the recipe of one cell, as `kit finetune` or `kit compress` would run it.

        A student's recipe names no teacher.

        Raises RecipeError if the variant contradicts other keys of the recipe.
        """
        if cell.series not in self._recipes:
            self._recipes[cell.series] = self._series_recipe(cell)
        recipe = self._recipes[cell.series]
        return recipe.model_copy(
            update={
                "data": recipe.data.model_copy(update={"budget": cell.budget}),
                "train": recipe.train.model_copy(update={"seed": cell.seed}),
            }
        )

    def _series_recipe(self, cell: Cell) -> Recipe:
        trained = self.chain(cell.variant)[0]
        content = self.recipe.content_of(trained)
        if cell.checkpoint is not None and cell.checkpoint != self.recipe.model.checkpoint:
            content["model"] |= {"checkpoint": cell.checkpoint, "revision": None}
        if trained.teacher_checkpoint is not None:
            content["distill"]["student"] = {"checkpoint": cell.checkpoint}
        if (steps := self.variants[cell.variant].steps) is not None:
            content["compress"] |= {"source": None, "steps": steps}
        return validated(content)

    def _needs_teacher(self, variant: Variant) -> bool:
        """Return whether a variant is a student that names no variant as its teacher."""
        if variant.method != "distill" or variant.of is not None:
            return False
        if variant.teacher_checkpoint is not None:
            return True
        return variant.set.get("distill.teacher", self.recipe.distill.teacher) is None

    def _add(self, name: str, named: Mapping[str, Variant], ordered: dict[str, Variant]) -> None:
        """Add a variant to the ordered ones, after its source."""
        if name in ordered:
            return
        source = named[name].of or (_finetuned(named) if self._needs_teacher(named[name]) else None)
        if source is not None:
            self._add(source, named, ordered)
        ordered[name] = named[name]


def plan_cells(grid: Grid, available: int, smallest: int) -> list[Cell]:
    """Return the cells of a study, each once and after the cell that it is made from.

    They are in the order of seeds, then of budgets. A variant without a checkpoint has one series, however many
    checkpoints the study has.

    Args:
        grid: Grid of the study.
        available: Number of training examples, which is also the budget `all`.
        smallest: Least number of labels that covers every class.

    Raises:
        BudgetError: For a budget that no cell can draw.
    """
    study = grid.recipe.study
    budgets = _budgets(study, grid.recipe.data.budget or available, available, smallest=smallest)
    series = [(variant, checkpoint) for variant in grid.variants for checkpoint in grid.checkpoints[variant]]
    seeds = {budget: _seeds(study.seeds, budget) for budget in budgets}
    cells = [
        (order, Cell(variant, checkpoint, budget, seed=seed))
        for budget in budgets
        for order, seed in enumerate(seeds[budget])
        for variant, checkpoint in series
    ]
    return [cell for _, cell in sorted(cells, key=lambda item: item[0])]


def series_names(cells: Sequence[Cell]) -> dict[Series, str]:
    """Return the names of series: the variant, and the checkpoint if the study has several; short names if unique."""
    checkpoints = list(dict.fromkeys(cell.checkpoint for cell in cells if cell.checkpoint))
    short = {name: name.removesuffix(":model").rstrip("/").split("/")[-1] for name in checkpoints}
    if len(set(short.values())) < len(short):
        short = {name: name for name in checkpoints}
    names = {}
    for variant, checkpoint in dict.fromkeys(cell.series for cell in cells):
        shown = len(checkpoints) > 1 and checkpoint is not None
        names[variant, checkpoint] = f"{variant} {short[checkpoint]}" if shown and checkpoint else variant
    return names


def cell_keys(grid: Grid, cells: Sequence[Cell], prints: Mapping[str | None, str]) -> dict[Cell, str]:
    """Return a hash of the inputs of each cell.

    Inputs are its recipe, steps and source, kit's defaults, the data and the checkpoint. A finished cell whose key has
    not changed need not be run again.

    Args:
        grid: Grid of the study.
        cells: Its cells, each after its source.
        prints: Hashes of the data (under None) and of every checkpoint.
    """
    recipe_keys: dict[Series, dict[str, Any]] = {}
    cell_hashes: dict[Cell, str] = {}
    for cell in cells:
        contents: dict[str, Any] = {
            "defaults": DEFAULTS,
            "data": prints[None],
            "checkpoint": prints.get(cell.checkpoint),
            "budget": cell.budget,
            "seed": cell.seed,
        }
        if cell.series not in recipe_keys:
            recipe_keys[cell.series] = keys_in_id(grid.recipe_of(cell), contents)
        variant = grid.variants[cell.variant]
        if variant.of is not None or variant.teacher_checkpoint is not None:
            contents["source"] = cell_hashes[grid.source(cell) or cell]
        if variant.steps is not None:
            section = grid.recipe_of(cell).compress
            contents["compression"] = section.model_dump(mode="json", exclude_defaults=True)
        cell_hashes[cell] = identity_hash(recipe_keys[cell.series], contents)[:16]
    return cell_hashes


def model_section(recipe: Recipe, checkpoint: str) -> ModelSection:
    """Return the model section for a study's checkpoint; a revision applies to `model.checkpoint` only."""
    same = checkpoint == recipe.model.checkpoint
    return recipe.model.model_copy(update={} if same else {"checkpoint": checkpoint, "revision": None})


def _finetuned(variants: Mapping[str, Variant]) -> str | None:
    """Return the name of the first variant with method finetune; None without one."""
    return next((name for name, variant in variants.items() if variant.method == "finetune"), None)


def _file_name(variant: str) -> str:
    """Return the name of a variant for file names, unique also without upper case."""
    stem = re.sub(r"[^a-z0-9_]+", "-", variant.lower()).strip("-")
    return variant if stem == variant else f"{stem}-{_digest(variant)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:4]


def _budgets(study: StudySection, largest: int, available: int, smallest: int) -> list[int]:
    if study.budgets is None:
        halves = [largest // 2**k for k in range(_DEFAULT_BUDGETS)]
        budgets = [budget for budget in halves if budget >= max(smallest, 2)] or [largest]
    else:
        budgets = [available if budget == "all" else budget for budget in study.budgets]
    for budget in budgets:
        if budget > available:
            raise BudgetError(
                f"{budget} is more than the {available} training examples",
                "use `all` for all of them",
                key="study.budgets",
            )
        if budget < smallest:
            raise BudgetError(
                f"{budget} labels cannot cover {smallest} classes",
                f"every class needs a labelled example: use budgets of {smallest} or more",
                key="study.budgets",
            )
    return sorted(set(budgets))


def _seeds(seeds: int | list[int] | None, budget: int) -> list[int]:
    if isinstance(seeds, list):
        return _unique(seeds)
    return list(range(seeds or (SEEDS_SMALL if budget <= SMALL_BUDGET else SEEDS)))


def _unique(items: Sequence[Any]) -> list[Any]:
    return list(dict.fromkeys(items))
