"""Output of `kit study` and `kit advise`: estimates, means, and the choice by number of labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict
from statistics import fmean
from typing import TYPE_CHECKING, Any

from kit.cli.tables import baseline_scores, print_table, warn
from kit.measurement.units import shown_value
from kit.runtime.console import echo, echo_json
from kit.runtime.quantities import megabytes, percent

if TYPE_CHECKING:
    from kit.analysis.advice import Advice
    from kit.analysis.advice_options import Option
    from kit.measurement.speed import Speed
    from kit.records.record import Record
    from kit.studies.grid import Cell, Series
    from kit.studies.plan import Estimate, Plan
    from kit.studies.work import Study
    from kit.workflows.study import SpeedChange


def print_estimates(estimate: Estimate, finished: Set[Cell], workers: int) -> None:
    """Print the unfinished cells of a study with their time, one row per series and budget."""
    from kit.measurement.durations import total

    seconds = estimate.seconds
    rows: dict[tuple[Any, int], list[Cell]] = {}
    for cell in sorted(seconds.keys() - finished, key=lambda cell: (cell.variant, cell.checkpoint or "", cell.budget)):
        rows.setdefault((cell.series, cell.budget), []).append(cell)
    print_table(
        ["variant", "checkpoint", "parameters", "budget", "cells", "a cell", "together"],
        [
            (
                series[0],
                series[1] or "-",
                f"{estimate.parameters[series] / 1e6:.1f} M" if series in estimate.parameters else "-",
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


def print_without_weights(plan: Plan) -> None:
    """Print the checkpoints whose weights are not on this machine."""
    names = [name for name in plan.model_bytes if name is not None and not plan.checkpoint(name).has_weights]
    if names:
        some = ", ".join(names[:2]) + (", ..." if len(names) > 2 else "")
        checkpoints = f"{len(names)} checkpoint{'s' if len(names) > 1 else ''}"
        echo(f"{checkpoints} without weights on this machine ({some}): timed with random weights.")


def print_study(study: Study, as_json: bool) -> None:
    """Print the outcome of a study: means by series and budget, baselines, then the failed cells."""
    # One Record at a time: all Records of a large grid do not fit in memory.
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
                "skipped": [{**asdict(outcome.cell), "error": outcome.error} for outcome in study.skipped],
                "undone": [
                    {**asdict(outcome.cell), "steps": outcome.undone} for outcome in study.finished if outcome.undone
                ],
                "open": [asdict(cell) for cell in study.open],
                "speeds": _speeds(study),
                **({} if first is None else baseline_scores(first)),
            }
        )
        return
    for name, by_cell in values.items():
        _print_means(name, by_cell, first)
    for note in first.class_notes(values) if first is not None else ():
        echo(note)
    _print_without_result(study)
    if study.open:
        reason = "the time limit (study.max_minutes) was reached"
        echo(f"{len(study.open)} cells are open: {reason}; the same command continues")
    echo(f"next: kit report {study.folder}")


def _speeds(study: Study) -> list[dict[str, Any]]:
    """Return the measured speeds with their cells, as plain data."""
    speeds = study.ledger.speeds()
    timed = [outcome for outcome in study.finished if outcome.record in speeds]
    return [{**asdict(outcome.cell), "record": outcome.record, **asdict(speeds[outcome.record])} for outcome in timed]


def print_speed_changes(changes: Sequence[SpeedChange], as_json: bool) -> None:
    """Print the speed of each series before and now, and the series that changed."""
    if as_json:
        echo_json({"speeds": [asdict(change) for change in changes]})
        return
    columns = ["", "before, ms per text", "now, ms per text", "texts/s (at once)", "peak memory"]
    print_table(
        columns,
        [(one.series, _latency(one.before), _latency(one.now), _rate(one.now), _memory(one.now)) for one in changes],
    )
    known = [(one.series, one.before, one.now) for one in changes if one.before is not None and one.now is not None]
    if not known:
        echo("no model was timed before")
        return
    changed = [
        f"{series} ({before.p50_ms:.3g} to {now.p50_ms:.3g} ms)"
        for series, before, now in known
        if not before.agrees(now)
    ]
    echo(f"latency changed beyond the intervals: {', '.join(changed) or 'none'}; the Records are unchanged")


def _latency(speed: Speed | None) -> str:
    return "-" if speed is None else f"{speed.p50_ms:.3g} [{speed.interval[0]:.3g}, {speed.interval[1]:.3g}]"


def _rate(speed: Speed | None) -> str:
    if speed is None or speed.texts_per_second is None:
        return "-"
    return f"{speed.texts_per_second:,.0f} ({speed.batch})"


def _memory(speed: Speed | None) -> str:
    return "-" if speed is None or speed.memory_bytes is None else megabytes(speed.memory_bytes)


def _print_without_result(study: Study) -> None:
    """Print the cells without a Record, and those whose compression was undone."""
    for outcome in (*study.failed, *study.skipped):
        echo(f"{outcome.state}: {outcome.cell.name}: {outcome.error}", err=True)
    for outcome in study.finished:
        for step in outcome.undone:
            echo(f"undone by the gate: {outcome.cell.name}: {step}")


def _print_means(metric: str, values: Mapping[Cell, float], first: Record | None) -> None:
    """Print the mean of one metric per series and budget, with the baselines below."""
    points: dict[Series, dict[int, list[float]]] = {}
    for cell, value in values.items():
        points.setdefault(cell.series, {}).setdefault(cell.budget, []).append(value)
    budgets = sorted({cell.budget for cell in values})
    rows = []
    for series, by_budget in points.items():
        means = [
            f"{shown_value(metric, fmean(by_budget[b]))} ({len(by_budget[b])})" if b in by_budget else "-"
            for b in budgets
        ]
        rows.append((" ".join(part for part in series if part), *means))
    baselines = first.baselines.by_name if first else {}
    for name, baseline in baselines.items():
        if metric in baseline:
            rows.append((name, *(shown_value(metric, baseline[metric]) for _ in budgets)))
    print_table([f"{metric}, mean (seeds)", *map(str, budgets)], rows)


def print_by_labels(advice: Advice) -> None:
    """Print the best option within the limits for each number of labels."""
    if len(advice.by_labels) < 2:
        return
    undone = {(series, labels) for series, labels, _ in advice.undone}
    names = ["if you can buy", "choose", "cost", advice.metric, "reaches the target", "per text", "size"]
    rows = [
        _row(labels, option, advice.metric, is_undone=(option.series, option.labels) in undone)
        for labels, option in advice.by_labels
    ]
    shown = [index for index in range(len(names)) if any(row[index] for row in rows)]
    print_table([names[index] for index in shown], [[row[index] or "-" for index in shown] for row in rows])


def _row(labels: int, option: Option, metric: str, is_undone: bool) -> list[str]:
    """Return a row of the table by labels; unknown values are empty."""
    from kit.measurement.intervals import shown

    predicted, about = ("", "") if option.measured else ("predicted ", "about ")
    return [
        f"{labels:,} labels",
        f"{option.series} with {option.labels:,} labels{' (undone)' if is_undone else ''}",
        "" if option.cost is None else f"{option.cost:,.2f}",
        f"{predicted}{shown(metric, option.metric)}",
        "" if option.probability is None else f"{percent(option.probability)} of the resamples",
        "" if option.latency_ms is None else f"{option.latency_ms:.3g} ms",
        "" if option.model_bytes is None else f"{about}{megabytes(option.model_bytes)}",
    ]
