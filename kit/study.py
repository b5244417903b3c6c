"""The study: a grid of runs, each a Record, in a folder that says how every one of them ended.

Lets an engine run the cells and keeps each result as it comes. Starting a study again continues it; two starts at once
share the work.
"""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from kit.errors import OutputError, RecipeError
from kit.files import require_space
from kit.measurement.units import megabytes
from kit.recipe import Recipe
from kit.scheduling.board import Board, title
from kit.scheduling.grid import SEEDS as FEW_SEEDS
from kit.scheduling.grid import Cell, Series
from kit.scheduling.ledger import Ledger, Outcome, now
from kit.study_plan import Plan, plan_study

if TYPE_CHECKING:
    from kit.scheduling.base import Engine, JobData

EngineName = Literal["local", "ray", "inline"]
_RETRY_S = 1.0  # between two looks at a cell that another process runs
_DISK_RESERVE = 20_000_000
_DRAFT_WEIGHTS = 6  # times its weights that a cell takes while it is trained, see finetune
_TARGET = "kit.cell:run"
_GPU_DEVICES = ("nvidia*", "dxg", "kfd")  # of NVIDIA, Windows' subsystem for Linux, AMD


@dataclass(frozen=True)
class Study:
    """A study as it was left. open: cells that have not ended, because time was up."""

    ledger: Ledger
    finished: tuple[Outcome, ...]
    failed: tuple[Outcome, ...]
    open: tuple[Cell, ...]

    @property
    def folder(self) -> Path:
        """Where it is."""
        return self.ledger.folder


def study(
    recipe: Recipe,
    *,
    name: str = "study",
    engine: EngineName = "local",
    address: str | None = None,
    workers: int | None = None,
    quiet: bool = False,
) -> Study:
    """Run the cells of the recipe's study that have not finished, and return how all of them ended.

    name: of the study's folder in `runs`, unless the recipe gives one. engine: where cells run: in worker processes, on
    a Ray cluster, or in this process. address: of the cluster, None to start one here. workers: cells at once on this
    machine; by default one a GPU, or one.
    Raises KitError for bad input; cells that fail are part of what is returned.
    """
    _require_sense(engine, address, workers)
    plan = plan_study(recipe)
    folder = Path(recipe.runs) / (recipe.study.name or name)
    ledger = Ledger.start(folder, recipe, plan.cells, plan.facts)
    with Board(plan.efforts, recipe.main_metric, quiet) as board:
        work = _Work(plan, ledger, board)
        for line in _words(work):
            board.say(line)
        if work.pending or work.untimed():
            _require_room(work)
            running = _engine(engine, address, workers, plan, folder)
            try:
                work.run(running)
            finally:
                running.close()
    return work.result()


def finished_cells(plan: Plan, name: str) -> set[Cell]:
    """The cells of a plan that an earlier start has finished. name: as for `study`."""
    ledger = Ledger(Path(plan.recipe.runs) / (plan.recipe.study.name or name), {})
    outcomes = (ledger.outcome(cell, key) for cell, key in plan.cells.items())
    return {outcome.cell for outcome in outcomes if outcome is not None and outcome.state == "finished"}


def _require_sense(engine: EngineName, address: str | None, workers: int | None) -> None:
    """Raise RecipeError for options that the engine has no use for."""
    if address is not None and engine != "ray":
        raise RecipeError(f"--address {address}: only --engine ray has an address", "add --engine ray, or drop it")
    if workers is not None and engine != "local":
        raise RecipeError(f"--workers {workers}: only --engine local has workers", "drop it")


class _Work:
    """The cells of a study that are still to be run, and what becomes of them."""

    def __init__(self, plan: Plan, ledger: Ledger, board: Board) -> None:
        self.plan, self.ledger, self.board = plan, ledger, board
        self.began = now()
        minutes = plan.recipe.study.max_minutes
        self.deadline = time.monotonic() + 60 * minutes if minutes else float("inf")
        self.outcomes: dict[Cell, Outcome] = {}
        self.busy: deque[tuple[float, Cell]] = deque()
        self.pending = deque(cell for cell in plan.cells if not self._settled_before(cell))

    def run(self, engine: Engine) -> None:
        """Run what is pending, then time one model of each series."""
        for event in engine.run(self._jobs()):
            cell = Cell(**event.job["cell"])
            if event.result is None:
                self.board.started(cell)
            elif event.result.get("busy"):
                self.board.postponed(cell)
                self.busy.append((time.monotonic() + _RETRY_S, cell))
            else:
                self._end(cell, event.result)
        self._time_models(engine)

    def result(self) -> Study:
        """How all cells stand now."""
        ended = [self.outcomes[cell] for cell in self.plan.cells if cell in self.outcomes]
        return Study(
            self.ledger,
            tuple(outcome for outcome in ended if outcome.state == "finished"),
            tuple(outcome for outcome in ended if outcome.state == "failed"),
            tuple(cell for cell in self.plan.cells if cell not in self.outcomes),
        )

    def keeps_model(self, cell: Cell) -> bool:
        """Whether a cell's weights stay."""
        return self.plan.recipe.study.keep_models or cell in self.plan.kept or self._teaches(cell)

    def _teaches(self, cell: Cell) -> bool:
        """Whether a cell is the teacher of another, which needs its weights."""
        own = self.plan.recipe.distill.teacher is None and cell.method == "finetune"
        return own and replace(cell, method="distill") in self.plan.cells

    def untimed(self) -> list[str]:
        """Records of the models whose speed is still to be measured, one a series."""
        known = self.ledger.speeds()
        best: dict[Series, Outcome] = {}
        for cell in sorted(self.outcomes, key=lambda cell: (-cell.budget, cell.seed)):
            outcome = self.outcomes[cell]
            if cell.series in best:
                continue
            record = self.ledger.record(outcome) if outcome.state == "finished" else None
            if record is not None and record.model_folder.is_dir():
                best[cell.series] = outcome
        return [outcome.record for outcome in best.values() if outcome.record not in known]

    def _jobs(self) -> Iterator[JobData | None]:
        """The next cell to run each time; None while the only ones left are with others."""
        while self.pending or self.busy or self.board.running:
            if time.monotonic() > self.deadline:
                return
            if self.busy and self.busy[0][0] <= time.monotonic():
                self.pending.append(self.busy.popleft()[1])
            if not self.pending:
                yield None
                continue
            cell = self.pending.popleft()
            if not self._settled_elsewhere(cell):
                gpus = self.plan.gpu_share(cell)
                yield {"cell": asdict(cell), "keep_model": self.keeps_model(cell), "gpus": gpus}

    def _settled_before(self, cell: Cell) -> bool:
        """Whether a cell finished in an earlier start, and its Record is whole. Failed cells are to be tried again."""
        outcome = self.ledger.outcome(cell, self.plan.cells[cell])
        if outcome is None or outcome.state == "failed":
            return False
        record = self.ledger.record(outcome, whole=True)
        if record is None:
            self.board.say(f"{title(cell)}: its Record {outcome.record} is gone or damaged; it is run again")
            return False
        if self.keeps_model(cell) and not record.model_folder.is_dir():
            return False
        self._settle(outcome)
        return True

    def _settled_elsewhere(self, cell: Cell) -> bool:
        """Whether a cell has ended in another process since this start."""
        outcome = self.ledger.outcome(cell, self.plan.cells[cell])
        if outcome is None or outcome.time < self.began:
            return False
        self._settle(outcome)
        return True

    def _end(self, cell: Cell, result: JobData) -> None:
        """Keep what became of a cell that was run here."""
        error = str(result.get("error") or result.get("died") or "")
        outcome = Outcome(
            cell,
            self.plan.cells[cell],
            "failed" if error else "finished",
            record=str(result.get("record", "")),
            error=error,
            time=now(),
        )
        self.ledger.write(outcome)
        self._settle(outcome)

    def _settle(self, outcome: Outcome) -> None:
        self.outcomes[outcome.cell] = outcome
        record = self.ledger.record(outcome) if outcome.state == "finished" else None
        self.board.ended(outcome.cell, record.metrics[record.main_metric] if record else None, outcome.error)

    def _time_models(self, engine: Engine) -> None:
        # One at a time, or they would slow each other down.
        events = (event for record in self.untimed() for event in engine.run(iter([{"time": record}])))
        for event in events:
            if event.result is not None and "speed" in event.result:
                self.ledger.write_speeds(self.ledger.speeds() | {event.job["time"]: event.result["speed"]})
            elif event.result is not None:
                why = event.result.get("error") or event.result.get("died")
                self.board.say(f"the speed of {event.job['time']} could not be measured: {why}")


def _words(work: _Work) -> list[str]:
    """What a user should know before the study runs."""
    cells = work.plan.cells
    seeds: dict[int, set[int]] = {}
    for cell in cells:
        seeds.setdefault(cell.budget, set()).add(cell.seed)
    fewest = min(len(each) for each in seeds.values())
    lines = [f"data: {warning}" for warning in work.plan.facts["warnings"]]
    lines.append(
        f"{len(cells)} cells: {len({cell.series for cell in cells})} series, {len(seeds)} budgets; "
        f"{len(work.outcomes)} of them finished before; results in {work.ledger.folder}"
    )
    if fewest < FEW_SEEDS:
        lines.append(
            f"only {fewest} seed{'s' if fewest > 1 else ''} a cell: intervals are wide, small differences stay unseen "
            f"(study.seeds; {FEW_SEEDS} or more are usual)"
        )
    return lines


def _require_room(work: _Work) -> None:
    """Raise OutputError if the models of all cells that are still to be run do not fit on the disk."""
    keeps = work.plan.recipe.study.keep_models
    kept = [cell for cell in work.pending if work.keeps_model(cell)]
    needed = sum(work.plan.model_bytes[cell.checkpoint] for cell in kept)
    draft = _DRAFT_WEIGHTS * max(work.plan.model_bytes.values())
    try:
        require_space(Path(work.plan.recipe.runs), needed + draft + _DISK_RESERVE)
    except OutputError as error:
        if keeps and len(kept) > 1:
            error.hint = (
                f"the models of {len(kept)} cells take {megabytes(needed)}: free some space, set `runs:` to a folder "
                "on another disk, or set study.keep_models to false"
            )
        raise


def _engine(name: EngineName, address: str | None, workers: int | None, plan: Plan, folder: Path) -> Engine:
    from kit.scheduling.inline import InlineEngine
    from kit.scheduling.local import LocalEngine
    from kit.scheduling.ray import RayEngine

    context = {
        "recipe": plan.recipe.model_dump(mode="json"),
        "data": plan.facts["fingerprints"],
        "checkpoints": sorted(plan.prints.values()),  # what a process keeps between cells is of these
        "folder": str(Path.cwd()),
    }
    if name == "ray":
        return RayEngine(_TARGET, context, address)
    if name == "inline":
        return InlineEngine(_TARGET, context)
    gpus = _gpus()
    return LocalEngine(_TARGET, context, workers or max(1, gpus), gpus, folder / "logs")


def _gpus() -> int:
    if os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true"):
        return 0
    if sys.platform == "linux" and not any(next(Path("/dev").glob(name), None) for name in _GPU_DEVICES):
        return 0  # the answer, without the second and a half that torch takes to give it
    import torch

    return torch.cuda.device_count()
