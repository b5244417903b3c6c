"""Methods of training, one package per family of models.

To add a method, add a module in the package of its family, and a line in the METHODS of that package.
"""

from __future__ import annotations

from typing import Any

from kit.methods.base import Family, Fitted, Job, Method
from kit.methods.encoders.family import Encoders
from kit.methods.translators.family import Translators
from kit.recipe import Recipe

FAMILIES: dict[str, Family[Any, Any]] = {"encoders": Encoders(), "translators": Translators()}


def family_of(recipe: Recipe) -> Family[Any, Any]:
    """Return the family of models that the recipe's task is solved with."""
    return FAMILIES[recipe.rules.family]


def method_of(recipe: Recipe) -> Method[Any]:
    """Return the recipe's method."""
    return family_of(recipe).methods[recipe.method]


__all__ = ["FAMILIES", "Family", "Fitted", "Job", "Method", "family_of", "method_of"]
