"""Callbacks of the trainer for its progress: a bar with the remaining time, and a line per evaluation."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

from accelerate import PartialState
from rich.progress import Progress as RichProgress
from transformers import TrainerCallback

from kit.measurement.durations import Pace, Span
from kit.recipe.sections.training import TrainSection
from kit.training.progress import Progress, time_left


def trainer_callbacks(progress: Progress, train: TrainSection, logs: Path, metric: str) -> list[TrainerCallback]:
    """Return the trainer's callbacks: the bar, and TensorBoard if the recipe reports to it.

    Args:
        progress: Output of the run.
        train: Section of the recipe.
        logs: Folder for TensorBoard's files.
        metric: Name of the metric that is printed beside the loss.
    """
    callbacks: list[TrainerCallback] = [_Bar(progress, metric)]
    if "tensorboard" in train.report_to and PartialState().is_main_process:  # an unused writer leaves a file
        from torch.utils.tensorboard import SummaryWriter
        from transformers.integrations.integration_utils import TensorBoardCallback

        callbacks.append(TensorBoardCallback(SummaryWriter(log_dir=str(logs))))  # type: ignore[no-untyped-call]
    return callbacks


class _Bar(TrainerCallback):
    """Callback that draws a bar on a terminal; elsewhere it prints evaluation lines only, to keep logs readable."""

    def __init__(self, progress: Progress, metric: str) -> None:
        self.progress = progress
        self.metric = metric
        self.bar: RichProgress | None = None
        self.task: Any = None
        self.steps, self.evaluations = Pace(), Pace()
        self.last = 0.0
        self.evaluated = self.every = 0  # step of the last evaluation, and steps between two

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.last, self.evaluated = time.perf_counter(), state.global_step
        self.steps, self.evaluations = Pace(), Pace()
        if self.progress.quiet or not self.progress.console.is_terminal:
            return
        self.bar = self.progress.bar("training", "steps")
        self.task = self.bar.add_task("train", total=state.max_steps, completed=state.global_step, left="")
        self.bar.start()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.steps.add(self._lap())
        if self.bar is not None:
            self.bar.update(self.task, completed=state.global_step, left=time_left(self._left(state)))

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._lap()  # saving does not count as part of the next step

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        metrics: dict[str, float] = kwargs["metrics"]
        self.evaluations.add(self._lap())
        self.every = state.global_step - self.evaluated or self.every
        self.evaluated = state.global_step
        left = time_left(self._left(state))
        name = self.metric
        self.progress.say(
            f"step {state.global_step:>5}/{state.max_steps}  "
            f"loss: train {metrics['train_loss']:.3f} validation {metrics['validation_loss']:.3f}  "
            f"{name}: train {metrics[f'train_{name}']:.3f} validation {metrics[f'validation_{name}']:.3f}"
            f"{left and f'  {left}'}"
        )

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None

    def _lap(self) -> float:
        """Return the seconds since the last call."""
        last, self.last = self.last, time.perf_counter()
        return self.last - last

    def _left(self, state: Any) -> Span | None:
        """Return the time of the remaining steps and evaluations; None if it is unknown."""
        steps = self.steps.left(state.max_steps - state.global_step)
        if steps is None or not self.every:
            return steps
        pauses = math.ceil((state.max_steps - self.evaluated) / self.every)
        return steps + (self.evaluations.left_at_first(pauses) or Span.fixed(0.0))
