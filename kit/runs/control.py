"""Control of a distillation: the same student, trained for the same number of steps without its teacher.

The control starts from the weights that the teacher started from. A teacher that was itself a student started from a
selection of layers, so the numbers of its layers are mapped to those of the original model.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kit.distillation.teacher import Teacher, resolve_teacher
from kit.errors import KitError, RecipeError
from kit.recipe import ModelSection, Recipe
from kit.recipe.defaults import METHOD_DEFAULTS, epochs_of
from kit.recipe.load import derived
from kit.recipe.sections.distillation import DistillSection, StudentSection
from kit.records.record import Record

# Keys of `translation` for new decoders: a control uses the settings of its teacher.
_NEW_DECODER_KEYS = ("vocabulary", "decoder_dropout", "encoder_rate")
_WIDTH_KEYS = ("hidden_size", "heads", "intermediate_size")
_NO_CONTROLS_HINT = "leave the controls out (--no-controls)"


def control_recipe(student: Record, teacher: Teacher) -> Recipe:
    """Return the recipe of the control: same student, budget, seed and steps, without a teacher.

    The control starts from the weights that the teacher started from if these are known, otherwise from the teacher.

    Args:
        student: Record of the student.
        teacher: Its first teacher.

    Raises:
        RecipeError: There are no weights for a control to start from.
    """
    recipe, training = student.recipe, student.content.training
    if training is None:
        raise RecipeError(f"{student.id} was not trained by steps, so it has no control", _NO_CONTROLS_HINT)
    plan = training.plan
    train = METHOD_DEFAULTS | {
        "epochs": epochs_of(plan.steps, student.content.data.sizes.train, plan.batch_size),
        "batch_size": plan.batch_size,
        "refit": False,
    }
    model, section = _start(recipe.model, recipe.distill.student, teacher)
    update: dict[str, Any] = {"method": "student", "distill": DistillSection(student=section), "model": model}
    record = teacher.record
    if record is not None and not _has_own_weights(section):  # student and teacher have the same decoder settings
        decoder_settings = {key: getattr(record.recipe.translation, key) for key in _NEW_DECODER_KEYS}
        update["translation"] = recipe.translation.model_copy(update=decoder_settings)
    return derived(recipe, train=recipe.train.model_dump() | train, **update)


def require_control(recipe: Recipe, teacher: Teacher) -> None:
    """Raise RecipeError unless the student of a resolved recipe can have a control.

    Args:
        recipe: Resolved recipe of the student.
        teacher: Its first teacher.
    """
    _start(recipe.model, recipe.distill.student, teacher)


def require_weights(student: StudentSection, teacher: str) -> None:
    """Raise RecipeError for a student of a teacher that started from random weights, unless it has its own weights.

    The teacher's random weights cannot be drawn again, and pretrained weights would give the control an advantage that
    the teacher did not have.

    Args:
        student: Section of the student.
        teacher: Name of the teacher.
    """
    if not _has_own_weights(student):
        raise RecipeError(
            f"{teacher} starts from random weights, and a control would start from pretrained ones",
            _NO_CONTROLS_HINT,
            key="distill.teacher",
        )


def _has_own_weights(section: StudentSection) -> bool:
    """Return whether a student does not start from weights of its teacher."""
    return section.checkpoint is not None or section.init == "random"


def _start(model: ModelSection, section: StudentSection, teacher: Teacher) -> tuple[ModelSection, StudentSection]:
    """Return the checkpoint of a control, and the section that describes the control as a student of it.

    Args:
        model: Section of the student's recipe.
        section: Section of the student.
        teacher: Its first teacher.

    Raises:
        RecipeError: There are no weights for a control to start from.
    """
    record = teacher.record
    if record is None:
        return model.model_copy(update={"checkpoint": teacher.name, "revision": None, "pooling": "auto"}), section
    if record.recipe.model.checkpoint is not None:
        model = record.recipe.model
    if section.checkpoint is not None:
        return model, section
    if teacher.compressed:
        raise RecipeError(
            f"{teacher.name} was compressed, so a control cannot start from the same weights",
            f"{_NO_CONTROLS_HINT}, or distil from the run it was made from",
            key="distill.teacher",
        )
    method, teacher_section = record.recipe.method, record.recipe.distill.student
    if method in ("distill", "student"):
        return _start_of_student(model, section, record, teacher_section)
    if method == "scratch":
        require_weights(section, teacher.name)
    return model, section


def _start_of_student(
    model: ModelSection, section: StudentSection, record: Record, teacher_section: StudentSection
) -> tuple[ModelSection, StudentSection]:
    """Return the result of `_start` for a teacher that is itself a student or a control.

    Args:
        model: Section of the recipe, with the teacher's checkpoint.
        section: Section of the student.
        record: Record of the teacher.
        teacher_section: Section that describes the teacher as a student of its own teacher.
    """
    if teacher_section.checkpoint is not None:
        return model.model_copy(update={"checkpoint": teacher_section.checkpoint, "revision": None}), section
    if teacher_section.init == "random":
        require_weights(section, record.id)
    elif isinstance(section.layers, list) and isinstance(teacher_section.layers, list) and section.init != "random":
        widths = {key: getattr(section, key) or getattr(teacher_section, key) for key in _WIDTH_KEYS}
        layers = [teacher_section.layers[number] for number in section.layers]
        section = section.model_copy(update={"layers": layers, **widths})
    if record.recipe.method == "student":
        return model, section
    first_teacher = _teacher_of(record)
    if section.architecture != "transformer" and teacher_section.architecture == "transformer":
        _require_same_width(teacher_section, first_teacher)
    return _start(model, section, first_teacher)


def _teacher_of(student: Record) -> Teacher:
    """Return the first teacher of a Record, from its original folder or from the folder of the student's runs.

    Raises:
        RecipeError: The teacher is missing or damaged.
    """
    names = student.recipe.distill.teacher
    first = names[0] if isinstance(names, list) else str(names)
    beside = student.folder.parent / str(student.content.settings.teachers[0].record)
    missing = not Path(first).expanduser().exists()
    try:
        return resolve_teacher(str(beside) if missing and beside.exists() else first)
    except KitError as error:
        raise RecipeError(
            f"{student.id} is itself a student, and its start cannot be determined: {error.message}",
            _NO_CONTROLS_HINT,
            key="distill.teacher",
        ) from error


def _require_same_width(teacher_section: StudentSection, source: Teacher) -> None:
    """Raise RecipeError if the teacher is narrower than its source: cnn and bilstm depend on the token vectors."""
    from kit.distillation.students.layers import encoder_config

    if encoder_config(source.folder).hidden_size != teacher_section.hidden_size:
        raise RecipeError(
            "it is itself a narrower student, and a control would start from wider token vectors",
            _NO_CONTROLS_HINT,
            key="distill.teacher",
        )
