"""Train and test a run from a recipe."""

from __future__ import annotations

from kit.recipe import Recipe
from kit.records.record import Record
from kit.runs.execute import run
from kit.runs.request import Shared


def finetune(
    recipe: Recipe,
    *,
    force: bool = False,
    quiet: bool = False,
    keep_model: bool = True,
    shared: Shared | None = None,
) -> Record:
    """Fit the recipe's method on its labelled budget, test it and write a Record.

    Method distill first trains the teacher if the recipe does not name one; controls are trained by `kit distill` only.
    A finished run is reused, and an interrupted one continues.

    Args:
        recipe: Recipe of the run.
        force: Repeat a finished run.
        quiet: Print no progress.
        keep_model: Keep the saved model; the Record keeps everything else.
        shared: Data and checkpoints that are already loaded.

    Returns:
        The Record of the run.

    Raises:
        KitError: For invalid input, or for a failure while running.
        BusyError: If another process is writing the same Record.
    """
    return run(recipe, force=force, quiet=quiet, keep_model=keep_model, shared=shared)
