"""Resolution of recipes: every default that the schema leaves open is filled in.

A Record's id is made from the resolved recipe, so recipes that ask for the same run have the same id. A default
in `kit.recipe.defaults` that changes in a later version of kit changes the id; for a default of the schema, raise
`identity.FORMAT`.
"""

from __future__ import annotations

from collections.abc import Callable

from kit.errors import RecipeError
from kit.recipe.defaults import STEPS, Facts
from kit.recipe.resolve_encoder import resolve_encoder, resolved_sections
from kit.recipe.resolve_translator import resolve_translator
from kit.recipe.resolved import ResolvedRecipe, TrainingRecipe
from kit.recipe.schema import Recipe

# Resolution of the methods that train by gradient steps, by the family of the task's models.
_RESOLVE_TRAINING: dict[str, Callable[[Recipe, Facts], TrainingRecipe]] = {
    "encoders": resolve_encoder,
    "translators": resolve_translator,
}


def resolve(recipe: Recipe, facts: Facts) -> ResolvedRecipe:
    """Return the recipe with the defaults filled in that depend on the method, the data and the checkpoint.

    Values that stay None have a meaning: all examples, the usual share of validation examples, the checkpoint's own
    dropout, a C chosen on validation examples. `train.precision: auto` stays, because it depends on the hardware.

    Raises:
        RecipeError: A key has no effect with these data or this checkpoint.
    """
    if recipe.method in STEPS:
        return resolve_training(recipe, facts)
    return ResolvedRecipe.model_construct(**dict(recipe) | resolved_sections(recipe, facts))


def resolve_training(recipe: Recipe, facts: Facts) -> TrainingRecipe:
    """Return the resolved recipe of a method that trains by gradient steps, see `resolve`."""
    _require_validation(recipe, facts)
    return _RESOLVE_TRAINING[recipe.rules.family](recipe, facts)


def _require_validation(recipe: Recipe, facts: Facts) -> None:
    """Raise RecipeError for keys that need validation examples if there are none."""
    train = recipe.train
    if facts.validation or recipe.method not in STEPS:
        return
    for key, value, is_set in (("select", "best", train.select == "best"), ("refit", "true", bool(train.refit))):
        if is_set:
            raise RecipeError(
                f"{value} needs validation examples, and there are none",
                "raise data.validation or data.budget",
                key=f"train.{key}",
            )
