"""The numbers of a training run, all derived before it starts.

Knows arithmetic on a recipe. Knows nothing of torch, models or texts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from kit.errors import RecipeError
from kit.recipe import TrainSection

DIAGNOSED = 3  # evaluations that it takes to say how training ended
_LEAST_PAUSE = 10  # steps
TRAIN_SAMPLE = 32  # training examples that each evaluation looks at, beside all validation examples


@dataclass(frozen=True)
class Plan:
    """The numbers of a training run, all derived before it starts.

    contrastive: weight of the contrastive loss. batch_size: examples in one optimizer step over all processes.
    device_batch: examples in one forward pass, of which some may have one fewer.
    """

    epochs: float
    learning_rate: float
    contrastive: float
    batch_size: int
    device_batch: int
    accumulation: int
    steps: int
    evaluate_every: int

    def halved(self) -> Plan:
        """The same steps on the same batches, in forward passes of half the size."""
        device_batch = self.device_batch // 2
        return replace(self, device_batch=device_batch, accumulation=math.ceil(self.batch_size / device_batch))


def make_plan(train: TrainSection, examples: int, processes: int = 1) -> Plan:
    """Derive steps and batch sizes. The batch of one step is the same on any number of processes.

    train: of a resolved recipe. examples: in the training split. Raises RecipeError if the batch is to have fewer
    examples than accumulation steps.
    """
    epochs, batch_size = train.epochs, train.batch_size
    assert epochs is not None and batch_size is not None
    assert train.learning_rate is not None and train.contrastive is not None
    if batch_size < train.accumulation:
        raise RecipeError(
            f"{batch_size} is below train.accumulation: {train.accumulation}",
            f"set `train.accumulation` to {batch_size} or less",
            key="train.batch_size",
        )
    batch_size = max(1, min(batch_size, examples))
    steps = max(1, math.ceil(math.ceil(examples / batch_size) * epochs))
    return Plan(
        epochs=epochs,
        learning_rate=train.learning_rate,
        contrastive=train.contrastive,
        batch_size=batch_size,
        device_batch=math.ceil(batch_size / (processes * train.accumulation)),
        accumulation=train.accumulation,
        steps=steps,
        evaluate_every=_pause_every(steps, train.evaluations),
    )


def _pause_every(steps: int, evaluations: int) -> int:
    """Steps between two evaluations: short trainings pause less often, or they would evaluate as long as they train."""
    fewest = min(evaluations, DIAGNOSED)
    return max(math.ceil(steps / evaluations), min(_LEAST_PAUSE, max(1, steps // fewest)))


def forward_passes(train: TrainSection, plan: Plan, training: int, validation: int, test: int) -> float:
    """Arithmetic of a whole run, counted in forward passes of one example; a training step's backward pass is two.

    train: of a resolved recipe. training, validation, test: examples of each.
    """
    pauses = 1 + math.ceil(plan.steps / plan.evaluate_every) if validation else 0
    answered = test + pauses * (validation + min(training, TRAIN_SAMPLE))
    trainings = 2 if train.refit else 1
    return 3.0 * plan.steps * plan.batch_size * trainings + answered
