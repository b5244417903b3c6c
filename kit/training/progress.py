"""Progress of a run on the terminal: a bar with the remaining time, and a line per evaluation."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from accelerate import PartialState
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as RichProgress
from transformers import TrainerCallback

from kit.errors import RecipeError
from kit.measurement.durations import Pace, Span
from kit.recipe.sections.training import TrainSection
from kit.runtime.console import console, say

_LINE_SECONDS = 60  # between progress lines of work without evaluations


class Progress:
    """Output of a run for people.

    Args:
        quiet: Print nothing: for all processes except the first, and for use as a library.
    """

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self.console = console(quiet=quiet)

    def say(self, line: str) -> None:
        """Print a line, above the bar if one is drawn."""
        say(self.console, line)

    @contextmanager
    def counting(self, what: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
        """Show progress: as a bar on a terminal, otherwise as a line per minute with the remaining time.

        Args:
            what: Label of the bar.
            total: Number of units.
            unit: Name of the units, in the plural.

        Yields:
            A function to call with the number of units done since the last call.
        """
        bar = self.bar(what, unit) if self.console.is_terminal and not self.quiet else None
        task = bar.add_task(unit, total=total, left="") if bar is not None else None
        last = last_line = time.perf_counter()
        done, pace = 0, Pace()

        def advance(count: int) -> None:
            nonlocal done, last, last_line
            now = time.perf_counter()
            if count:
                pace.add(now - last, count)
            done, last = done + count, now
            left = _words(pace.left(total - done))
            if bar is not None and task is not None:
                bar.update(task, completed=done, left=left)
            elif now - last_line >= _LINE_SECONDS and done < total:
                last_line = now
                self.say(f"  {done:,} of {total:,} {unit}{left and f'  {left}'}")

        with bar or nullcontext():
            yield advance

    def bar(self, what: str, unit: str) -> RichProgress:
        """Return a bar that is removed at the end; its tasks need a field `left`, the remaining time in words."""
        left = TextColumn("{task.fields[left]}")
        columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TextColumn(f"{unit} "), left)
        return RichProgress(*columns, console=self.console, transient=True)

    def callbacks(self, train: TrainSection, logs: Path, metric: str) -> list[TrainerCallback]:
        """Return the trainer's callbacks: the bar, and TensorBoard if the recipe reports to it.

        Args:
            train: Section of the recipe.
            logs: Folder for TensorBoard's files.
            metric: Name of the metric that is printed beside the loss.
        """
        callbacks: list[TrainerCallback] = [_Bar(self, metric)]
        if "tensorboard" in train.report_to and PartialState().is_main_process:  # an unused writer leaves a file
            from torch.utils.tensorboard import SummaryWriter
            from transformers.integrations.integration_utils import TensorBoardCallback

            callbacks.append(TensorBoardCallback(SummaryWriter(log_dir=str(logs))))  # type: ignore[no-untyped-call]
        return callbacks


def check_trackers(train: TrainSection) -> None:
    """Raise RecipeError for a tracker in `train.report_to` that transformers does not support or is not installed."""
    from transformers.integrations.integration_utils import get_available_reporting_integrations

    integrations: list[str] = get_available_reporting_integrations()  # type: ignore[no-untyped-call]
    available = sorted({*integrations, "tensorboard"})
    for name in train.report_to:
        if name not in available:
            raise RecipeError(
                f"tracker {name!r} is not available (installed: {', '.join(available)})",
                f"pip install {name}, or remove it",
                key="train.report_to",
            )


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
            self.bar.update(self.task, completed=state.global_step, left=_words(self._left(state)))

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._lap()  # saving does not count as part of the next step

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        metrics: dict[str, float] = kwargs["metrics"]
        self.evaluations.add(self._lap())
        self.every = state.global_step - self.evaluated or self.every
        self.evaluated = state.global_step
        left = _words(self._left(state))
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


def _words(left: Span | None) -> str:
    """Return the remaining time in words; empty if it is unknown or less than a second."""
    return f"{left.words} left" if left is not None and left.high >= 1 else ""
