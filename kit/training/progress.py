"""Output of a run on the terminal: messages, and bars with the remaining time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as RichProgress

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
            left = time_left(pace.left(total - done))
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


def check_trackers(train: TrainSection) -> None:
    """Raise RecipeError for a tracker in `train.report_to` that transformers does not support or is not installed."""
    if set(train.report_to) <= {"tensorboard"}:  # a dependency of kit
        return
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


def time_left(left: Span | None) -> str:
    """Return the remaining time in words; empty if it is unknown or less than a second."""
    return f"{left.words} left" if left is not None and left.high >= 1 else ""
