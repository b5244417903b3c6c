"""Rules that sentiment adds to recipes."""

from __future__ import annotations

from dataclasses import replace

from kit.recipe.schema import Recipe
from kit.tasks.classification import rules as classification


def _contradictions(recipe: Recipe) -> dict[str, bool]:
    """Return messages about keys that contradict sentiment, each with whether it applies."""
    return classification.contradictions(recipe) | {
        "task: sentiment needs one label per example; use task: classification": recipe.data.multi_label,
    }


RULES = replace(classification.RULES, contradictions=_contradictions, ordered=True)
