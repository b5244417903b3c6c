"""The grid of a study: its cells, each of them one run, in the order in which they are run."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kit.errors import BudgetError
from kit.recipe.defaults import DEFAULTS, METHOD_DEFAULTS
from kit.recipe.identity import identity_hash, keys_in_id
from kit.recipe.load import validated
from kit.recipe.schema import Recipe
from kit.recipe.sections.model import ModelSection
from kit.recipe.sections.study import StudySection
from kit.recipe.sections.translation import TranslationSection

# Keys of `translation` that a method does not use.
_UNUSED = {
    "scratch": ("codes", "prefix", "decoder_layers", "decoder_dropout", "encoder_rate"),
    "lora": ("encoder_rate",),
}
SMALL_BUDGET, SEEDS_SMALL, SEEDS = 64, 10, 5  # small budgets vary more between seeds
_DEFAULT_BUDGETS = 5


Series = tuple[str, str | None]  # method and checkpoint, which share a learning curve


@dataclass(frozen=True)
class Cell:
    """One run of a study. `checkpoint` is written as in recipes; None for methods without one."""

    method: str
    checkpoint: str | None
    budget: int
    seed: int

    @property
    def series(self) -> Series:
        """Series that the cell belongs to."""
        return (self.method, self.checkpoint)

    @property
    def name(self) -> str:
        """Name that is unique in a study and safe as a file name."""
        parts = [self.method, str(self.budget), f"s{self.seed}"]
        if self.checkpoint is not None:
            stem = re.sub(r"[^a-z0-9]+", "-", self.checkpoint.lower()).strip("-")[-40:]
            parts.insert(1, f"{stem}-{hashlib.sha256(self.checkpoint.encode()).hexdigest()[:4]}")
        return "-".join(parts)


def plan_cells(recipe: Recipe, available: int, smallest: int) -> list[Cell]:
    """Return the cells of a recipe's study, each once, by seed and then by ascending budget.

    A method without a checkpoint has one series, however many checkpoints the study has.

    Args:
        recipe: Recipe of the study.
        available: Number of training examples, which is also the budget `all`.
        smallest: Least number of labels that covers every class.

    Raises:
        BudgetError: For a budget that no cell can draw.
    """
    study = recipe.study
    budgets = _budgets(study, recipe.data.budget or available, available, smallest=smallest)
    series = [(method, checkpoint) for method in _methods(recipe) for checkpoint in _checkpoints(recipe, method)]
    seeds = {budget: _seeds(study.seeds, budget) for budget in budgets}
    cells = [
        (order, Cell(method, checkpoint, budget, seed=seed))
        for budget in budgets
        for order, seed in enumerate(seeds[budget])
        for method, checkpoint in series
    ]
    return [cell for _, cell in sorted(cells, key=lambda item: item[0])]


def cell_recipe(recipe: Recipe, cell: Cell) -> Recipe:
    """Return the recipe of one cell, as `kit finetune` would run it.

    Raises RecipeError if the method contradicts other keys of the recipe.
    """
    train: dict[str, Any] = {"seed": cell.seed}
    if cell.method != recipe.method:
        train |= METHOD_DEFAULTS
    # Drop keys of a fresh decoder or of a checkpoint's languages for methods that do not use them.
    unused = () if cell.method == recipe.method else _UNUSED.get(cell.method, ())
    default = TranslationSection()
    model: dict[str, Any] = {}
    if cell.checkpoint is not None and cell.checkpoint != recipe.model.checkpoint:
        model = {"checkpoint": cell.checkpoint, "revision": None}
    return validated(
        recipe.model_copy(
            update={
                "method": cell.method,
                "data": recipe.data.model_copy(update={"budget": cell.budget}),
                "model": recipe.model.model_copy(update=model),
                "train": recipe.train.model_copy(update=train),
                "translation": recipe.translation.model_copy(update={key: getattr(default, key) for key in unused}),
                "study": StudySection(),
            }
        ).model_dump()
    )


def cell_keys(recipe: Recipe, cells: Sequence[Cell], prints: Mapping[str | None, str]) -> dict[Cell, str]:
    """Return a hash of each cell's inputs: its recipe, kit's defaults, data and checkpoint.

    A finished cell whose key has not changed need not be run again.

    Args:
        recipe: Recipe of the study.
        cells: Cells of its grid.
        prints: Hashes of the data (under None) and of every checkpoint.
    """
    recipe_keys: dict[Series, dict[str, Any]] = {}
    cell_hashes = {}
    for cell in cells:
        contents = {
            "defaults": DEFAULTS,
            "data": prints[None],
            "checkpoint": prints.get(cell.checkpoint),
            "budget": cell.budget,
            "seed": cell.seed,
        }
        if cell.series not in recipe_keys:
            recipe_keys[cell.series] = keys_in_id(cell_recipe(recipe, cell), contents)
        cell_hashes[cell] = identity_hash(recipe_keys[cell.series], contents)[:16]
    return cell_hashes


def model_section(recipe: Recipe, checkpoint: str) -> ModelSection:
    """Return the model section for a study's checkpoint; a revision applies to `model.checkpoint` only."""
    same = checkpoint == recipe.model.checkpoint
    return recipe.model.model_copy(update={} if same else {"checkpoint": checkpoint, "revision": None})


def _methods(recipe: Recipe) -> list[str]:
    """Return the methods of the recipe, each once; by default, those that the task supports."""
    named = list(_unique(recipe.study.methods))
    if "methods" not in recipe.study.model_fields_set:
        return [method for method in named if method in recipe.rules.methods]
    return named


def _checkpoints(recipe: Recipe, method: str) -> list[str | None]:
    if method in recipe.rules.methods_without_checkpoint:
        return [None]
    return list(_unique(recipe.study.checkpoints or [recipe.model.checkpoint]))


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
