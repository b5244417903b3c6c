"""Rules that the tasks of encoders share."""

from __future__ import annotations

from kit.recipe.schema import Recipe
from kit.recipe.task_registry import tasks_with_metric


def encoder_contradictions(recipe: Recipe) -> dict[str, bool]:
    """Return messages about keys that contradict any task of encoders, each with whether it applies."""
    metric = recipe.metric
    tasks = [] if metric is None else tasks_with_metric(metric)
    return {
        "data.languages: only for task translation; leave it out": recipe.data.languages is not None,
        f"metric {metric} is for task {' or '.join(tasks)}": metric is not None and recipe.task not in tasks,
        "distill.losses.sequence: only for task translation; use logits": recipe.distill.losses.sequence is not None,
    }
