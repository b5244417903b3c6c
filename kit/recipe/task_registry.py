"""Registry of tasks: their names in recipes, and the package of each.

A package is named here and imported when a recipe has its task, so that one task needs no code of another. It has two
modules: `rules` with RULES, a `kit.recipe.schema.TaskRules`, and `task` with `from_recipe`, which returns a
`kit.tasks.base.Task`.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

TASKS = {
    "classification": "kit.tasks.classification",
    "regression": "kit.tasks.regression",
    "sentiment": "kit.tasks.sentiment",
    "translation": "kit.tasks.translation",
}


def task_module(task: str, name: str) -> ModuleType:
    """Return a module of a task's package: `rules` or `task`."""
    return import_module(f"{TASKS[task]}.{name}")


def task_names() -> tuple[str, ...]:
    """Return the names of all tasks."""
    return tuple(TASKS)


def metric_names() -> tuple[str, ...]:
    """Return the names of the metrics of all tasks that runs can be compared by."""
    return tuple(dict.fromkeys(metric for task in TASKS for metric in task_module(task, "rules").RULES.metrics))


def tasks_with_metric(metric: str) -> list[str]:
    """Return the names of the tasks whose runs can be compared by a metric."""
    return [task for task in TASKS if metric in task_module(task, "rules").RULES.metrics]
