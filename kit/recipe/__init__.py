"""Recipes: what a user asks for, validated before anything is run."""

from kit.recipe.load import load_recipe
from kit.recipe.schema import (
    DataSection,
    LoraSection,
    ModelSection,
    ProbeSection,
    Recipe,
    TfidfSection,
)
from kit.recipe.training import TrainSection

__all__ = [
    "DataSection",
    "LoraSection",
    "ModelSection",
    "ProbeSection",
    "Recipe",
    "TfidfSection",
    "TrainSection",
    "load_recipe",
]
