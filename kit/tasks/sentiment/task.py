"""Sentiment task: classification with ordered labels."""

from __future__ import annotations

from dataclasses import replace

from kit.data.label_words import in_line
from kit.data.labels import are_numbers
from kit.errors import RecipeError
from kit.recipe import Recipe
from kit.tasks.classification.task import Classification
from kit.tasks.classification.task import from_recipe as classification_of


def from_recipe(recipe: Recipe, labels: tuple[str, ...]) -> Classification:
    """Return the task of a recipe.

    Raise RecipeError for more than two labels without an order.
    """
    if len(labels) > 2 and recipe.data.labels is None and not are_numbers(labels):
        raise RecipeError(
            f"task sentiment needs the order of its {len(labels)} labels ({in_line(labels)})",
            "list them in data.labels, lowest first; or set task: classification",
            key="data.labels",
        )
    return replace(classification_of(recipe, labels), ordered=True)
