"""One run of a recipe: load data and checkpoint, fit the method, test it and write the Record."""

from __future__ import annotations

import time
from pathlib import Path

from kit.recipe import Recipe
from kit.records.record import Record
from kit.runs.derived_recipes import student_recipe, taught_by, teacher_recipe
from kit.runs.request import LoadedInputs, make_request
from kit.runs.write_record import make_record


def finetune(
    recipe: Recipe,
    *,
    force: bool = False,
    quiet: bool = False,
    keep_model: bool = True,
    shared: LoadedInputs | None = None,
) -> Record:
    """Fit the recipe's method on its labelled budget, test it, and write a Record.

    If a Record of the same request, data and checkpoint exists, it is returned, unless `force` is set. A killed run is
    continued. With several processes, each returns the same Record. For method distill, the teacher is trained first if
    the recipe does not name one.

    Args:
        recipe: The recipe.
        force: Repeat a finished run.
        quiet: Print no progress.
        keep_model: Keep the saved model. If False, the model is deleted after its size is measured, without the check
            that it predicts the same after loading; the Record keeps everything else.
        shared: Data and checkpoints that are loaded already; None to load them.

    Returns:
        The Record of the run.

    Raises:
        KitError: Bad input, or a failure while running.
        BusyError: Another process is writing the same Record.
    """
    from kit.methods import method_of
    from kit.runtime.distributed import meet
    from kit.training.hardware import set_up_hardware
    from kit.training.progress import Progress

    began = time.perf_counter()
    if recipe.method == "distill":
        recipe = with_teacher(recipe, quiet=quiet, shared=shared)
    hardware = set_up_hardware(recipe.train.precision)
    state = meet(hardware.device)
    with state.main_process_first():  # the first process downloads and fills the caches
        request = make_request(recipe, shared)
    job = request.job(hardware, Progress(quiet or not state.is_main_process))
    fit = method_of(recipe).fit
    return make_record(Path(recipe.runs) / request.id, job, fit, began=began, force=force, keep_model=keep_model)


def with_teacher(recipe: Recipe, *, quiet: bool = False, shared: LoadedInputs | None = None) -> Recipe:
    """Return the recipe of the student with a teacher.

    If the recipe does not name a teacher, one is trained on the same budget.

    Args:
        recipe: The recipe.
        quiet: Print no progress.
        shared: Data and checkpoints that are loaded already.
    """
    student = student_recipe(recipe)
    if recipe.distill.teacher is not None:
        return student
    return taught_by(student, finetune(teacher_recipe(recipe), quiet=quiet, shared=shared))
