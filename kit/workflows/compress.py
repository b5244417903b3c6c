"""Compression of the run of a recipe, which is trained first if necessary."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kit.recipe import Recipe
from kit.records.record import Record
from kit.runs.execute import finetune
from kit.runs.request import LoadedInputs

if TYPE_CHECKING:
    from kit.compression.chain import Compression


def compress(
    recipe: Recipe, *, force: bool = False, quiet: bool = False, shared: LoadedInputs | None = None
) -> Compression:
    """Apply the steps of `compress.steps`, each to the result of the step before. Each step writes a Record.

    Finished steps are reused, so an interrupted chain continues.

    Args:
        recipe: Recipe whose run is compressed, and trained first if necessary, unless `compress.source` names another.
        force: Repeat finished steps.
        quiet: Print no progress.
        shared: Data and checkpoints that are already loaded.

    Returns:
        The start of the chain and its steps; `record` is the last Record of the chain.

    Raises:
        KitError: If a step is impossible, which is found before any computation, or fails while running.
    """
    from kit.compression.chain import compress_chain, require_chain

    section, shared = recipe.compress, shared or LoadedInputs()
    if section.source is not None:
        start = Record.load(section.source)
    else:
        require_chain(section, None, recipe)
        _require_gate(recipe, shared)
        start = finetune(recipe, quiet=quiet, shared=shared)
    return compress_chain(section, start, force=force, quiet=quiet, shared=shared)


def _require_gate(recipe: Recipe, shared: LoadedInputs) -> None:
    """Raise an error for a gate that the data cannot support, before the run is trained."""
    from kit.compression.gate import require_gate
    from kit.data import prepare
    from kit.tasks import task_for

    data = prepare(recipe.data, recipe.train.seed, shared.cleaned(recipe.data))
    require_gate(recipe.compress.gate, task_for(recipe, data.labels), data)
