"""Recovery: how a training run stops between two steps, and what it goes on from afterwards.

Knows the folders that transformers writes checkpoints to, and plans. Knows nothing of models or losses.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from accelerate import PartialState
from accelerate.utils.memory import should_reduce_batch_size
from transformers import TrainerCallback

from kit.errors import LaunchError
from kit.processes import any_says, sharded_by
from kit.training.plan import Plan

# Files of checkpoints that hold shards, by what wrote them.
_SHARDS = {
    "FSDP": "pytorch_model_fsdp*",
    "ZeRO-2": "global_step*/mp_rank_00_model_states.pt",
    "ZeRO-3": "global_step*/zero_pp_rank_0_mp_rank_00_model_states.pt",
}


class StopBetweenSteps(TrainerCallback):
    """Has a checkpoint saved once any process was told to end. told: whether this one was."""

    def __init__(self, told: Callable[[], bool]) -> None:
        self.told = told
        self.stopping = False

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """All processes ask, after every step."""
        if any_says(self.told()):
            self.stopping = control.should_save = True


class Clock(TrainerCallback):
    """Starts a trainer's clock, at the time that an interrupted start of the run had reached."""

    def __init__(self, trainer: Any) -> None:
        self.trainer = trainer

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Sets `earlier` and `began` of the trainer, in seconds."""
        self.trainer.earlier = max((entry.get("seconds", 0.0) for entry in state.log_history), default=0.0)
        self.trainer.began = time.perf_counter()


def last_whole_checkpoint(workdir: Path, plan: Plan) -> tuple[Path | None, Plan]:
    """The newest checkpoint that was written to its end, with its plan: `plan`, or one of its halvings.

    Checkpoints that are not whole or of another plan are deleted; without any left, None and `plan`. transformers
    writes trainer_state.json last, so a checkpoint in which it can be parsed is whole. One of another number of
    processes is continued: these take the same steps on the same batches. Raises LaunchError for one of whole models
    where this launch shards them, or the other way round.
    """
    processes, plans = PartialState().num_processes, {plan.device_batch: plan}
    smaller = plan
    while smaller.device_batch > 1 and processes == 1:
        smaller = smaller.halved()
        plans[smaller.device_batch] = smaller
    for folder in sorted(workdir.glob("checkpoint-*"), key=_step_of, reverse=True):
        try:
            state = json.loads((folder / "trainer_state.json").read_text("utf-8"))
            steps, batch = int(state["max_steps"]), int(state["train_batch_size"])
            _require_same_shards(folder)
            if steps != plan.steps:
                raise ValueError("another plan")
            return folder, plan if _written_by(folder) != processes else plans[batch]
        except (OSError, ValueError, KeyError):
            shutil.rmtree(folder, ignore_errors=True)
    return None, plan


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


def continued(checkpoint: Path) -> str:
    """What to note of a run that goes on; on another number of processes, dropout draws otherwise from there."""
    note = f"continued from step {_step_of(checkpoint)} of an interrupted run"
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
