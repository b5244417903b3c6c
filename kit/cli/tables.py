"""How the command line speaks: tables, JSON lines, and errors that people can act on.

Knows the terminal and exit codes. Knows nothing of what the commands do.
"""

from __future__ import annotations

import errno
import os
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from kit.errors import KitError, OutputError, StreamError, SystemRefusalError, TrainingError
from kit.measurement.units import shown_value
from kit.runtime.console import drop_output, echo, echo_drawn, echo_json, finish_output
from kit.runtime.distributed import first_to_tell, lost_process
from kit.runtime.printable import printable
from kit.runtime.quantities import megabytes
from kit.runtime.signals import Stopped, stoppable

if TYPE_CHECKING:
    from kit.measurement.durations import Span
    from kit.measurement.intervals import Estimate
    from kit.records.record import Record
    from kit.studies.grid import Cell, Series
    from kit.workflows.bench import Subject
    from kit.workflows.compress import Compression
    from kit.workflows.distill import Distillation
    from kit.workflows.study import Study


def exit_code_of(command: Callable[[], object]) -> int:
    """Run a command and print what went wrong.

    Returns 0 ok, 1 failure while running, 2 bad input, 130 Ctrl-C, 143 SIGTERM.
    """
    try:
        with stoppable():
            _require_current_folder()
            return _ended(command)
    except Stopped as stop:
        _print_error(str(stop))
        return stop.exit_code
    except BrokenPipeError:  # `kit predict ... | head` is not a failure
        drop_output()
        return 0
    except Exception as error:
        known = error if isinstance(error, KitError) else _refused_output(error) or _foreseen(error)
        if isinstance(known, StreamError):
            drop_output()
        _print_error(str(known) if known is not None else f"{_name(error)}\n  not foreseen; `--debug` shows where")
        return 1 if known is None else known.exit_code


def _ended(command: Callable[[], object]) -> int:
    """Return a command's exit code. Raises StreamError or BrokenPipeError if its output cannot be written in full."""
    code = 0
    try:
        command()
    except SystemExit as end:  # typer ends commands so; with 1 if the reader of the output left
        if isinstance(end.__context__, BrokenPipeError):
            raise end.__context__ from None
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    finish_output()
    return code


def _require_current_folder() -> None:
    try:
        Path.cwd()
    except OSError as error:
        raise OutputError("the current folder was deleted", "change to another folder") from error


def _refused_output(error: Exception) -> StreamError | None:
    """Return the error of a standard output that takes no more, if it is what made a library fail."""
    if not isinstance(error, OSError) or error.filename is not None:
        return None
    try:
        finish_output()  # what was refused is still held back
    except StreamError as refusal:
        return refusal
    except BrokenPipeError:
        return None
    return None


def _foreseen(error: Exception) -> KitError | None:
    """Return what an error of Python or a library means where that is known: refusals of the system, lost processes."""
    lost = lost_process(error)
    if lost is not None:
        return lost
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
        return TrainingError("memory ran out", "end other programs, or use a smaller model or fewer texts at once")
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename is not None else ""
        refusal = SystemRefusalError(f"{where}{error.strerror}")
        if error.errno == errno.ENAMETOOLONG:
            refusal.exit_code, refusal.hint = 2, "give a shorter name"
        return refusal
    return None


def _name(error: Exception) -> str:
    line = str(error).strip().splitlines()
    return f"{type(error).__name__}: {line[0] if line else ''}"


def _print_error(message: str) -> None:
    if os.environ.get("KIT_DEBUG"):
        echo(traceback.format_exc(), err=True)
    if first_to_tell():
        echo(f"error: {message}", err=True)


@contextmanager
def located(recipe: Path | None, overrides: Sequence[str] | None) -> Iterator[None]:
    """Add the file and line (or the --set) of its key to an error.

    Args:
        recipe: File of the recipe; None if the recipe comes from no file.
        overrides: Values of `--set`.
    """
    try:
        yield
    except KitError as error:
        if error.key and recipe is not None:
            from kit.recipe.load import locate

            error.place = locate(recipe, overrides or (), error.key)
        raise


@contextmanager
def options_for_keys(options: Mapping[str, str]) -> Iterator[None]:
    """Name options of a command in place of the recipe keys of an error, for users who have no recipe yet."""
    try:
        yield
    except KitError as error:
        from kit.recipe.setting import with_options

        error.key = options.get(error.key, error.key)
        error.problem, error.hint = (with_options(text, options) for text in (error.problem, error.hint))
        raise


def print_predictions(predictions: Iterable[dict[str, Any]]) -> None:
    """Print one JSON object per line."""
    for prediction in predictions:
        echo_json(prediction)


def warn(message: str) -> None:
    """A line on standard error, beside answers that stay as they are."""
    echo(f"warning: {message}", err=True)


def print_record(record: Record, as_json: bool) -> None:
    """The Record as a table, or as one line of JSON."""
    if as_json:
        echo_json(summary(record))
    else:
        print_table(["", ""], record.rows(), header=False)


def print_distillation(done: Distillation, as_json: bool) -> None:
    """The student as a table, then the verdict; or all of it as one line of JSON."""
    if as_json:
        records: dict[str, Any] = {
            kind: [summary(record) for record in getattr(done, kind)] for kind in ("students", "controls")
        }
        echo_json({**records, "verdict": {**asdict(done.verdict), "lines": done.verdict.lines}})
        return
    print_table(["", ""], done.record.rows(), header=False)
    for line in done.verdict.lines:
        echo(line)


def print_compression(done: Compression, as_json: bool) -> None:
    """The chain, a line a step, and where it ended; or all of it as one line of JSON."""
    if as_json:
        steps = [{**summary(link.record), **link.content} for link in done.links]
        echo_json({"source": summary(done.source), "steps": steps, "record": summary(done.record)})
        return
    for line in done.lines:
        echo(line)
    echo(f"ends with {done.record.folder}")


def print_bench(subjects: Sequence[Subject]) -> None:
    """A row for every model that was measured, then the words that a table has no room for."""
    written = any(subject.tokens_per_second is not None for subject in subjects)
    rows = [
        (
            subject.name,
            subject.backend,
            megabytes(subject.size_bytes),
            f"{subject.p50_ms:.2f} [{subject.interval_ms[0]:.2f}, {subject.interval_ms[1]:.2f}]",
            f"{subject.p95_ms:.2f}",
            f"{subject.p99_ms:.2f}",
            f"{subject.texts_per_second:,.0f} ({subject.batch})",
            *(["-" if subject.tokens_per_second is None else f"{subject.tokens_per_second:,.0f}"] if written else []),
            megabytes(subject.memory_bytes),
            f"{subject.load_seconds:.2f}",
            "-" if subject.joules is None else f"{subject.joules:,.0f}",
            *([_times(each) for each in subject.speedups] if subject.speedups else ("1", "1")),
        )
        for subject in subjects
    ]
    many = ["sentences/s (at once)", "tokens/s"] if written else ["texts/s (at once)"]
    columns = ["model", "backend", "files", "p50 ms", "p95", "p99", *many, "memory", "load s", "J/1,000"]
    print_table([*columns, "faster, one text", "faster, many"], rows)
    _print_lengths(subjects)
    threads = subjects[0].threads
    echo(f"{threads} thread{'s' if threads > 1 else ''}; memory is the whole process, with its libraries")
    if all(subject.joules is None for subject in subjects):
        echo("no energy: pip install 'kit[energy]' for codecarbon's estimate")
    for warning in sorted({subject.warning for subject in subjects} - {""}):
        warn(warning)
    for subject in subjects:
        if subject.measured_on:
            echo(f"{subject.name}: times of {subject.measured_on}, which does the same arithmetic")
        for kind, ratio in zip(("for one text", "for many"), subject.speedups or (), strict=False):
            if ratio.high < 1:
                echo(f"SLOWER here than {subjects[0].name} {kind}: {subject.name} ({subject.backend})")


def _print_lengths(subjects: Sequence[Subject]) -> None:
    """Print the median time of short, medium and long texts."""
    lengths = " / ".join(f"{third.characters:,}" for third in subjects[0].by_length)
    echo(f"p50 ms of short, medium and long texts ({lengths} characters), from a sample of all lengths:")
    for subject in subjects:
        times = " / ".join(f"{third.p50_ms:.2f}" for third in subject.by_length)
        echo(f"  {subject.name} ({subject.backend}): {times}")


def _times(ratio: Estimate) -> str:
    return f"{ratio.value:.2f}x [{ratio.low:.2f}, {ratio.high:.2f}]"


def summary(record: Record) -> dict[str, object]:
    """What scripts want to know of a Record."""
    content = record.content
    return {
        "id": record.id,
        "folder": str(record.folder),
        "method": content["method"],
        "checkpoint": (content["checkpoint"] or {}).get("name"),
        "budget": content["data"]["sizes"]["budget"],
        "main_metric": record.main_metric,
        "metrics": content["metrics"],
        **_baselines(record),
        "seconds": content["seconds"]["total"],
    }


def _baselines(record: Record) -> dict[str, dict[str, dict[str, float]]]:
    """Return the scores of a random guess and of the most frequent label, for JSON."""
    baselines = record.baselines
    if not baselines.chance:
        return {}
    return {"baselines": {"chance": dict(baselines.chance), "majority": dict(baselines.majority)}}


def print_estimates(seconds: Mapping[Cell, Span], finished: Set[Cell], workers: int) -> None:
    """Print the cells of a study that are still to be run, a row for each series and budget, with their time."""
    from kit.measurement.durations import total

    rows: dict[tuple[Any, int], list[Cell]] = {}
    for cell in sorted(seconds.keys() - finished, key=lambda cell: (cell.method, cell.checkpoint or "", cell.budget)):
        rows.setdefault((cell.series, cell.budget), []).append(cell)
    print_table(
        ["method", "checkpoint", "budget", "cells", "a cell", "together"],
        [
            (
                series[0],
                series[1] or "-",
                str(budget),
                str(len(cells)),
                seconds[cells[0]].words,
                total(seconds[cell] for cell in cells).words,
            )
            for (series, budget), cells in rows.items()
        ],
    )
    together = total(seconds[cell] for cells in rows.values() for cell in cells).scaled(1 / workers)
    echo(f"{len(seconds)} cells, {len(finished)} of them finished; {together.words} for the rest. Nothing was run.")
    if together.warning:
        warn(f"times: {together.warning}")


def print_study(study: Study, as_json: bool) -> None:
    """Print how the cells of a study ended: means by series and budget, baselines, then what failed."""
    # One Record at a time: those of a large grid do not fit in memory together.
    finished = ((outcome.cell, study.ledger.record(outcome)) for outcome in study.finished)
    values: dict[str, dict[Cell, float]] = {}
    first: Record | None = None
    for cell, record in finished:
        if record is not None:
            first = first or record
            for name in first.shown_metrics:
                values.setdefault(name, {})[cell] = record.metrics[name].value
    main = study.ledger.recipe.main_metric
    if as_json:
        cells = [
            {**asdict(cell), "value": value, **{name: values[name][cell] for name in values if name != main}}
            for cell, value in values.get(main, {}).items()
        ]
        echo_json(
            {
                "folder": str(study.folder),
                "cells": cells,
                "failed": [{**asdict(outcome.cell), "error": outcome.error} for outcome in study.failed],
                "open": [asdict(cell) for cell in study.open],
                **({} if first is None else _baselines(first)),
            }
        )
        return
    for name, by_cell in values.items():
        _print_means(name, by_cell, first)
    for note in first.class_notes(values) if first is not None else ():
        echo(note)
    for outcome in study.failed:
        cell = outcome.cell
        echo(f"failed: {cell.name}: {outcome.error}", err=True)
    if study.open:
        echo(f"{len(study.open)} cells are open: time was up (study.max_minutes); the same command continues")
    echo(f"next: kit report {study.folder}")


def _print_means(metric: str, values: Mapping[Cell, float], first: Record | None) -> None:
    """Print the mean of one metric for each series and budget, with the baselines below."""
    points: dict[Series, dict[int, list[float]]] = {}
    for cell, value in values.items():
        points.setdefault(cell.series, {}).setdefault(cell.budget, []).append(value)
    budgets = sorted({cell.budget for cell in values})
    rows = []
    for series, found in points.items():
        means = [f"{shown_value(metric, fmean(found[b]))} ({len(found[b])})" if b in found else "-" for b in budgets]
        rows.append((" ".join(part for part in series if part), *means))
    baselines = {"chance": first.baselines.chance, "majority": first.baselines.majority} if first else {}
    for name, baseline in baselines.items():
        if metric in baseline:
            rows.append((name, *(shown_value(metric, baseline[metric]) for _ in budgets)))
    print_table([f"{metric}, mean (seeds)", *map(str, budgets)], rows)


def print_table(columns: list[str], rows: Sequence[Sequence[str]], header: bool = True) -> None:
    """Print a plain table, as wide as the terminal; 200 columns wide where there is none."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD if header else box.SIMPLE, show_header=header, pad_edge=False)
    for title in columns:
        table.add_column(Text(printable(title)))
    for row in rows:
        table.add_row(*[Text(printable(cell)) for cell in row])
    echo_drawn(table)
