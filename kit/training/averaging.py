"""Weight averaging: the final weights are the mean of the weights at the last evaluation steps.

While weights move around a minimum, their mean is closer to it (Polyak & Juditsky 1992). Vaswani et al. 2017,
arXiv:1706.03762, section 6.1, average the last checkpoints of a Transformer.
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
from kit.training.model_sharding import TrainedModel
from kit.training.plan import Plan
from kit.training.recovery import AVERAGED


class Averaging(TrainerCallback):
    """Callback that saves the trained weights at some steps and gives the model their mean at the last one.

    Weights are saved before the trainer saves its checkpoint of that step, so a run that resumes from the checkpoint
    finds the weights of all earlier steps. The last evaluation and the last checkpoint use the mean.

    Args:
        model: The whole model.
        trained: The model that steps are taken on.
        folder: Folder for the saved weights.
        steps: Steps to average over, in ascending order; the last one is the end of training.
        evaluates: Evaluate after averaging.
    """

    def __init__(
        self, model: nn.Module, trained: TrainedModel, folder: Path, steps: list[int], evaluates: bool
    ) -> None:
        self.model, self.trained, self.folder, self.steps, self.evaluates = model, trained, folder, steps, evaluates

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Save the weights of a step, and average after the last one.

        Raises OutputError if the disk is full.
        """
        if state.global_step not in self.steps:
            return
        self.trained.gather()
        if state.is_world_process_zero:
            write_atomically(self._file(state.global_step), save(self._trained_weights()))
        if state.global_step == self.steps[-1]:
            PartialState().wait_for_everyone()
            self._load_mean()
            self.trained.scatter()
            control.should_evaluate = self.evaluates

    def _load_mean(self) -> None:
        with torch.no_grad():
            means = {name: weight.zero_() for name, weight in self.model.named_parameters() if weight.requires_grad}
            for step in self.steps:
                for name, weight in load_file(self._file(step)).items():
                    means[name].add_(weight.to(means[name].device), alpha=1 / len(self.steps))

    def _trained_weights(self) -> dict[str, torch.Tensor]:
        parameters = self.model.named_parameters()
        return {name: weight.detach().cpu().contiguous() for name, weight in parameters if weight.requires_grad}

    def _file(self, step: int) -> Path:
        return self.folder / f"{AVERAGED}{step}.safetensors"


def averaged_steps(plan: Plan, count: int) -> list[int]:
    """Return the last `count` evaluation steps of a plan including its last step, or all if there are fewer."""
    return [*range(plan.evaluate_every, plan.steps, plan.evaluate_every), plan.steps][-count:]
