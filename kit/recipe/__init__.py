"""Recipes: validated descriptions of runs, from YAML to every default filled in."""

from kit.recipe.load import load_recipe
from kit.recipe.schema import Recipe
from kit.recipe.sections.data import DataSection
from kit.recipe.sections.methods import LoraSection, ProbeSection, TfidfSection
from kit.recipe.sections.model import ModelSection
from kit.recipe.sections.training import TrainSection

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
