"""Tasks, one package each. `kit.recipe.task_registry` has their names."""

from __future__ import annotations

from kit.recipe import Recipe
from kit.recipe.task_registry import task_module
from kit.tasks.base import Task


def task_for(recipe: Recipe, labels: tuple[str, ...]) -> Task:
    """Return the recipe's task over these labels. Raise RecipeError if the labels do not fit the task."""
    task: Task = task_module(recipe.task, "task").from_recipe(recipe, labels)
    return task


__all__ = ["Task", "task_for"]
