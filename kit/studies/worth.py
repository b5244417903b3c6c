"""The worth of pretraining and of distillation: the labels that controls need."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kit.analysis.findings import Series
from kit.analysis.pretraining_value import Transfer, effective_data
from kit.recipe import Recipe
from kit.studies.grid import Cell, Grid, series_names

_PRETRAINED = ("finetune", "lora", "probe")


def worth_of_pretraining(series: Sequence[Series]) -> tuple[Transfer, ...]:
    """Return the worth of pretraining of each series with a control from scratch."""
    trained = [one for one in series if not one.steps]
    worth: list[Transfer] = []
    for one in trained:
        control = next((s for s in trained if s.method == "scratch" and s.checkpoint in (one.checkpoint, None)), None)
        if one.method in _PRETRAINED and control is not None:
            worth += effective_data(one.name, one.points, control.points, control.fit)
    return tuple(worth)


def worth_of_distillation(grid: Grid, cells: Iterable[Cell], series: Sequence[Series]) -> tuple[Transfer, ...]:
    """Return the worth of distillation of each student whose control is in the study.

    The control is a variant with method student: the same student on the same checkpoint, trained without a teacher.

    Args:
        grid: Grid of the study.
        cells: Its cells.
        series: Its series with finished cells.
    """
    first = {cell.series: cell for cell in cells}
    by_name = {one.name: one for one in series}
    worth: list[Transfer] = []
    students = [
        (by_name[name], first[key], grid.recipe_of(first[key]))
        for key, name in series_names(list(first.values())).items()
        if name in by_name and grid.variants[key[0]].method in ("distill", "student")
    ]
    for one, cell, recipe in students:
        controls = (other for other, at, control in students if _is_control(at, control, cell, recipe))
        if recipe.method == "distill" and (control := next(controls, None)) is not None:
            worth += effective_data(one.name, one.points, control.points, control.fit)
    return tuple(worth)


def _is_control(cell: Cell, control: Recipe, of: Cell, student: Recipe) -> bool:
    """Return whether a recipe trains the same student without a teacher."""
    same = cell.checkpoint == of.checkpoint and control.distill.student == student.distill.student
    return control.method == "student" and same
