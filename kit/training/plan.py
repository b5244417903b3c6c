"""The numbers of a training run, all derived before it starts.

Knows arithmetic on the recipe's `train` section. Knows nothing of torch, models or texts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from kit.errors import RecipeError
from kit.recipe.schema import TrainSection


@dataclass(frozen=True)
class Plan:
    """The numbers of a training run, all derived before it starts.

    batch_size: examples in one optimizer step over all processes. device_batch: examples in one forward pass.
    """

    epochs: float
    learning_rate: float
    batch_size: int
    device_batch: int
    accumulation: int
    steps: int
    evaluate_every: int

    def halved(self) -> Plan:
        """The same steps on the same batches, in forward passes of half the size."""
        device_batch = self.device_batch // 2
        return replace(self, device_batch=device_batch, accumulation=math.ceil(self.batch_size / device_batch))


def make_plan(train: TrainSection, epochs: float, learning_rate: float, examples: int, processes: int = 1) -> Plan:
    """Derive steps and batch sizes. The batch of one step is the same on any number of processes.

    Raises RecipeError if the batch cannot be divided among processes and accumulation steps.
    """
    parts = processes * train.accumulation
    batch_size = min(train.batch_size, max(parts, examples))
    device_batch = max(1, batch_size // parts)
    batch_size = device_batch * parts
    if batch_size > max(train.batch_size, 1):
        raise RecipeError(
            f"train.batch_size {train.batch_size} is below {processes} processes x {train.accumulation} accumulation steps",
            f"set `train.batch_size` to {parts} or more",
        )
    steps_an_epoch = math.ceil(math.ceil(examples / (device_batch * processes)) / train.accumulation)
    steps = max(1, math.ceil(steps_an_epoch * epochs))
    evaluate_every = max(1, math.ceil(steps / train.evaluations))
    return Plan(epochs, learning_rate, batch_size, device_batch, train.accumulation, steps, evaluate_every)
