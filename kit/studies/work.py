"""The work of a study: its open cells given to an engine, and the outcomes of all cells."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from kit.errors import OutputError, WorkerError
from kit.measurement.speed import Speed, speeds_from_json
from kit.records.record import Record
from kit.runtime.files import CHECKPOINT_SEAL, require_space
from kit.runtime.quantities import megabytes
from kit.runtime.signals import note_kept
from kit.studies.engines.base import Engine, JobData
from kit.studies.engines.choice import Place
from kit.studies.grid import Cell, Series
from kit.studies.ledger import Ledger, Outcome, now
from kit.studies.plan import Plan, find_record
from kit.studies.progress import Board, title

_RETRY_S = 1.0  # interval between checks of a cell that another process runs
_DISK_RESERVE = 20_000_000
_DRAFT_WEIGHTS = 6  # disk space of a cell in training, as a multiple of its weights


@dataclass(frozen=True)
class Study:
    """State of a study.

    Attributes:
        ledger: The study on disk.
        finished: Cells with a Record.
        failed: Cells that ended with an error.
        skipped: Cells that are made from a cell without a model.
        open: Cells that have not ended because the time limit was reached.
    """

    ledger: Ledger
    finished: tuple[Outcome, ...]
    failed: tuple[Outcome, ...]
    skipped: tuple[Outcome, ...]
    open: tuple[Cell, ...]

    @property
    def folder(self) -> Path:
        """Folder of the study."""
        return self.ledger.folder


class Work:
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
        if untimed := self.untimed():
            self.time_models(engine, context, untimed, self.ledger.memories())

    def take(self, cells: Iterable[Cell]) -> None:
        """Run only these cells next, with the cells that they are made from, cheapest first."""
        efforts: dict[Cell, float] = {}
        for cell in cells:
            effort = 0.0
            for one in reversed(self._line(cell)):
                effort += self.plan.efforts[one]
                if one not in self.outcomes:
                    efforts[one] = effort
        self.pending = deque(sorted(efforts, key=efforts.__getitem__))
        self.board.expect(self.pending)

    def _line(self, cell: Cell) -> list[Cell]:
        """Return a cell, the one that it is made from, and so on."""
        source = self.plan.grid.source(cell)
        return [cell] if source is None else [cell, *self._line(source)]

    def result(self) -> Study:
        """Return the present outcomes of all cells."""
        ended = [self.outcomes[cell] for cell in self.plan.cells if cell in self.outcomes]
        return Study(
            self.ledger,
            tuple(outcome for outcome in ended if outcome.state == "finished"),
            tuple(outcome for outcome in ended if outcome.state == "failed"),
            tuple(outcome for outcome in ended if outcome.state == "skipped"),
            tuple(cell for cell in self.plan.cells if cell not in self.outcomes),
        )

    def keeps_model(self, cell: Cell) -> bool:
        """Return whether the weights of a cell are kept: other cells may be made from them."""
        return self.plan.recipe.study.keep_models or cell in self.plan.kept or cell in self.plan.made_from

    def _total_effort(self, cell: Cell) -> float:
        """Return the effort of a cell, plus that of the longest row of cells that wait for it."""
        waiting = self.plan.made_from.get(cell, ())
        return self.plan.efforts[cell] + max(map(self._total_effort, waiting), default=0.0)

    def untimed(self) -> list[str]:
        """Return the Records of the models to time, one per series; empty if all have been timed.

        One missing speed requires timing all models again: only times of one sitting are comparable.
        """
        speeds, timed = self.ledger.speeds(), list(self.models().values())
        return [] if all(record in speeds for record in timed) else timed

    def models(self) -> dict[Series, str]:
        """Return the Record of each series to time: the largest budget with a model."""
        records: dict[Series, str] = {}
        for cell in sorted(self.outcomes, key=lambda cell: (-cell.budget, cell.seed)):
            if cell.series in records:
                continue
            record = self.ledger.record(self.outcomes[cell])
            if record is not None and record.model_folder.is_dir():
                records[cell.series] = record.id
        return records

    def time_models(self, engine: Engine, context: JobData, records: list[str], memory: Mapping[str, int]) -> None:
        """Measure the speed of the models of these Records in one sitting, and keep it.

        Args:
            engine: Engine of the study.
            context: Context of its jobs.
            records: Ids of the Records.
            memory: Peak memories that need not be measured again, by id.
        """
        # One job: models are measured in turns.
        for event in engine.run(context, iter([{"time": records, "memory": dict(memory)}])):
            if event.result is None:
                continue
            for kind in ("speed", "memory"):
                for record, reason in event.result.get(f"no_{kind}", {}).items():
                    self.board.say(f"the {kind} of {record} could not be measured: {reason}")
            if "speeds" in event.result:
                self._keep_speeds(speeds_from_json(event.result["speeds"].encode()))
            else:
                reason = event.result.get("error") or event.result.get("died")
                self.board.say(f"the speed of the models could not be measured: {reason}")

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
            source = self.plan.grid.source(cell)
            made_from = None if source is None else self.outcomes.get(source)
            if source is not None and made_from is None:
                self.busy.append((time.monotonic() + _RETRY_S, cell))
            elif made_from is not None and made_from.state != "finished":
                self._skip(cell, made_from)
            elif not self._settled_elsewhere(cell):
                yield {
                    "cell": asdict(cell),
                    "keep_model": self.keeps_model(cell),
                    "gpus": self.plan.gpu_share(cell),
                    "source": None if made_from is None else made_from.record,
                }

    def _skip(self, cell: Cell, source: Outcome) -> None:
        """Keep the outcome of a cell that cannot be run because its source has no model."""
        ended = "failed" if source.state == "failed" else "was skipped"
        error = f"{title(source.cell)}, which it is made from, {ended}"
        outcome = Outcome(cell, self.plan.cells[cell], "skipped", error=error, time=now())
        self.ledger.write(outcome)
        self._settle(outcome, None)

    def _settled_before(self, cell: Cell) -> bool:
        """Return whether the Record of a cell is whole; failed cells are run again."""
        outcome = self.ledger.outcome(cell, self.plan.cells[cell], self.board.say)
        if outcome is None or outcome.state != "finished":
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
            undone=tuple(result.get("undone") or ()),
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

    def _keep_speeds(self, speeds: dict[str, Speed]) -> None:
        self.ledger.write_speeds(speeds)
        for warning in sorted({speed.warning for speed in speeds.values() if speed.warning}):
            self.board.say(f"latency: {warning}")


def note_what_stays(work: Work) -> None:
    """Report the finished cells, and the checkpoints of others, that an interrupted start leaves to the next one."""
    finished = sum(outcome.state == "finished" for outcome in work.outcomes.values())
    if finished:
        note_kept("cells", f"{finished} finished cell{'s' if finished > 1 else ''}")
    runs = work.ledger.folder.parent
    if work.place.storage is None and any(runs.glob(f".*.partial/**/checkpoint-*/{CHECKPOINT_SEAL}")):
        note_kept("checkpoints", "the checkpoints of unfinished cells")


def require_room(work: Work) -> None:
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
