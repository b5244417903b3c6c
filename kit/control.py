"""The control of a distillation: the same student, for as many steps, without its teacher.

It starts from the weights that the teacher itself started from. A teacher that was a student before started from some
layers of those, so that the numbers of its own layers are other ones there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kit.errors import KitError, RecipeError
from kit.models.teacher import Teacher, resolve_teacher
from kit.recipe import ModelSection, Recipe
from kit.recipe.distilling import DistillSection, StudentSection
from kit.recipe.explain import validated
from kit.recipe.resolve import METHOD_KEYS, epochs_of
from kit.recipe.training import TrainSection
from kit.record import Record

# Keys of translation that say what a decoder is made like: a control's is as its teacher's was.
_OF_FRESH_DECODERS = ("vocabulary", "decoder_dropout", "encoder_rate")
_WITHOUT = "leave the controls out (--no-controls)"


def control_recipe(student: Record, teacher: Teacher) -> Recipe:
    """The same student on the same budget and seed, for as many steps, without a teacher.

    It starts from the weights that the teacher itself started from, where that is known, else from the teacher's.
    Raises RecipeError if there are none, see `require_control`.
    """
    recipe, training = student.recipe, student.content["training"]
    sizes, plan = student.content["data"]["sizes"], training["plan"]
    train = {
        "epochs": epochs_of(plan["steps"], sizes["train"], plan["batch_size"]),
        "batch_size": plan["batch_size"],
        "refit": False,
    }
    model, section = _start(recipe.model, recipe.distill.student, teacher)
    update = {"method": "student", "distill": DistillSection(student=section), "model": model}
    made = teacher.record
    if made is not None and not _of_its_own(section):  # what its teacher writes with, it writes with
        theirs = {key: getattr(made.recipe.translation, key) for key in _OF_FRESH_DECODERS}
        update["translation"] = recipe.translation.model_copy(update=theirs)
    return validated(recipe.model_copy(update={**update, "train": own_keys(recipe, train)}).model_dump())


def require_control(recipe: Recipe, teacher: Teacher) -> None:
    """Raise RecipeError unless a control can be made of the student of a resolved recipe, whose teacher this is."""
    _start(recipe.model, recipe.distill.student, teacher)


def require_start(method: str, student: StudentSection) -> None:
    """Raise RecipeError if a teacher that this method is still to make leaves a control without weights to start from.

    Random ones are others each time, and pretrained ones would give the control what the teacher never had.
    """
    if method == "scratch" and not _of_its_own(student):
        raise RecipeError(
            "distill.teacher: it starts from random weights, and a control would start from pretrained ones", _WITHOUT
        )


def own_keys(recipe: Recipe, given: dict[str, Any]) -> TrainSection:
    """The train section with the defaults of keys that mean something else for another method, but for those given."""
    defaults = {key: TrainSection.model_fields[key].default for key in METHOD_KEYS}
    return recipe.train.model_copy(update=defaults | given)


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
            f"distill.teacher: {teacher.name} was compressed, and no control can start from what it started from",
            f"{_WITHOUT}, or distil from the run it was made of",
        )
    if made.recipe.method not in ("distill", "student"):
        require_start(made.recipe.method, section)
        return model, section
    cut = made.recipe.distill.student
    if cut.checkpoint is not None:
        return model.model_copy(update={"checkpoint": cut.checkpoint, "revision": None}), section
    require_start("scratch" if cut.init == "random" else "", section)
    if made.recipe.method == "student":
        return model, _renumbered(section, cut)
    below = _teacher_of(made)
    _require_as_wide(section, cut, below)
    return _start(model, _renumbered(section, cut), below)


def _teacher_of(student: Record) -> Teacher:
    """The first teacher of a Record, where it was or beside it. Raises RecipeError if it is gone or damaged."""
    named = student.recipe.distill.teacher
    first = named if isinstance(named, str) else (named or [""])[0]
    beside = student.folder.parent / str(student.content["settings"]["teachers"][0]["record"])
    try:
        return resolve_teacher(str(beside) if not Path(first).expanduser().exists() and beside.exists() else first)
    except KitError as error:
        raise RecipeError(
            f"distill.teacher: {student.id} is a student itself, and what it started from cannot be told: "
            f"{error.message}",
            _WITHOUT,
        ) from error


def _require_as_wide(section: StudentSection, cut: StudentSection, source: Teacher) -> None:
    """Raise RecipeError for a small network over a table of embeddings that is narrower than its control's would be."""
    if section.architecture == "transformer" or cut.architecture != "transformer" or cut.hidden_size is None:
        return
    from kit.models.student import encoder_config

    if encoder_config(source.folder).hidden_size != cut.hidden_size:
        raise RecipeError(
            "distill.teacher: a narrower student itself, and a control would start from wider token vectors", _WITHOUT
        )


def _renumbered(section: StudentSection, cut: StudentSection) -> StudentSection:
    """The section with its layers numbered as in what `cut` was taken from."""
    if section.init == "random" or not isinstance(section.layers, list) or not isinstance(cut.layers, list):
        return section
    return section.model_copy(update={"layers": [cut.layers[number] for number in section.layers]})
