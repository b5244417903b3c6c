"""Recipes from YAML files, other recipes and plain data; recipes as YAML; their JSON Schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from kit.errors import RecipeError
from kit.recipe.draft import Draft
from kit.recipe.keys import Keys
from kit.recipe.problems import problems_of
from kit.recipe.schema import Recipe
from kit.recipe.section import Section
from kit.recipe.yaml_text import to_yaml

load_recipe = Recipe.load


def override_recipe(recipe: Recipe, overrides: Sequence[str]) -> Recipe:
    """Return a recipe with `key=value` overrides applied. Raises RecipeError as `Recipe.load` does."""
    draft = Draft(Recipe, "the recipe", recipe.model_dump(mode="json"))
    draft.override(overrides)
    return draft.validated()


def validated(content: Mapping[str, Any]) -> Recipe:
    """Return the recipe of plain data. Raises RecipeError with every problem."""
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        raise RecipeError("; ".join(problem.message for problem in problems_of(error, Recipe))) from None


def derived(recipe: Recipe, **changes: Any) -> Recipe:
    """Return the recipe of another run, with open defaults, that has the values of this one except for some.

    Args:
        recipe: The recipe, which may be resolved.
        **changes: New values and sections, as plain data or as sections.

    Raises:
        RecipeError: The values contradict each other.
    """
    plain = {key: value.model_dump() if isinstance(value, Section) else value for key, value in changes.items()}
    return validated(recipe.model_dump() | plain)


def recipe_from_yaml(text: str, name: str) -> Recipe:
    """Return the recipe in a YAML text. Raises RecipeError as `Recipe.load` does.

    Args:
        text: The recipe.
        name: Name of the recipe in errors.
    """
    return Draft.from_yaml(Recipe, text, name).validated()


def recipe_to_yaml(recipe: Recipe, notes: Mapping[str, str] | None = None) -> str:
    """Return the keys of a recipe that differ from the defaults as YAML, in the order of the schema.

    Args:
        recipe: The recipe.
        notes: Comments by dotted key, written on the line of the key; notes on other keys are dropped.
    """
    split = Keys(Recipe).split
    return to_yaml(recipe.model_dump(exclude_defaults=True), {split(key): note for key, note in (notes or {}).items()})


def locate(path: str | Path, overrides: Sequence[str], key: str) -> str:
    """Return the place of a dotted key of a recipe that was loaded: `my.yaml:7`, the override or the path."""
    return Draft.from_file(Recipe, Path(path), overrides).place(Keys(Recipe).split(key)).name


def recipe_schema() -> dict[str, Any]:
    """Return the JSON Schema of recipes, with descriptions and allowed values, so that editors can complete keys."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Recipe.model_json_schema(),
        "title": "kit recipe",
    }
