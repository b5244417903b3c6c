"""One run, from a recipe to a Record: what every verb that trains does, once or several times.

Calls each stage once: data, checkpoint, method, measurement, Record.
"""

from __future__ import annotations

import time
from pathlib import Path

from kit.making import make_record
from kit.recipe import Recipe
from kit.record import Record
from kit.request import Shared, understand


def run(
    recipe: Recipe,
    *,
    force: bool = False,
    quiet: bool = False,
    keep_model: bool = True,
    shared: Shared | None = None,
) -> Record:
    """Fit the recipe's method on its labelled budget, test it, and write a Record.

    A finished Record of the same request on the same data and checkpoint is returned instead of repeated, unless
    `force`. A run that was killed is continued. Under several processes every process returns the same Record.
    keep_model: False deletes the saved model, unproven, once its size is known; the Record keeps everything else.
    shared: what this run has in common with others, so that it is not made again.
    Raises KitError with what is wrong and what to do; BusyError if another process is making the same Record.
    """
    from kit.methods import Job, method_of
    from kit.processes import meet
    from kit.training.hardware import set_up_hardware
    from kit.training.progress import Progress

    began = time.perf_counter()
    hardware = set_up_hardware(recipe.train.precision)
    state = meet(hardware.device)
    with state.main_process_first():  # the first downloads and fills caches, the others find them
        request = understand(recipe, shared)
    job = Job(
        recipe=request.recipe,
        task=request.task,
        data=request.data,
        hardware=hardware,
        checkpoint=request.checkpoint,
        progress=Progress(quiet or not state.is_main_process),
        teachers=request.teachers,
        transfer=request.transfer,
    )
    fit = method_of(recipe.task, recipe.method).fit
    return make_record(Path(recipe.runs) / request.id, job, fit, began=began, force=force, keep_model=keep_model)
