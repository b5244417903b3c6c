"""Averaging: a model whose weights are the mean of those at the last pauses of its training.

Where weights still move about a minimum, their mean lies nearer to it (Polyak & Juditsky 1992); of the last checkpoints
of a Transformer, Vaswani et al. 2017, arXiv:1706.03762, section 6.1.

Knows models, plans and a folder. Knows nothing of losses or data.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from safetensors.torch import load_file, save
from torch import nn
from transformers import TrainerCallback

from kit.runtime.files import write_atomically
from kit.training.model_sharding import Whole
from kit.training.plan import Plan
from kit.training.recovery import AVERAGED


class Averaging(TrainerCallback):
    """Keeps the trained weights of some steps in a folder; at the last of them, the model gets their mean.

    They are kept before the trainer saves its checkpoint of that step, so a run that goes on from a checkpoint finds
    all that came before it. The last evaluation and the last checkpoint are of the mean.
    learner: what is trained of the model. steps: rising, the last one the end of training.
    """

    def __init__(self, model: nn.Module, learner: Whole, folder: Path, steps: list[int], evaluates: bool) -> None:
        self.model, self.learner, self.folder, self.steps, self.evaluates = model, learner, folder, steps, evaluates

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Called by transformers after every step. Raises OutputError if the disk is full."""
        if state.global_step not in self.steps:
            return
        self.learner.gather()
        if state.is_world_process_zero:
            write_atomically(self._file(state.global_step), save(self._trained()))
        if state.global_step == self.steps[-1]:
            PartialState().wait_for_everyone()
            self._take_mean()
            self.learner.spread()
            control.should_evaluate = self.evaluates

    def _take_mean(self) -> None:
        with torch.no_grad():
            weights = {name: part.zero_() for name, part in self.model.named_parameters() if part.requires_grad}
            for step in self.steps:
                for name, part in load_file(self._file(step)).items():
                    weights[name].add_(part.to(weights[name].device), alpha=1 / len(self.steps))

    def _trained(self) -> dict[str, torch.Tensor]:
        parts = self.model.named_parameters()
        return {name: part.detach().cpu().contiguous() for name, part in parts if part.requires_grad}

    def _file(self, step: int) -> Path:
        return self.folder / f"{AVERAGED}{step}.safetensors"


def averaged_steps(plan: Plan, count: int) -> list[int]:
    """The last `count` pauses of a plan, the end of training among them; all of them, if there are fewer."""
    return [*range(plan.evaluate_every, plan.steps, plan.evaluate_every), plan.steps][-count:]
