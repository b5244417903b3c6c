"""Runs of a study's cells, each with a Record. A later start continues, and simultaneous starts share the cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kit.errors import RecordError
from kit.measurement.speed import Speed
from kit.recipe import Recipe
from kit.runtime.signals import Stopped
from kit.studies.engines.choice import EngineName, Place, worker_context
from kit.studies.grid import Cell, series_names
from kit.studies.ledger import Ledger
from kit.studies.plan import Plan, find_record
from kit.studies.record_storage import Storage
from kit.studies.session import opened
from kit.studies.work import Study, note_what_stays, require_room


def study(
    recipe: Recipe,
    *,
    name: str = "study",
    engine: EngineName = "local",
    address: str | None = None,
    workers: int | None = None,
    storage: str | None = None,
    quiet: bool = False,
    arguments: Sequence[str] = (),
) -> Study:
    """Run the unfinished cells of a recipe's study, and return the outcomes of all cells.

    Args:
        recipe: Recipe with a `study` section.
        name: Name of the study's folder in `runs`, unless the recipe sets one.
        engine: Place where cells run: workers on this machine (local), a Ray cluster (ray), or this process (inline).
        address: Address of a Ray cluster; None starts one on this machine.
        workers: Number of cells at once on this machine; None runs one per GPU, or one.
        storage: URL for Records if nodes cannot access `runs`. Records that it has already are copied to `runs`.
        quiet: Print no progress.
        arguments: Recipe file and overrides of the command line, for commands in the advice.

    Returns:
        The outcome of each cell, failed cells included.

    Raises:
        KitError: For invalid input.
        WorkerError: If a worker must not run cells.
    """
    place = Place(engine, address, workers, Storage(storage) if storage is not None else None)
    with opened(recipe, name, place, quiet=quiet, arguments=arguments) as (work, running):
        if work.pending or work.untimed():
            require_room(work)
            try:
                work.run(running, worker_context(place, work.plan))
            except Stopped:
                note_what_stays(work)
                raise
    return work.result()


@dataclass(frozen=True)
class SpeedChange:
    """Speed of a series before and after a new measurement; None if unknown."""

    series: str
    before: Speed | None
    now: Speed | None


def time_again(
    recipe: Recipe, place: Place, *, name: str = "study", quiet: bool = False, arguments: Sequence[str] = ()
) -> list[SpeedChange]:
    """Measure the speed of one model of each series again, in one sitting, and run no cell.

    Args:
        recipe: Recipe with a `study` section.
        place: Place where the models are measured.
        name: As for `study`, like the other arguments.
        quiet: Print no progress.
        arguments: Recipe file and overrides of the command line.

    Raises:
        RecordError: If no finished cell has a model.
    """
    with opened(recipe, name, place, quiet=quiet, arguments=arguments) as (work, running):
        models = work.models()
        if not models:
            raise RecordError(
                f"{work.ledger.folder} has no finished cell with a model: there is nothing to time",
                f"run its cells first: `{work.ledger.command}`",
            )
        before = work.ledger.speeds()
        work.time_models(running, worker_context(place, work.plan), list(models.values()), memory={})
    now, names = work.ledger.speeds(), series_names(list(work.plan.cells))
    return [SpeedChange(names[series], before.get(record), now.get(record)) for series, record in models.items()]


def finished_cells(plan: Plan, name: str) -> set[Cell]:
    """Return the cells of a plan whose Records are finished. name: As for `study`."""
    ledger = Ledger(Path(plan.recipe.runs) / (plan.recipe.study.name or name), {})
    outcomes = {cell: ledger.outcome(cell, key) for cell, key in plan.cells.items()}
    ended = {cell for cell, outcome in outcomes.items() if outcome is not None and outcome.state == "finished"}
    return ended | {cell for cell in plan.cells if cell not in ended and find_record(plan, cell) is not None}
