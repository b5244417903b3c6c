"""The adaptive order of a study: rounds of cells that can still change the choice."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from kit.analysis.advice import checked_wish
from kit.analysis.advice_options import Wish, breaks
from kit.analysis.findings import Series as MeasuredSeries
from kit.analysis.points import Point
from kit.analysis.sequential import Candidate, Look, Open, look
from kit.measurement.speed import Speed
from kit.recipe import Recipe
from kit.runtime.signals import Stopped
from kit.studies.analyse import measured_points
from kit.studies.engines.choice import EngineName, Place, worker_context
from kit.studies.grid import Cell, Series, series_names
from kit.studies.look_storage import Ended, StoredLook, earlier_look, write_look
from kit.studies.session import opened
from kit.studies.work import Study, Work, note_what_stays, require_room


@dataclass(frozen=True)
class Rounds:
    """A study that was run in rounds.

    Attributes:
        study: Its cells; cells that no round needed are in `study.open`.
        look: What is certain, and what further time could change.
        ended: `sure` if the choice is sure and no open option can change it, `time` if the minutes were over,
            `complete` if no cell of the grid could make the choice sure.
    """

    study: Study
    look: Look
    ended: Literal["sure", "time", "complete"]


def run_in_rounds(
    recipe: Recipe,
    wish: Wish,
    *,
    name: str = "study",
    engine: EngineName = "local",
    workers: int | None = None,
    minutes: float | None = None,
    quiet: bool = False,
    arguments: Sequence[str] = (),
) -> Rounds:
    """Run a recipe's study in rounds until the choice is sure or the time is over.

    The first round measures one seed of the smallest, the middle and the largest budget of every variant. Then one
    model per series is timed, so that limits drop variants. Each further round adds seeds and budgets where the choice
    is open. A later start with more minutes continues from the Records and from the looks that were made.

    Args:
        recipe: Recipe with a `study` section.
        wish: Target and limits.
        name: Name of the study's folder in `runs`, unless the recipe sets one.
        engine: Place where cells run: workers on this machine (local), a Ray cluster (ray), or this process (inline).
        workers: Number of cells at once on this machine; None runs one per GPU, or one.
        minutes: Time after which no cell starts; None for no limit.
        quiet: Print no progress.
        arguments: Recipe file and overrides of the command line, for commands in the advice.

    Raises:
        KitError: For invalid input.
        WorkerError: If a worker must not run cells.
    """
    began, wish = time.monotonic(), checked_wish(wish, recipe.main_metric)
    place = Place(engine, workers=workers)
    with opened(recipe, name, place, quiet=quiet, arguments=arguments) as (work, running):
        context = worker_context(place, work.plan)
        if minutes is not None:
            work.deadline = min(work.deadline, began + 60 * minutes)
        try:
            last, ended = _rounds(work, wish, lambda: work.run(running, context))
        except Stopped:
            note_what_stays(work)
            raise
    return Rounds(work.result(), last, ended)


def _rounds(work: Work, wish: Wish, run: Callable[[], None]) -> tuple[Look, Literal["sure", "time", "complete"]]:
    """Run rounds, and return the last look and the reason why no round follows.

    Args:
        work: Cells of the study.
        wish: Target and limits.
        run: Runs the cells that `work` has taken, and times the models of series that have not been timed.
    """
    last = earlier_look(work.ledger.folder, wish, work.plan.cells)
    cells: list[Cell] = []
    while True:
        work.take(cells)
        require_room(work)
        if cells or work.untimed():
            run()
        last = _look(work, wish, last)
        cells = _cells_for(last.open, work)
        ended = _ended(work, last, cells)
        _keep(work, wish, last, ended=ended)
        work.board.say(f"{'sure' if last.sure else 'not sure yet'}: {last.claim}")
        if ended:
            return last, ended


def _ended(work: Work, present: Look, cells: Sequence[Cell]) -> Ended:
    """Return the reason why no round follows; empty if one does."""
    if not cells:
        return "sure" if present.sure else "complete"
    return "time" if time.monotonic() > work.deadline else ""


def _look(work: Work, wish: Wish, earlier: Look | None) -> Look:
    metric, floor = work.plan.recipe.main_metric, -1.0
    points: dict[Series, tuple[Point, ...]] = {}
    if any(outcome.state == "finished" for outcome in work.outcomes.values()):
        points, record = measured_points(work.ledger, work.outcomes)
        metric = record.main_metric
        floor = record.baselines.majority.get(metric, floor)
    return look(_candidates(work, wish, points), wish, metric=metric, floor=floor, earlier=earlier)


def _candidates(work: Work, wish: Wish, points: Mapping[Series, tuple[Point, ...]]) -> list[Candidate]:
    """Return the series of a study with their points; failed cells leave the grid."""
    names, speeds = series_names(list(work.plan.cells)), work.ledger.speeds()
    seeds: dict[Series, Counter[int]] = {series: Counter() for series in names}
    for cell in work.plan.cells:
        outcome = work.outcomes.get(cell)
        seeds[cell.series][cell.budget] += outcome is None or outcome.state == "finished"
    candidates = []
    for series, name in names.items():
        own = points.get(series, ())
        speed = next((speeds[run.record] for point in own for run in point.runs if run.record in speeds), None)
        candidates.append(_candidate(_measured(name, own, speed), +seeds[series], wish))
    return candidates


def _measured(name: str, points: tuple[Point, ...], speed: Speed | None) -> MeasuredSeries:
    """Return a series with what its limits depend on."""
    return MeasuredSeries(
        name, "", None, parameters=0, points=points, speed=speed, model_bytes=None, fit=None, refusal=""
    )


def _candidate(series: MeasuredSeries, seeds: Mapping[int, int], wish: Wish) -> Candidate:
    """Return a series with the budgets at which its model is small enough."""
    limit = wish.max_size_bytes or float("inf")
    too_large = min((p.budget for p in series.points if (p.model_bytes or 0) > limit), default=float("inf"))
    allowed = {budget: count for budget, count in seeds.items() if budget < too_large}
    points = tuple(point for point in series.points if point.budget in allowed)
    excluded = breaks(series, wish) if series.points else ""
    return Candidate(series.name, allowed, points, excluded=excluded or ("" if allowed else "all of its cells failed"))


def _cells_for(wanted: Sequence[Open], work: Work) -> list[Cell]:
    """Return the cells that have not ended among the first seeds of the options to measure."""
    names = series_names(list(work.plan.cells))
    options: dict[tuple[str, int], list[Cell]] = {}
    for cell in work.plan.cells:
        outcome = work.outcomes.get(cell)
        if outcome is None or outcome.state == "finished":
            options.setdefault((names[cell.series], cell.budget), []).append(cell)
    cells = [cell for one in wanted for cell in options.get((one.series, one.labels), [])[: one.seeds]]
    return [cell for cell in cells if cell not in work.outcomes]


def _keep(work: Work, wish: Wish, present: Look, ended: Ended) -> None:
    """Store a look for later starts and for the reasons in the report."""
    measured = {cell.name: work.plan.cells[cell] for cell in work.outcomes if cell in work.plan.cells}
    write_look(work.ledger.folder, StoredLook(wish, present, measured, ended=ended))
