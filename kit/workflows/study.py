"""Runs of a study's cells, each with a Record. A later start continues, and simultaneous starts share the cells."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from kit.errors import OutputError, WorkerError
from kit.measurement.speed import Speed, speeds_from_json
from kit.recipe import Recipe
from kit.records.record import Record
from kit.runtime.files import CHECKPOINT_SEAL, require_space, require_writable
from kit.runtime.quantities import megabytes
from kit.runtime.signals import Stopped, note_kept
from kit.studies.engines.choice import EngineName, Place, started, worker_context
from kit.studies.grid import Cell, Series
from kit.studies.ledger import Ledger, Outcome, now
from kit.studies.opening import dropped_cells, opening_lines
from kit.studies.plan import Plan, find_record, plan_study
from kit.studies.progress import Board, title
from kit.studies.record_storage import Storage

if TYPE_CHECKING:
    from kit.studies.engines.base import Engine, JobData

_RETRY_S = 1.0  # interval between checks of a cell that another process runs
_DISK_RESERVE = 20_000_000
_DRAFT_WEIGHTS = 6  # disk space of a cell in training, as a multiple of its weights


@dataclass(frozen=True)
class Study:
    """State of a study; `open` has the cells that have not ended because the time limit was reached."""

    ledger: Ledger
    finished: tuple[Outcome, ...]
    failed: tuple[Outcome, ...]
    open: tuple[Cell, ...]

    @property
    def folder(self) -> Path:
        """Folder of the study."""
        return self.ledger.folder


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
            work = _Work(plan, ledger, board, place)
            for line in [*dropped, *opening_lines(plan, folder, len(work.outcomes))]:
                board.say(line)
            if work.pending or work.untimed():
                _require_room(work)
                try:
                    work.run(running, worker_context(place, plan))
                except Stopped:
                    _note_what_stays(work)
                    raise
    return work.result()


def finished_cells(plan: Plan, name: str) -> set[Cell]:
    """Return the cells of a plan whose Records are finished. name: As for `study`."""
    ledger = Ledger(Path(plan.recipe.runs) / (plan.recipe.study.name or name), {})
    outcomes = {cell: ledger.outcome(cell, key) for cell, key in plan.cells.items()}
    ended = {cell for cell, outcome in outcomes.items() if outcome is not None and outcome.state == "finished"}
    return ended | {cell for cell in plan.cells if cell not in ended and find_record(plan, cell) is not None}


class _Work:
    """The cells of a study that are still to be run, and the outcomes of the others."""

    def __init__(self, plan: Plan, ledger: Ledger, board: Board, place: Place) -> None:
        self.plan, self.ledger, self.board, self.place = plan, ledger, board, place
        self.began = now()
        minutes = plan.recipe.study.max_minutes
        self.deadline = time.monotonic() + 60 * minutes if minutes else float("inf")
        self.outcomes: dict[Cell, Outcome] = {}
        self.busy: deque[tuple[float, Cell]] = deque()
        pending = [cell for cell in plan.cells if not self._settled_before(cell)]
        if (
            place.runs_several and not minutes
        ):  # longest cells of a seed first, so that no cell ends long after the others
            pending.sort(key=lambda cell: (cell.seed, -self._total_effort(cell)))
        self.pending = deque(pending)

    def run(self, engine: Engine, context: JobData) -> None:
        """Run the pending cells, then time one model per series. Raises WorkerError for a worker that refuses."""
        for event in engine.run(context, self._jobs()):
            cell = Cell(**event.job["cell"])
            if event.result is None:
                self.board.started(cell)
            elif "refused" in event.result:
                raise WorkerError(
                    event.result["refused"],
                    "install the same versions everywhere and start the study again: it continues",
                )
            elif event.result.get("busy"):
                self.board.postponed(cell)
                self.busy.append((time.monotonic() + _RETRY_S, cell))
            else:
                self._end(cell, event.result)
        self._time_models(engine, context)

    def result(self) -> Study:
        """Return the present outcomes of all cells."""
        ended = [self.outcomes[cell] for cell in self.plan.cells if cell in self.outcomes]
        return Study(
            self.ledger,
            tuple(outcome for outcome in ended if outcome.state == "finished"),
            tuple(outcome for outcome in ended if outcome.state == "failed"),
            tuple(cell for cell in self.plan.cells if cell not in self.outcomes),
        )

    def keeps_model(self, cell: Cell) -> bool:
        """Return whether the weights of a cell are kept."""
        return self.plan.recipe.study.keep_models or cell in self.plan.kept or self._teaches(cell)

    def _teaches(self, cell: Cell) -> bool:
        """Return whether a cell is the teacher of another cell, which needs its weights."""
        own = self.plan.recipe.distill.teacher is None and cell.method == "finetune"
        return own and replace(cell, method="distill") in self.plan.cells

    def _total_effort(self, cell: Cell) -> float:
        """Return the effort of a cell, plus that of the cell that waits for it."""
        efforts = self.plan.efforts
        waits = cell.method == "finetune" and self._teaches(cell)
        return efforts[cell] + (efforts[replace(cell, method="distill")] if waits else 0.0)

    def _awaits_teacher(self, cell: Cell) -> bool:
        """Return whether the teacher of a cell has not ended: both cells at once would train it twice."""
        teacher = replace(cell, method="finetune")
        awaited = cell.method == "distill" and teacher in self.plan.cells and teacher not in self.outcomes
        return awaited and self._teaches(teacher)

    def untimed(self) -> list[str]:
        """Return the Records of the models to time, one per series; empty if all have been timed.

        One missing speed requires timing all models again: only times of one sitting are comparable.
        """
        speeds = self.ledger.speeds()
        best: dict[Series, Outcome] = {}
        for cell in sorted(self.outcomes, key=lambda cell: (-cell.budget, cell.seed)):
            outcome = self.outcomes[cell]
            if cell.series in best:
                continue
            record = self.ledger.record(outcome)
            if record is not None and record.model_folder.is_dir():
                best[cell.series] = outcome
        timed = [outcome.record for outcome in best.values()]
        return [] if all(record in speeds for record in timed) else timed

    def _jobs(self) -> Iterator[JobData | None]:
        """Yield the next cells to run; None while other processes have the remaining ones."""
        while self.pending or self.busy or self.board.running:
            if time.monotonic() > self.deadline:
                return
            if self.busy and self.busy[0][0] <= time.monotonic():
                self.pending.appendleft(self.busy.popleft()[1])
            if not self.pending:
                yield None
                continue
            cell = self.pending.popleft()
            if self._awaits_teacher(cell):
                self.busy.append((time.monotonic() + _RETRY_S, cell))
            elif not self._settled_elsewhere(cell):
                gpus = self.plan.gpu_share(cell)
                yield {"cell": asdict(cell), "keep_model": self.keeps_model(cell), "gpus": gpus}

    def _settled_before(self, cell: Cell) -> bool:
        """Return whether the Record of a cell is finished and whole. Failed cells are run again."""
        outcome = self.ledger.outcome(cell, self.plan.cells[cell], self.board.say)
        if outcome is None or outcome.state == "failed":
            outcome = self._finished_by_another_command(cell)
        if outcome is None:
            return False
        record = self.ledger.record(outcome, whole=True)
        if record is None:
            self.board.say(f"{title(cell)}: its Record {outcome.record} is gone or damaged; it is run again")
            return False
        if self.keeps_model(cell) and not record.model_folder.is_dir():
            return False
        self._settle(outcome, record)
        return True

    def _finished_by_another_command(self, cell: Cell) -> Outcome | None:
        """Return the outcome of a cell whose Record another command wrote; None if there is no such Record."""
        # With a storage, a worker must copy the Record there, so it runs the cell and finds the Record.
        record = find_record(self.plan, cell) if self.place.storage is None else None
        if record is None or (self.keeps_model(cell) and not record.model_folder.is_dir()):
            return None
        outcome = Outcome(cell, self.plan.cells[cell], "finished", record=record.id, time=now())
        self.ledger.write(outcome)
        return outcome

    def _settled_elsewhere(self, cell: Cell) -> bool:
        """Return whether a cell has ended in another process since this start, and keep its outcome."""
        outcome = self.ledger.outcome(cell, self.plan.cells[cell])
        if outcome is None or outcome.time < self.began:
            return False
        self._settle(outcome, self.ledger.record(outcome))
        return True

    def _end(self, cell: Cell, result: JobData) -> None:
        """Keep the outcome of a cell that was run here."""
        error = str(result.get("error") or result.get("died") or "") or self._fetch(result["record"])
        outcome = Outcome(
            cell,
            self.plan.cells[cell],
            "failed" if error else "finished",
            record=str(result.get("record", "")),
            error=error,
            time=now(),
        )
        self.ledger.write(outcome)
        self._settle(outcome, self.ledger.record(outcome), found=bool(result.get("found")))

    def _fetch(self, record: str) -> str:
        """Copy a Record from the storage and return the error message; empty if it succeeded."""
        if self.place.storage is None:
            return ""
        try:
            whole = self.place.storage.fetch(record, self.ledger.folder.parent)
        except OutputError as error:
            return str(error)
        return "" if whole else f"--storage {self.place.storage.url}: {record} did not arrive there completely"

    def _settle(self, outcome: Outcome, record: Record | None, found: bool = False) -> None:
        """Keep an outcome. found: The Record had been finished before, so that the worker had nothing to run."""
        self.outcomes[outcome.cell] = outcome
        value = record.metrics[record.main_metric] if record else None
        seconds = record.content.seconds.total if record else None
        self.board.ended(outcome.cell, value, outcome.error, seconds, found=found)

    def _time_models(self, engine: Engine, context: JobData) -> None:
        untimed = self.untimed()
        if not untimed:
            return
        for event in engine.run(context, iter([{"time": untimed}])):  # one job: models are measured in turns
            if event.result is None:
                continue
            for record, reason in event.result.get("unmeasured", {}).items():
                self.board.say(f"the speed of {record} could not be measured: {reason}")
            if "speeds" in event.result:
                self._keep_speeds(speeds_from_json(event.result["speeds"].encode()))
            else:
                reason = event.result.get("error") or event.result.get("died")
                self.board.say(f"the speed of the models could not be measured: {reason}")

    def _keep_speeds(self, speeds: dict[str, Speed]) -> None:
        self.ledger.write_speeds(speeds)
        for warning in sorted({speed.warning for speed in speeds.values() if speed.warning}):
            self.board.say(f"latency: {warning}")


def _note_what_stays(work: _Work) -> None:
    """Report the finished cells, and the checkpoints of others, that an interrupted start leaves to the next one."""
    finished = sum(outcome.state == "finished" for outcome in work.outcomes.values())
    if finished:
        note_kept("cells", f"{finished} finished cell{'s' if finished > 1 else ''}")
    runs = work.ledger.folder.parent
    if work.place.storage is None and any(runs.glob(f".*.partial/**/checkpoint-*/{CHECKPOINT_SEAL}")):
        note_kept("checkpoints", "the checkpoints of unfinished cells")


def _require_room(work: _Work) -> None:
    """Raise OutputError if the models of all remaining cells do not fit on the disk."""
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
