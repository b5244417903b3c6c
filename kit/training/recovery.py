"""Checkpoints: how a training run stops between two steps, and which checkpoint it continues from."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate import PartialState
from accelerate.utils.memory import should_reduce_batch_size
from transformers import TrainerCallback

from kit.errors import LaunchError, RecordError, first_line
from kit.runtime.distributed import largest, sharded_by
from kit.runtime.files import CHECKPOINT_SEAL, file_sha256, write_atomically
from kit.runtime.json_files import read_object
from kit.training.plan import Plan

# Files of checkpoints that hold shards, by what wrote them.
_SHARDS = {
    "FSDP": "pytorch_model_fsdp*",
    "ZeRO-2": "global_step*/mp_rank_00_model_states.pt",
    "ZeRO-3": "global_step*/zero_pp_rank_0_mp_rank_00_model_states.pt",
}


AVERAGED = "weights-"  # start of the names of weights that wait beside the checkpoints to be averaged


class StopBetweenSteps(TrainerCallback):
    """Saves a checkpoint after the step in which any process got a signal to end.

    received: returns the number of the signal that this process got, 0 if none. signal_number: of any process.
    """

    def __init__(self, received: Callable[[], int]) -> None:
        self.received = received
        self.signal_number = 0

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Compare with the other processes, which all call this after every step."""
        self.signal_number = largest(self.received())
        if self.signal_number:
            control.should_save = True


class Clock(TrainerCallback):
    """Starts a trainer's clock, at the time that an interrupted start of the run had reached."""

    def __init__(self, trainer: Any) -> None:
        self.trainer = trainer

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Sets `earlier` and `began` of the trainer, in seconds."""
        self.trainer.earlier = max((entry.get("seconds", 0.0) for entry in state.log_history), default=0.0)
        self.trainer.began = time.perf_counter()


@dataclass(frozen=True)
class Resumption:
    """Where training goes on.

    checkpoint: None at step 0. plan: the run's, or the one of its halvings that the checkpoint was made with.
    problems: one line on each newer checkpoint that cannot be used.
    """

    checkpoint: Path | None
    plan: Plan
    problems: tuple[str, ...] = ()


class _UnusableError(Exception):
    """A checkpoint that training cannot go on from; the message says why."""


def seal_checkpoint(folder: Path) -> None:
    """Write, as the last file of a checkpoint, the size and sha256 of each of its files and of the weights to average.

    Every process must have written its part. Only one process calls this.
    """
    averaged = [path for path in folder.parent.glob(f"{AVERAGED}*") if path.is_file()]
    covered = [path for path in [*folder.rglob("*"), *averaged] if path.is_file() and path != folder / CHECKPOINT_SEAL]
    files = {os.path.relpath(path, folder): [path.stat().st_size, file_sha256(path)] for path in sorted(covered)}
    write_atomically(folder / CHECKPOINT_SEAL, json.dumps(files))


def find_checkpoint(workdir: Path, plan: Plan) -> Resumption:
    """Return the newest checkpoint that is whole and of the same plan or one of its halvings.

    Every other checkpoint that is newer is deleted, and its problem returned. A checkpoint of another number of
    processes is used: these take the same steps on the same batches.

    Raises:
        LaunchError: if the checkpoint holds whole models and this launch shards them, or the other way round.
    """
    problems: list[str] = []
    for folder in sorted(workdir.glob("checkpoint-*"), key=_step_of, reverse=True):
        try:
            _require_whole(folder)
            _require_same_shards(folder)
            return Resumption(folder, _plan_of(folder, plan), tuple(problems))
        except _UnusableError as error:
            problems.append(f"{folder.name} cannot be continued: {error}")
            shutil.rmtree(folder, ignore_errors=True)
    return Resumption(None, plan, tuple(problems))


def _require_whole(folder: Path) -> None:
    """Raise _UnusableError unless all files of a checkpoint are those that were written."""
    try:
        if not (folder / CHECKPOINT_SEAL).exists():
            raise _UnusableError("it was not written to its end")
        files = read_object(folder / CHECKPOINT_SEAL)
        for name, (size, sha256) in files.items():
            path = folder / name
            if not path.is_file():
                raise _UnusableError(f"{name} is missing")
            if path.stat().st_size != size or file_sha256(path) != sha256:
                raise _UnusableError(f"{name} is damaged")
    except (OSError, ValueError, TypeError, RecordError) as error:
        raise _UnusableError(f"its list of files cannot be read ({first_line(error)})") from error


def _plan_of(folder: Path, plan: Plan) -> Plan:
    """Return the plan that a whole checkpoint was made with. Raises _UnusableError for another run's plan."""
    processes, plans = PartialState().num_processes, {plan.device_batch: plan}
    smaller = plan
    while smaller.device_batch > 1 and processes == 1:
        smaller = smaller.halved()
        plans[smaller.device_batch] = smaller
    try:
        state = read_object(folder / "trainer_state.json")
        steps, batch = int(state["max_steps"]), int(state["train_batch_size"])
    except (ValueError, TypeError, KeyError, RecordError) as error:
        raise _UnusableError("trainer_state.json is damaged") from error
    if steps != plan.steps:
        raise _UnusableError(f"it belongs to a training of {steps} steps, not {plan.steps}")
    if _written_by(folder) != processes:
        return plan
    if batch not in plans:
        raise _UnusableError(f"it was made with batches of {batch}")
    return plans[batch]


def drop_older(workdir: Path) -> None:
    """Delete all checkpoints but the newest, to make room for the next."""
    for folder in sorted(workdir.glob("checkpoint-*"), key=_step_of)[:-1]:
        shutil.rmtree(folder, ignore_errors=True)


def _step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])


def _require_same_shards(checkpoint: Path) -> None:
    """Raise LaunchError for a checkpoint whose weights are not divided as this launch divides them."""
    before, now = next((kind for kind, files in _SHARDS.items() if any(checkpoint.glob(files))), None), sharded_by()
    if before != now:
        words = {kind: f"shards of the model ({kind})" if kind else "whole models" for kind in (before, now)}
        raise LaunchError(
            f"this run was begun on {words[before]}, and this launch trains {words[now]}",
            "continue it by the launch that began it, or begin again with --force",
        )
    count = _written_by(checkpoint)
    if now not in (None, "FSDP") and count != PartialState().num_processes:
        raise LaunchError(
            f"this run was begun on {_processes(count)}, for whose number DeepSpeed has divided its checkpoint",
            f"continue it on {_processes(count)}, or begin again with --force",
        )


def continued(start_at: Resumption, one_of_several: bool = False) -> str:
    """Return the note of a run that goes on; on another number of processes, dropout draws otherwise from there.

    one_of_several: Whether the run has other trainings, so that the end of this one is not the end of the run.
    """
    checkpoint = start_at.checkpoint
    assert checkpoint is not None
    step = _step_of(checkpoint)
    if one_of_several and step >= start_at.plan.steps:
        return "finished by an earlier start"
    note = f"continued from step {step} of an interrupted run"
    before, now = _written_by(checkpoint), PartialState().num_processes
    return note if before == now else f"{note}, saved by {_processes(before)}, on {_processes(now)}"


def _written_by(checkpoint: Path) -> int:
    """How many processes wrote it: each keeps its random state."""
    return len(list(checkpoint.glob("rng_state*")))


def _processes(count: int) -> str:
    return "1 process" if count == 1 else f"{count} processes"


def out_of_memory(error: Exception) -> bool:
    """Whether an error says that memory ran out, on a device or in the process."""
    return isinstance(error, MemoryError) or should_reduce_batch_size(error)
