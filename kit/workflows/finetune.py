"""Fit the method of a recipe on its labelled budget."""

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
    """Fit the recipe's method on its labelled budget, test it, and write a Record.

    Method distill first makes the teacher that the recipe does not name; its controls are left to `kit distill`. A
    finished run is found again, and one that was killed continues.

    Args:
        recipe: What to run.
        force: Whether to repeat a finished run.
        quiet: Whether to print no progress.
        keep_model: Whether to keep the saved model; the Record keeps everything else.
        shared: Data and checkpoints that are loaded already.

    Returns:
        The Record of the run.

    Raises:
        KitError: What is wrong and what to do.
        BusyError: Another process is making the same Record.
    """
    return run(recipe, force=force, quiet=quiet, keep_model=keep_model, shared=shared)
