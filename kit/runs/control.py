"""The control of a distillation: the same student, for as many steps, without its teacher.

It starts from the weights that the teacher itself started from. A teacher that was a student before started from some
layers of those, so that the numbers of its own layers are other ones there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kit.distillation.teacher import Teacher, resolve_teacher
from kit.errors import KitError, RecipeError
from kit.recipe import ModelSection, Recipe
from kit.recipe.defaults import METHOD_DEFAULTS, epochs_of
from kit.recipe.load import validated
from kit.recipe.sections.distillation import DistillSection, StudentSection
from kit.records.record import Record

# Keys of translation that say what a decoder is made like: a control's is as its teacher's was.
_OF_FRESH_DECODERS = ("vocabulary", "decoder_dropout", "encoder_rate")
_WIDTHS = ("hidden_size", "heads", "intermediate_size")
_WITHOUT = "leave the controls out (--no-controls)"


def control_recipe(student: Record, teacher: Teacher) -> Recipe:
    """The same student on the same budget and seed, for as many steps, without a teacher.

    It starts from the weights that the teacher itself started from, where that is known, else from the teacher's.
    Raises RecipeError if there are none, see `require_control`.
    """
    recipe, training = student.recipe, student.content["training"]
    sizes, plan = student.content["data"]["sizes"], training["plan"]
    train = METHOD_DEFAULTS | {
        "epochs": epochs_of(plan["steps"], sizes["train"], plan["batch_size"]),
        "batch_size": plan["batch_size"],
        "refit": False,
    }
    model, section = _start(recipe.model, recipe.distill.student, teacher)
    update: dict[str, Any] = {"method": "student", "distill": DistillSection(student=section), "model": model}
    made = teacher.record
    if made is not None and not _of_its_own(section):  # what its teacher writes with, it writes with
        theirs = {key: getattr(made.recipe.translation, key) for key in _OF_FRESH_DECODERS}
        update["translation"] = recipe.translation.model_copy(update=theirs)
    update["train"] = recipe.train.model_copy(update=train)
    return validated(recipe.model_copy(update=update).model_dump())


def require_control(recipe: Recipe, teacher: Teacher) -> None:
    """Raise RecipeError unless a control can be made of the student of a resolved recipe, whose teacher this is."""
    _start(recipe.model, recipe.distill.student, teacher)


def require_weights(student: StudentSection, teacher: str) -> None:
    """Raise RecipeError for a student of what started from random weights, unless it has a start of its own.

    Random weights are others each time, and pretrained ones would give the control what the teacher never had.
    """
    if not _of_its_own(student):
        raise RecipeError(
            f"{teacher} starts from random weights, and a control would start from pretrained ones",
            _WITHOUT,
            key="distill.teacher",
        )


def _of_its_own(section: StudentSection) -> bool:
    """Whether a student starts from what is not its teacher's."""
    return section.checkpoint is not None or section.init == "random"


def _start(model: ModelSection, section: StudentSection, teacher: Teacher) -> tuple[ModelSection, StudentSection]:
    """The checkpoint that a control is made of, and what it is of it. model: of the student's recipe."""
    made = teacher.record
    if made is None:
        return model.model_copy(update={"checkpoint": teacher.name, "revision": None, "pooling": "auto"}), section
    if made.recipe.model.checkpoint is not None:
        model = made.recipe.model
    if section.checkpoint is not None:
        return model, section
    if teacher.compressed:
        raise RecipeError(
            f"{teacher.name} was compressed, and no control can start from what it started from",
            f"{_WITHOUT}, or distil from the run it was made of",
            key="distill.teacher",
        )
    method, cut = made.recipe.method, made.recipe.distill.student
    if method in ("distill", "student"):
        return _start_of_student(model, section, made, cut)
    if method == "scratch":
        require_weights(section, teacher.name)
    return model, section


def _start_of_student(
    model: ModelSection, section: StudentSection, made: Record, cut: StudentSection
) -> tuple[ModelSection, StudentSection]:
    """`_start` where the teacher is itself a student, or the control of one. cut: what it is of its own teacher."""
    if cut.checkpoint is not None:
        return model.model_copy(update={"checkpoint": cut.checkpoint, "revision": None}), section
    if cut.init == "random":
        require_weights(section, made.id)
    elif isinstance(section.layers, list) and isinstance(cut.layers, list) and section.init != "random":
        widths = {key: getattr(section, key) or getattr(cut, key) for key in _WIDTHS}
        section = section.model_copy(update={"layers": [cut.layers[number] for number in section.layers], **widths})
    if made.recipe.method == "student":
        return model, section
    below = _teacher_of(made)
    if section.architecture != "transformer" and cut.architecture == "transformer":
        _require_as_wide(cut, below)
    return _start(model, section, below)


def _teacher_of(student: Record) -> Teacher:
    """The first teacher of a Record, where it was or beside it. Raises RecipeError if it is gone or damaged."""
    named = student.recipe.distill.teacher
    first = named[0] if isinstance(named, list) else str(named)
    beside = student.folder.parent / str(student.content["settings"]["teachers"][0]["record"])
    gone = not Path(first).expanduser().exists()
    try:
        return resolve_teacher(str(beside) if gone and beside.exists() else first)
    except KitError as error:
        raise RecipeError(
            f"{student.id} is a student itself, and what it started from cannot be told: {error.message}",
            _WITHOUT,
            key="distill.teacher",
        ) from error


def _require_as_wide(cut: StudentSection, source: Teacher) -> None:
    """Raise RecipeError if token vectors were narrowed: a cnn or bilstm over them, and its control, would differ."""
    from kit.distillation.students.layers import encoder_config

    if encoder_config(source.folder).hidden_size != cut.hidden_size:
        raise RecipeError(
            "it is a narrower student itself, and a control would start from wider token vectors",
            _WITHOUT,
            key="distill.teacher",
        )
