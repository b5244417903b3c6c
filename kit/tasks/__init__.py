"""Tasks by name. To add a task, write a module in this package and add an entry to TASKS."""

from __future__ import annotations

from collections.abc import Callable

from kit.errors import RecipeError
from kit.recipe import Recipe
from kit.tasks.base import Task
from kit.tasks.classification import Classification
from kit.tasks.translation import Translation

TASKS: dict[str, Callable[[Recipe, tuple[str, ...]], Task]] = {
    "classification": Classification.from_recipe,
    "sentiment": Classification.from_recipe,
    "translation": Translation.from_recipe,
}


def task_for(recipe: Recipe, labels: tuple[str, ...]) -> Task:
    """Return the recipe's task over these labels. Raise RecipeError for an unavailable task."""
    check_task(recipe)
    return TASKS[recipe.task](recipe, labels)


def check_task(recipe: Recipe) -> None:
    """Raise RecipeError for a task that is not available in this version of kit."""
    if recipe.task not in TASKS:
        raise RecipeError(
            f"{recipe.task} is not available in this version of kit", f"available: {', '.join(TASKS)}", key="task"
        )


__all__ = ["TASKS", "Task", "check_task", "task_for"]
