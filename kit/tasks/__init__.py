"""Tasks, one package each. `kit.recipe.task_registry` has their names."""

from __future__ import annotations

from kit.data import Examples
from kit.recipe import Recipe
from kit.recipe.task_registry import task_module
from kit.tasks.base import Task


def task_for(recipe: Recipe, labels: tuple[str, ...], train: Examples | None = None) -> Task:
    """Return the recipe's task.

    Args:
        recipe: The recipe.
        labels: Names of the outputs of its models.
        train: Training examples, for a task that models are trained for. None: a task to use models for.

    Raises:
        RecipeError: The labels do not fit the task.
    """
    task: Task = task_module(recipe.task, "task").from_recipe(recipe, labels)
    return task if train is None else task.trained_on(train)


__all__ = ["Task", "task_for"]
