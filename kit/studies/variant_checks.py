"""Checks of a study's variants before any cell runs."""

from __future__ import annotations

from pydantic import ValidationError

from kit.compression.chain import require_chain
from kit.errors import KitError, RecipeError
from kit.recipe import Recipe
from kit.recipe.sections.compression import CompressSection
from kit.runs.request import LoadedInputs, Request, make_request
from kit.studies.grid import Cell, Grid, model_section


def require_valid(grid: Grid, cells: list[Cell], shared: LoadedInputs) -> None:
    """Raise RecipeError for a variant of which no cell could run."""
    for cell in {cell.series: cell for cell in reversed(cells)}.values():  # the smallest budgets
        try:
            recipe = grid.recipe_of(cell)
            if steps := grid.chain(cell.variant)[1]:
                require_chain(CompressSection(steps=steps), None, recipe)
            elif recipe.method == "distill":
                _require_layers(grid, cell, recipe)
                _require_smaller(make_request(recipe, shared), grid.source(cell), shared)
        except (KitError, ValidationError) as error:
            reason = error.message if isinstance(error, KitError) else str(error.errors()[0]["ctx"]["error"])
            key = grid.place_of(cell.variant)
            remedy = f"remove it from {key}" if key == "study.methods" else "change the variant, or remove it"
            raise RecipeError(f"{cell.variant} cannot be run: {reason}", remedy, key=key) from None


def _require_layers(grid: Grid, cell: Cell, recipe: Recipe) -> None:
    """Raise RecipeError for a student made of the layers of a TF-IDF model."""
    source = grid.source(cell)
    if source is None or recipe.distill.student.checkpoint is not None:
        return
    if grid.chain(source.variant)[0].method == "tfidf":
        remedy = "name a checkpoint in distill.student.checkpoint"
        raise RecipeError(f"its teacher {source.variant} has no layers; {remedy}")


def _require_smaller(request: Request, source: Cell | None, shared: LoadedInputs) -> None:
    """Raise RecipeError for a student whose own checkpoint is larger than its teacher.

    `make_request` compares the shapes of other students with their teacher.
    """
    student, start = request.recipe.distill.student.checkpoint, request.checkpoint
    if student is None or start is None or source is None or source.checkpoint is None:
        return
    teacher = shared.checkpoint(model_section(request.recipe, source.checkpoint))
    if start.numbers > teacher.numbers > 0:
        raise RecipeError(
            f"the student {student} is larger than its teacher {teacher.name}: {start.numbers:,} weights against "
            f"{teacher.numbers:,}",
        )
