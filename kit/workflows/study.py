"""Runs of a study's cells, each with a Record. A later start continues, and simultaneous starts share the cells."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kit.recipe import Recipe
from kit.runtime.files import require_writable
from kit.runtime.signals import Stopped
from kit.studies.engines.choice import EngineName, Place, started, worker_context
from kit.studies.grid import Cell
from kit.studies.ledger import Ledger
from kit.studies.opening import dropped_cells, opening_lines
from kit.studies.plan import Plan, find_record, plan_study
from kit.studies.progress import Board
from kit.studies.record_storage import Storage
from kit.studies.work import Study, Work, note_what_stays, require_room


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
    place.require_consistent()
    require_writable(Path(recipe.runs))
    folder = Path(recipe.runs) / (recipe.study.name or name)
    with started(place, folder) as running:  # workers import libraries during planning
        plan = plan_study(recipe)
        dropped = dropped_cells(folder, plan)
        ledger = Ledger.start(folder, recipe, plan.cells, plan.facts, arguments)
        with Board(plan.efforts, recipe.main_metric, quiet) as board:
            work = Work(plan, ledger, board, place)
            for line in [*dropped, *opening_lines(plan, folder, len(work.outcomes))]:
                board.say(line)
            if work.pending or work.untimed():
                require_room(work)
                try:
                    work.run(running, worker_context(place, plan))
                except Stopped:
                    note_what_stays(work)
                    raise
    return work.result()


def finished_cells(plan: Plan, name: str) -> set[Cell]:
    """Return the cells of a plan whose Records are finished. name: As for `study`."""
    ledger = Ledger(Path(plan.recipe.runs) / (plan.recipe.study.name or name), {})
    outcomes = {cell: ledger.outcome(cell, key) for cell, key in plan.cells.items()}
    ended = {cell for cell, outcome in outcomes.items() if outcome is not None and outcome.state == "finished"}
    return ended | {cell for cell in plan.cells if cell not in ended and find_record(plan, cell) is not None}
