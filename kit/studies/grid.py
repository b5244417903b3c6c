"""The grid of a study: its cells, each one run, in the order in which they are run.

Knows recipes. Knows nothing of data, models, files or engines.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kit.errors import BudgetError
from kit.recipe.defaults import DEFAULTS, METHOD_DEFAULTS
from kit.recipe.load import validated
from kit.recipe.schema import Recipe
from kit.recipe.sections.model import ModelSection
from kit.recipe.sections.study import StudySection
from kit.recipe.sections.translation import TRANSLATION_METHODS, TranslationSection
from kit.records.record import FORMAT

# Keys of `translation` that a method has no use for.
_UNUSED = {
    "scratch": ("codes", "prefix", "decoder_layers", "decoder_dropout", "encoder_rate"),
    "lora": ("encoder_rate",),
}
SMALL_BUDGET, SEEDS_SMALL, SEEDS = 64, 10, 5  # small budgets differ more from seed to seed
_DEFAULT_BUDGETS = 5


Series = tuple[str, str | None]  # method and checkpoint: what has a learning curve


@dataclass(frozen=True)
class Cell:
    """One run of a study. checkpoint: as recipes write it, None for methods that start from none."""

    method: str
    checkpoint: str | None
    budget: int
    seed: int

    @property
    def series(self) -> Series:
        """What it is a point of."""
        return (self.method, self.checkpoint)

    @property
    def name(self) -> str:
        """Unique in a study, and safe as a file name."""
        parts = [self.method, str(self.budget), f"s{self.seed}"]
        if self.checkpoint is not None:
            stem = re.sub(r"[^a-z0-9]+", "-", self.checkpoint.lower()).strip("-")[-40:]
            parts.insert(1, f"{stem}-{hashlib.sha256(self.checkpoint.encode()).hexdigest()[:4]}")
        return "-".join(parts)


def plan_cells(recipe: Recipe, available: int, smallest: int) -> list[Cell]:
    """The cells of a recipe's study, each once, seed by seed, small budgets first.

    available: training examples there are. smallest: labels that cover every class.
    A budget that asks for all of them is `available`; methods without a checkpoint have one cell, however many
    checkpoints there are. Raises BudgetError for a budget that no cell could draw.
    """
    study = recipe.study
    budgets = _budgets(study, recipe.data.budget or available, available, smallest)
    series = [(method, checkpoint) for method in _methods(recipe) for checkpoint in _checkpoints(recipe, method)]
    seeds = {budget: _seeds(study.seeds, budget) for budget in budgets}
    cells = [
        (order, Cell(method, checkpoint, budget, seed))
        for budget in budgets
        for order, seed in enumerate(seeds[budget])
        for method, checkpoint in series
    ]
    return [cell for _, cell in sorted(cells, key=lambda item: item[0])]


def cell_recipe(recipe: Recipe, cell: Cell) -> Recipe:
    """The recipe of one cell: what `kit finetune` would run.

    Raises RecipeError if the method contradicts other keys of the recipe.
    """
    train: dict[str, Any] = {"seed": cell.seed}
    if cell.method != recipe.method:
        train |= METHOD_DEFAULTS
    # Keys of a fresh decoder, and of a checkpoint's languages, are for the methods that have them.
    unused = () if cell.method == recipe.method else _UNUSED.get(cell.method, ())
    usual = TranslationSection()
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
                "translation": recipe.translation.model_copy(update={key: getattr(usual, key) for key in unused}),
                "study": StudySection(),
            }
        ).model_dump()
    )


def cell_keys(recipe: Recipe, cells: Sequence[Cell], prints: Mapping[str | None, str]) -> dict[Cell, str]:
    """What each cell's result follows from, as a hash: its recipe, kit's defaults, data and checkpoint.

    prints: content of the data (under None) and of every checkpoint. A finished cell whose key is still the same need
    not be run again.
    """
    parts: dict[Series, str] = {}
    keys = {}
    for cell in cells:
        if cell.series not in parts:
            request = cell_recipe(recipe, cell).request()
            for section, names in {"data": ("budget",), "train": ("seed",)}.items():
                for name in names:
                    request.get(section, {}).pop(name, None)
            request.pop("seed")
            content = [FORMAT, DEFAULTS, request, prints[None], prints.get(cell.checkpoint)]
            parts[cell.series] = json.dumps(content, sort_keys=True)
        text = f"{parts[cell.series]} {cell.budget} {cell.seed}"
        keys[cell] = hashlib.sha256(text.encode()).hexdigest()[:16]
    return keys


def model_section(recipe: Recipe, checkpoint: str) -> ModelSection:
    """The model section of a study's checkpoint; a revision belongs to `model.checkpoint` alone."""
    same = checkpoint == recipe.model.checkpoint
    return recipe.model.model_copy(update={} if same else {"checkpoint": checkpoint, "revision": None})


def _methods(recipe: Recipe) -> list[str]:
    """Those named, each once; of the ones that nobody named, those that can serve the task."""
    named = list(_unique(recipe.study.methods))
    if recipe.task == "translation" and "methods" not in recipe.study.model_fields_set:
        return [method for method in named if method in TRANSLATION_METHODS]
    return named


def _checkpoints(recipe: Recipe, method: str) -> list[str | None]:
    if method == "tfidf" or (recipe.task == "translation" and method == "scratch"):
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
                f"{budget} is more than the {available} training examples there are",
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


def _seeds(wanted: int | list[int] | None, budget: int) -> list[int]:
    if isinstance(wanted, list):
        return _unique(wanted)
    return list(range(wanted or (SEEDS_SMALL if budget <= SMALL_BUDGET else SEEDS)))


def _unique(items: Sequence[Any]) -> list[Any]:
    return list(dict.fromkeys(items))
