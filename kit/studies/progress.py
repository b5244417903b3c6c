"""Progress of a running study as a table or lines: cells done, running and failed, results and the time left."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from statistics import mean
from typing import Self

from rich import box
from rich.console import RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from kit.measurement.durations import Span
from kit.measurement.intervals import Estimate, shown
from kit.measurement.units import shown_value
from kit.runtime.console import console, say
from kit.runtime.quantities import duration
from kit.studies.cell_times import CellTimes, Kind
from kit.studies.grid import Cell, Series


class Board:
    """A table on a terminal; elsewhere one line per ended cell.

    Args:
        efforts: Arithmetic of every cell in any unit, to estimate the time of kinds of which no cell has ended.
        metric: Name of the main metric.
        quiet: Print nothing.
    """

    def __init__(self, efforts: Mapping[Cell, float], metric: str, quiet: bool) -> None:
        self.efforts, self.metric = efforts, metric
        self.at_once = 1  # largest number of cells that ran at the same time
        self.console = console(quiet=quiet)
        self.values: dict[Cell, float] = {}
        self.failed: set[Cell] = set()
        self.running: dict[Cell, float] = {}
        self._times = CellTimes(efforts)
        self._ended_here = 0  # cells that were started here and have ended
        self._cold: set[Cell] = set()  # cells that are the first of their process
        self._points: dict[Kind, list[Cell]] = {}
        for cell in efforts:
            self._points.setdefault((cell.series, cell.budget), []).append(cell)
        # Counted down as cells end: counting all cells each time would take longer than the cells of a large grid.
        self._open = {kind: len(cells) for kind, cells in self._points.items()}
        live = not quiet and self.console.is_terminal
        self._live = Live(get_renderable=self._render, console=self.console, refresh_per_second=2) if live else None

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def say(self, line: str) -> None:
        """Print a line, above the table if there is one."""
        say(self.console, line)

    def expect(self, cells: Iterable[Cell]) -> None:
        """Estimate the time left for these open cells only."""
        counts = Counter((cell.series, cell.budget) for cell in cells)
        self._open = {kind: counts[kind] for kind in self._points}

    def started(self, cell: Cell) -> None:
        """Mark a cell as running."""
        if not self._ended_here:
            self._cold.add(cell)
        self.running[cell] = time.monotonic()
        self.at_once = max(self.at_once, len(self.running))

    def postponed(self, cell: Cell) -> None:
        """Mark a cell as not running: it was left to another process for now."""
        self.running.pop(cell, None)

    def ended(
        self,
        cell: Cell,
        value: Estimate | None,
        error: str = "",
        seconds: float | None = None,
        *,
        found: bool = False,
    ) -> None:
        """Show a cell that has a value or failed.

        Args:
            cell: The cell.
            value: Its main metric; None if it failed.
            error: Message of a failed cell.
            seconds: Duration of the run in its Record, which excludes what the process loaded before.
            found: Its Record was finished before, so that the time since its start is no estimate for other cells.
        """
        began = self.running.pop(cell, None)
        if cell not in self.values and cell not in self.failed:
            self._open[cell.series, cell.budget] -= 1
        if value is None:
            self.failed.add(cell)
        else:
            self.values[cell] = value.value
            if began is not None and not found:
                self._record_time(cell, time.monotonic() - began, seconds)
        self._ended_here += began is not None and not found
        if self._live is None and began is not None and not self.console.quiet:
            result = f"failed: {error}" if value is None else shown(self.metric, value)
            took = "finished before" if found else duration(time.monotonic() - began)
            ended = len(self.values) + len(self.failed)
            self.say(f"[{ended}/{len(self.efforts)}] {title(cell)}: {result} ({took}){self._left()}")

    def headline(self) -> str:
        """Return the counts of cells and the time left, in one line."""
        done, failed = len(self.values), len(self.failed)
        return f"{done} of {len(self.efforts)} cells done, {len(self.running)} running, {failed} failed{self._left()}"

    def time_left(self) -> Span | None:
        """Return the time left, estimated from ended cells of the same kind; None while too little is known."""
        now = time.monotonic()
        left = self._times.left(self._open, {cell: now - began for cell, began in self.running.items()})
        return left and left.scaled(1 / self.at_once)

    def _record_time(self, cell: Cell, elapsed: float, seconds: float | None) -> None:
        cold = cell in self._cold
        self._times.add(cell, min(elapsed, seconds) if cold and seconds else elapsed, cold=cold)

    def _left(self) -> str:
        left = self.time_left()
        return f", {left.words} left" if left is not None and left.high >= 1 else ""

    def _render(self) -> RenderableType:
        budgets = sorted({budget for _, budget in self._points})
        table = Table(
            "", *[str(b) for b in budgets], box=box.SIMPLE_HEAD, title=self.headline(), title_justify="left",
            title_style="bold",
        )  # fmt: skip
        series = list(dict.fromkeys(one for one, _ in self._points))
        several = len({checkpoint for _, checkpoint in series if checkpoint}) > 1
        for one in series:
            name = one[0] + (f" {one[1]}" if several and one[1] else "")
            table.add_row(Text(name), *[self._entry(one, budget) for budget in budgets])
        return table

    def _entry(self, series: Series, budget: int) -> Text:
        cells = self._points.get((series, budget), [])
        values = [self.values[cell] for cell in cells if cell in self.values]
        parts = []
        if values:
            parts.append(shown_value(self.metric, mean(values)))
        parts.append(f"{len(values)}/{len(cells)}")
        if any(cell in self.running for cell in cells):
            parts.append("running")
        failed = sum(cell in self.failed for cell in cells)
        if failed:
            parts.append(f"{failed} failed")
        return Text(" ".join(parts), style="red" if failed else "" if values else "dim")


def title(cell: Cell) -> str:
    """Return the name of a cell for users: method, checkpoint, budget, seed."""
    return " ".join(
        [cell.variant, *([cell.checkpoint] if cell.checkpoint else []), str(cell.budget), f"seed {cell.seed}"]
    )
