"""JSON Schema of recipes."""

from __future__ import annotations

from typing import Any


def schema() -> dict[str, Any]:
    """Return the JSON Schema of recipes as plain data, with a description of every key."""
    from kit.recipe.load import recipe_schema

    return recipe_schema()
