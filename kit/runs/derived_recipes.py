"""Recipes that are derived from other recipes: of a student, of its teacher, and of the compression of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kit.distillation.teacher import resolve_teacher
from kit.errors import RecordError
from kit.recipe import Recipe
from kit.recipe.defaults import METHOD_DEFAULTS
from kit.recipe.load import validated
from kit.recipe.sections.compression import CompressSection
from kit.recipe.sections.distillation import DistillSection
from kit.recipe.sections.study import StudySection
from kit.records.record import Record


def student_recipe(recipe: Recipe) -> Recipe:
    """Return the recipe with method distill; keys of `train` that were for another method get their defaults."""
    if recipe.method == "distill":
        return recipe
    update = {"method": "distill", "train": recipe.train.model_copy(update=METHOD_DEFAULTS)}
    return validated(recipe.model_copy(update=update).model_dump())


def taught_by(recipe: Recipe, teacher: Record) -> Recipe:
    """Return the recipe with this Record as the teacher."""
    return recipe.model_copy(update={"distill": recipe.distill.model_copy(update={"teacher": str(teacher.folder)})})


def teacher_recipe(recipe: Recipe) -> Recipe:
    """Return the recipe of the teacher where a recipe names none.

    The teacher of method distill is its checkpoint, fine-tuned with defaults, as the keys of `train` are for the
    student. Of any other method, the recipe's own run is the teacher.
    """
    update: dict[str, Any] = {"distill": DistillSection(), "study": StudySection()}
    if recipe.method == "distill":
        update |= {"method": "finetune", "train": recipe.train.model_copy(update=METHOD_DEFAULTS)}
    return validated(recipe.model_copy(update=update).model_dump())


def distillation_recipe(teachers: Sequence[str]) -> Recipe:
    """Return the recipe that distils teachers without a recipe: on the data and budget of the first one.

    Raises:
        RecordError: The first teacher is not a Record.
    """
    record = resolve_teacher(teachers[0]).record
    if record is None:
        raise RecordError(
            f"{teachers[0]} is not a run, so the data to distil on are not known",
            "write a recipe with distill.teacher: kit distill RECIPE",
        )
    recipe = record.recipe
    # Language codes and prefix belong to the teacher's tokenizer; a student of another family has its own.
    translation = recipe.translation.model_copy(update={"codes": None, "prefix": None})
    update = {
        "method": "distill",
        "runs": str(record.folder.parent),
        "distill": DistillSection(teacher=list(teachers)),
        "translation": translation,
        "train": recipe.train.model_copy(update=METHOD_DEFAULTS | {"batch_size": None, "refit": None}),
    }
    return validated(recipe.model_copy(update=update).model_dump())


def compression_recipe(source: str | Path) -> Recipe:
    """Return the recipe that compresses a run without a recipe: the run's own.

    Raises:
        RecordError: The folder is not a Record.
    """
    return Record.read(source).recipe.model_copy(update={"compress": CompressSection(source=str(source))})
