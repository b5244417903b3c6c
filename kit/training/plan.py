"""Plan of a training run: steps, batch sizes and evaluations, derived from the recipe before it starts."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from kit.errors import RecipeError
from kit.recipe.resolved import ResolvedTrain

DIAGNOSED = 3  # evaluations that a diagnosis needs
_MIN_STEPS_BETWEEN_EVALUATIONS = 10
TRAIN_SAMPLE = 32  # training examples in each evaluation, in addition to all validation examples


@dataclass(frozen=True)
class Plan:
    """The numbers of a training run, all derived before it starts.

    Attributes:
        epochs: Passes over the training examples.
        learning_rate: Peak learning rate.
        contrastive: Weight of the contrastive loss.
        batch_size: Examples per optimizer step, over all processes.
        device_batch: Examples per forward pass; some passes may have one fewer.
        accumulation: Forward passes per optimizer step.
        steps: Optimizer steps.
        evaluate_every: Steps between two evaluations.
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
        """Return the plan with the same steps and batches, but forward passes of half the size."""
        device_batch = self.device_batch // 2
        return replace(self, device_batch=device_batch, accumulation=math.ceil(self.batch_size / device_batch))


def make_plan(train: ResolvedTrain, examples: int, processes: int = 1) -> Plan:
    """Derive steps and batch sizes. The batch of one step is the same for any number of processes.

    Args:
        train: Resolved training settings.
        examples: Number of training examples.
        processes: Processes that share each batch.

    Raises:
        RecipeError: The batch has fewer examples than accumulation steps.
    """
    epochs, batch_size = train.epochs, train.batch_size
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
        evaluate_every=_steps_between_evaluations(steps, train.evaluations),
    )


def _steps_between_evaluations(steps: int, evaluations: int) -> int:
    """Return the steps between two evaluations, more in short runs, which would otherwise mostly evaluate."""
    fewest = min(evaluations, DIAGNOSED)
    return max(math.ceil(steps / evaluations), min(_MIN_STEPS_BETWEEN_EVALUATIONS, max(1, steps // fewest)))


def forward_passes(train: ResolvedTrain, plan: Plan, training: int, validation: int, test: int) -> float:
    """Return the cost of a whole run in forward passes of one example; a backward pass counts as two.

    Args:
        train: Resolved training settings.
        plan: Plan of the run.
        training: Number of training examples.
        validation: Number of validation examples.
        test: Number of test examples.
    """
    evaluations = 1 + math.ceil(plan.steps / plan.evaluate_every) if validation else 0
    predicted = test + evaluations * (validation + min(training, TRAIN_SAMPLE))
    trainings = 2 if train.refit else 1
    return 3.0 * plan.steps * plan.batch_size * trainings + predicted
