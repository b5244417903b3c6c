"""JSON Schema of recipes."""

from __future__ import annotations

from typing import Any


def schema() -> dict[str, Any]:
    """Return the JSON Schema of recipes.

    Returns:
        Plain data with the type, the default and a description of every key, as `kit schema` prints it.
    """
    from kit.recipe.load import recipe_schema

    return recipe_schema()
