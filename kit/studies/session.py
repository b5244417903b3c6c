"""A study that is opened to be worked on: its plan, ledger, board and engine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from kit.recipe import Recipe
from kit.runtime.files import require_writable
from kit.studies.engines.base import Engine
from kit.studies.engines.choice import Place, started
from kit.studies.ledger import Ledger
from kit.studies.opening import dropped_cells, opening_lines
from kit.studies.plan import plan_study
from kit.studies.progress import Board
from kit.studies.work import Work


@contextmanager
def opened(
    recipe: Recipe, name: str, place: Place, *, quiet: bool, arguments: Sequence[str]
) -> Iterator[tuple[Work, Engine]]:
    """Yield the work of a study and its engine. Raises KitError for invalid input."""
    place.require_consistent()
    require_writable(Path(recipe.runs))
    folder = Path(recipe.runs) / (recipe.study.name or name)
    with started(place, folder) as running:  # workers import libraries during planning
        plan = plan_study(recipe)
        dropped = dropped_cells(folder, plan)
        ledger = Ledger.start(folder, recipe, plan.cells, plan.facts, arguments)
        with Board(plan.efforts, recipe.main_metric, quiet) as board:
            work = Work(plan, ledger, board, place=place)
            for line in [*dropped, *opening_lines(plan, folder, len(work.outcomes))]:
                board.say(line)
            yield work, running
