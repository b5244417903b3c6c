"""Recovery: what a training run goes on from after it was killed, or after memory ran out.

Knows the folders that transformers writes checkpoints to, and plans. Knows nothing of models or losses.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from accelerate import PartialState
from accelerate.utils.memory import should_reduce_batch_size

from kit.training.plan import Plan


def last_whole_checkpoint(workdir: Path, plan: Plan) -> tuple[Path | None, Plan]:
    """The newest checkpoint that was written to its end, with its plan: `plan`, or one of its halvings.

    Checkpoints that are not whole or of another plan are deleted; without any left, None and `plan`. transformers
    writes trainer_state.json last, so a checkpoint in which it can be parsed is whole.
    """
    first, processes = plan, PartialState().num_processes
    plans = {plan.device_batch: plan}
    while plan.device_batch > 1 and processes == 1:
        plan = plan.halved()
        plans[plan.device_batch] = plan
    whole: list[tuple[int, Path, Plan]] = []
    for folder in workdir.glob("checkpoint-*"):
        try:
            state = json.loads((folder / "trainer_state.json").read_text("utf-8"))
            # Each process keeps its random state: with another number of them, the rest would not be the same.
            if state["max_steps"] != first.steps or len(list(folder.glob("rng_state*"))) != processes:
                raise ValueError("another plan")
            whole.append((int(state["global_step"]), folder, plans[state["train_batch_size"]]))
        except (OSError, ValueError, KeyError):
            shutil.rmtree(folder, ignore_errors=True)
    if not whole:
        return None, first
    _, newest, its_plan = max(whole, key=lambda found: found[0])
    return newest, its_plan


def out_of_memory(error: Exception) -> bool:
    """Whether an error says that memory ran out, on a device or in the process."""
    return isinstance(error, MemoryError) or should_reduce_batch_size(error)
