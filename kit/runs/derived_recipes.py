"""Recipes derived from other recipes: of a student, its teacher, and the compression of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kit.distillation.teacher import resolve_teacher
from kit.errors import RecordError
from kit.recipe import Recipe
from kit.recipe.defaults import METHOD_DEFAULTS
from kit.recipe.load import derived
from kit.recipe.sections.compression import CompressSection
from kit.recipe.sections.distillation import DistillSection
from kit.recipe.sections.study import StudySection
from kit.records.record import Record


def student_recipe(recipe: Recipe) -> Recipe:
    """Return the recipe with method distill; keys of `train` that depend on the method get their defaults."""
    if recipe.method == "distill":
        return recipe
    return derived(recipe, method="distill", train=recipe.train.model_dump() | METHOD_DEFAULTS)


def taught_by(recipe: Recipe, teacher: Record) -> Recipe:
    """Return the recipe with this Record as the teacher."""
    return recipe.model_copy(update={"distill": recipe.distill.model_copy(update={"teacher": str(teacher.folder)})})


def teacher_recipe(recipe: Recipe) -> Recipe:
    """Return the recipe of the teacher if a recipe does not name one.

    For method distill, this is the recipe's checkpoint, fine-tuned with defaults, because the keys of `train` are for
    the student. For any other method, the run of the recipe itself is the teacher.
    """
    changes: dict[str, Any] = {"distill": DistillSection(), "study": StudySection()}
    if recipe.method == "distill":
        changes |= {"method": "finetune", "train": recipe.train.model_dump() | METHOD_DEFAULTS}
    return derived(recipe, **changes)


def distillation_recipe(teachers: Sequence[str]) -> Recipe:
    """Return the recipe that distils the given teachers on the data and budget of the first one.

    Args:
        teachers: Folders of Records or checkpoints; the first must be a Record.

    Raises:
        RecordError: The first teacher is not a Record.
    """
    record = resolve_teacher(teachers[0]).record
    if record is None:
        raise RecordError(
            f"{teachers[0]} is not a run, so the data to distil on are unknown",
            "write a recipe with distill.teacher: kit distill RECIPE",
        )
    recipe = record.recipe
    # Language codes and prefix belong to the teacher's tokenizer; a student of another family has its own.
    translation = recipe.translation.model_copy(update={"codes": None, "prefix": None})
    return derived(
        recipe,
        method="distill",
        runs=str(record.folder.parent),
        distill=DistillSection(teacher=list(teachers)),
        translation=translation,
        train=recipe.train.model_dump() | METHOD_DEFAULTS | {"batch_size": None, "refit": None},
    )


def compression_recipe(source: str | Path) -> Recipe:
    """Return the recipe of a run with the run itself as the source of compression.

    Raises:
        RecordError: The folder is not a Record.
    """
    return derived(Record.read(source).recipe, compress=CompressSection(source=str(source)))
