"""Checkpoints of a training run: stopping after a signal, sealing, and finding the one to resume from."""

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

# Files that only sharded checkpoints have, by kind of sharding.
_SHARD_FILES = {
    "FSDP": "pytorch_model_fsdp*",
    "ZeRO-2": "global_step*/mp_rank_00_model_states.pt",
    "ZeRO-3": "global_step*/zero_pp_rank_0_mp_rank_00_model_states.pt",
}

AVERAGED = "weights-"  # prefix of the files beside the checkpoints with weights to average


class StopBetweenSteps(TrainerCallback):
    """Callback that saves a checkpoint after the step in which any process got a signal to end.

    Args:
        received: Function that returns the number of the signal that this process got, 0 for none.
    """

    def __init__(self, received: Callable[[], int]) -> None:
        self.received = received
        self.signal_number = 0

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Set `signal_number` if any process got a signal.

        All processes call this after every step.
        """
        self.signal_number = largest(self.received())
        if self.signal_number:
            control.should_save = True


class Clock(TrainerCallback):
    """Callback that starts a trainer's clock at the training time before an interruption."""

    def __init__(self, trainer: Any) -> None:
        self.trainer = trainer

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Set `earlier` and `began` of the trainer, in seconds."""
        self.trainer.earlier = max((entry.get("seconds", 0.0) for entry in state.log_history), default=0.0)
        self.trainer.began = time.perf_counter()


@dataclass(frozen=True)
class Resumption:
    """State from which training continues.

    Attributes:
        checkpoint: Folder of the checkpoint; None for step 0.
        plan: Plan that the checkpoint was made with: that of the run, or the same with smaller batches.
        problems: One line per newer checkpoint that cannot be used.
    """

    checkpoint: Path | None
    plan: Plan
    problems: tuple[str, ...] = ()


class _UnusableError(Exception):
    """Error for a checkpoint that training cannot continue from; the message is the reason."""


def seal_checkpoint(folder: Path) -> None:
    """Write the size and sha256 of each file of a checkpoint, and of the weights to average, as its last file.

    Only one process calls this, after every process has written its part.
    """
    averaged = [path for path in folder.parent.glob(f"{AVERAGED}*") if path.is_file()]
    paths = [path for path in [*folder.rglob("*"), *averaged] if path.is_file() and path != folder / CHECKPOINT_SEAL]
    files = {os.path.relpath(path, folder): [path.stat().st_size, file_sha256(path)] for path in sorted(paths)}
    write_atomically(folder / CHECKPOINT_SEAL, json.dumps(files))


def find_checkpoint(workdir: Path, plan: Plan) -> Resumption:
    """Return the newest whole checkpoint of the same plan, or of the same plan with smaller batches.

    Newer checkpoints that cannot be used are deleted. A checkpoint from another number of processes can be used: the
    steps and batches are the same.

    Raises:
        LaunchError: The checkpoint is sharded and this launch is not, or the reverse.
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
    """Raise _UnusableError if a file of a checkpoint is missing or was changed."""
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
    """Return the plan that a whole checkpoint was made with.

    Raises _UnusableError for another run's plan.
    """
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
    if _process_count(folder) != processes:
        return plan
    if batch not in plans:
        raise _UnusableError(f"it was made with batches of {batch}")
    return plans[batch]


def drop_older(workdir: Path) -> None:
    """Delete all checkpoints except the newest, to make room for the next."""
    for folder in sorted(workdir.glob("checkpoint-*"), key=_step_of)[:-1]:
        shutil.rmtree(folder, ignore_errors=True)


def _step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])


def _require_same_shards(checkpoint: Path) -> None:
    """Raise LaunchError for a checkpoint that is sharded in another way than this launch shards models."""
    kinds = (kind for kind, pattern in _SHARD_FILES.items() if any(checkpoint.glob(pattern)))
    before, now = next(kinds, None), sharded_by()
    if before != now:
        words = {kind: f"shards of the model ({kind})" if kind else "whole models" for kind in (before, now)}
        raise LaunchError(
            f"this run was begun on {words[before]}, and this launch trains {words[now]}",
            "continue it by the launch that began it, or begin again with --force",
        )
    count = _process_count(checkpoint)
    if now not in (None, "FSDP") and count != PartialState().num_processes:
        raise LaunchError(
            f"this run was begun on {_processes(count)}, for whose number DeepSpeed has divided its checkpoint",
            f"continue it on {_processes(count)}, or begin again with --force",
        )


def continued(checkpoint: Path, resumption: Resumption, one_of_several: bool = False) -> str:
    """Return the note for people on a resumed run.

    The note mentions another number of processes: from the checkpoint on, dropout then draws other numbers.

    Args:
        checkpoint: The checkpoint.
        resumption: State that training continues from.
        one_of_several: The run has further trainings, so the end of this one is not the end of the run.
    """
    step = _step_of(checkpoint)
    if one_of_several and step >= resumption.plan.steps:
        return "finished by an earlier start"
    note = f"continued from step {step} of an interrupted run"
    before, now = _process_count(checkpoint), PartialState().num_processes
    return note if before == now else f"{note}, saved by {_processes(before)}, on {_processes(now)}"


def _process_count(checkpoint: Path) -> int:
    """Return the number of processes that wrote a checkpoint: each saves its random state."""
    return len(list(checkpoint.glob("rng_state*")))


def _processes(count: int) -> str:
    return "1 process" if count == 1 else f"{count} processes"


def out_of_memory(error: Exception) -> bool:
    """Return whether an error means that memory ran out, on a device or in the process."""
    return isinstance(error, MemoryError) or should_reduce_batch_size(error)
