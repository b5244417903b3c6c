"""Refusal of variants that have the same runs, which only resolved recipes show."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from kit.errors import KitError, RecipeError
from kit.runs.request import LoadedInputs, make_request
from kit.studies.grid import Cell, Grid


def require_distinct(grid: Grid, cells: Sequence[Cell], shared: LoadedInputs) -> None:
    """Raise RecipeError for two variants that differ only in keys with default values.

    Variants of the same method and teacher are compared by the ids of their runs, first in a single cell of each. The
    others are compared only if these are equal.

    Args:
        grid: Grid of the study.
        cells: Its cells.
        shared: Loaded data and checkpoints.
    """
    first_seeds: dict[str, dict[tuple[str | None, int], Cell]] = {}
    for cell in reversed(cells):
        first_seeds.setdefault(cell.variant, {})[cell.checkpoint, cell.budget] = cell
    by_kind: dict[tuple[str | None, ...], list[list[Cell]]] = {}
    for name, variant in grid.variants.items():
        if variant.method is not None and name in first_seeds:
            own = sorted(first_seeds[name].values(), key=lambda cell: (cell.budget, cell.checkpoint or ""))
            kind = (variant.method, grid.sources.get(name), variant.teacher_checkpoint)
            by_kind.setdefault(kind, []).append(own)
    for alike in by_kind.values():
        if len(alike) > 1:
            _require_distinct(grid, alike, shared)


def _require_distinct(grid: Grid, alike: Sequence[Sequence[Cell]], shared: LoadedInputs) -> None:
    """Raise RecipeError if two variants have the same runs in all cells.

    Args:
        grid: Grid of the study.
        alike: Cells of each variant, in the same order of checkpoints and budgets.
        shared: Loaded data and checkpoints.
    """
    first = [_id(grid, own[0], shared) for own in alike]
    for one, other in combinations(range(len(alike)), 2):
        if first[one] is None or first[one] != first[other]:
            continue
        pairs = zip(alike[one][1:], alike[other][1:], strict=True)
        if all(_id(grid, a, shared) == _id(grid, b, shared) for a, b in pairs):
            earlier, later = (alike[index][0].variant for index in (one, other))
            raise RecipeError(
                f"{later} has the same runs as {earlier}: the keys in which they differ have their default values",
                "set other values, or remove one of the two",
                key=grid.place_of(later),
            )


def _id(grid: Grid, cell: Cell, shared: LoadedInputs) -> str | None:
    """Return the id of a cell's run without its teacher; None if it cannot start."""
    try:
        return make_request(grid.recipe_of(cell), shared).id
    except KitError:
        return None
