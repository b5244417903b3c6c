"""Analyse a study: read its Records and combine them into findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from kit.analysis.comparison import all_pairs
from kit.analysis.curve import CurveRefused, Fit, fit_learning_curve
from kit.analysis.failed_seeds import failed_to_train, fitness
from kit.analysis.findings import CellRow, Findings, Series
from kit.analysis.frontier import frontier
from kit.analysis.headline import headline
from kit.analysis.points import Point, Run, errors, metric_samples, point
from kit.analysis.source_comparison import SourceComparison
from kit.errors import RecordError
from kit.measurement.measure import LabelMeasure, Measure
from kit.recipe.load import recipe_to_yaml
from kit.records.record import Record
from kit.studies.derived_runs import step_words, with_candidates
from kit.studies.grid import Cell, Grid, series_names
from kit.studies.grid import Series as GridSeries
from kit.studies.ledger import Ledger, Outcome
from kit.studies.look_storage import reasons_left_out
from kit.studies.notes import data_rows, study_notes
from kit.studies.source_comparisons import compare_with_sources
from kit.studies.worth import worth_of_distillation, worth_of_pretraining
from kit.tasks import Task, task_for


@dataclass(frozen=True)
class _Finished:
    """A finished cell with its predictions for the test examples."""

    cell: Cell
    record: Record
    outputs: np.ndarray


def analyse(folder: str | Path, *, derived: bool = False) -> Findings:
    """Return the findings from the finished cells of a study.

    Args:
        folder: Folder of the study.
        derived: Look for runs in the same folder that were compressed or distilled from the study's, and measure the
            latency of all models in one sitting if some of them have none.

    Raises:
        RecordError: If the folder is not a study, none of its cells has finished, or its Records were tested on
            different examples.
    """
    ledger = Ledger.load(folder)
    outcomes = {cell: ledger.outcome(cell, key) for cell, key in ledger.cells.items()}
    finished, task, targets = _read(ledger, outcomes)
    measure, record = task.measure, finished[0].record
    runs = _flagged(finished, _runs(finished, targets, measure), targets)
    series = _series(ledger, finished, runs, measure.main, _other_runs(finished, runs, targets, measure))
    comparisons = all_pairs([(one.name, one.points) for one in series])
    worth, distilled = worth_of_pretraining(series), worth_of_distillation(Grid(ledger.recipe), outcomes, series)
    cells = _cell_rows(ledger, outcomes, {one.cell: one for one in finished}, runs)
    against_sources = _against_sources(ledger, finished, outcomes, targets=targets, measure=measure)
    candidates: tuple[Series, ...] = ()
    no_latency = ""
    if derived:
        roots = [one.record for one in finished]
        series, candidates, no_latency = with_candidates(ledger, roots, series, targets, measure)
    return Findings(
        study=ledger.folder.name,
        created=str(ledger.content["created"]),
        task=ledger.recipe.task,
        metric=measure.main,
        labels=record.labels,
        training_examples=int(ledger.content["data"]["training_examples"]),
        test_examples=len(targets),
        answer=headline(series, comparisons, worth, measure.main, against_sources, distilled),
        notes=tuple(study_notes(ledger, cells, series, [one.record for one in finished])),
        series=series,
        comparisons=comparisons,
        worth=worth,
        distilled=distilled,
        against_sources=against_sources,
        frontier=frontier(series),
        cells=cells,
        data=tuple(data_rows(ledger, record.content.data)),
        environment=dict(record.content.provenance),
        recipe=recipe_to_yaml(ledger.recipe),
        command=f"kit study RECIPE --set study.name={ledger.folder.name}   # RECIPE: the recipe below, in a file",
        baselines=record.baselines,
        class_notes=record.class_notes(record.shown_metrics),
        candidates=candidates,
        runs=str(ledger.folder.parent),
        no_latency=no_latency,
        study_command=ledger.command,
        student=ledger.recipe.rules.student,
        speed_damage=ledger.speed_damage,
    )


def measured_points(
    ledger: Ledger, outcomes: Mapping[Cell, Outcome]
) -> tuple[dict[GridSeries, tuple[Point, ...]], Record]:
    """Return the points of the finished cells by series, and the Record of one cell.

    Raises RecordError if no cell has finished.
    """
    finished, task, targets = _read(ledger, outcomes)
    runs = _runs(finished, targets, task.measure)
    cells: dict[GridSeries, list[Cell]] = {}
    for one in finished:
        cells.setdefault(one.cell.series, []).append(one.cell)
    return {series: _points(own, runs, task.measure.main) for series, own in cells.items()}, finished[0].record


def _read(ledger: Ledger, outcomes: Mapping[Cell, Outcome | None]) -> tuple[list[_Finished], Task, np.ndarray]:
    """Return the finished cells, their task, and the targets of the test examples, which all cells share.

    Raises:
        RecordError: If no cell has finished, or the cells were tested on different examples.
    """
    finished: list[_Finished] = []
    truth: tuple[list[int], list[tuple[str, ...]]] | None = None
    for cell, outcome in outcomes.items():
        record = ledger.record(outcome) if outcome is not None and outcome.state == "finished" else None
        if record is None:
            continue
        try:
            predictions = record.predictions()
        except RecordError:
            continue  # reported as an open cell; the next start of the study runs it again
        examples = (predictions.ids.tolist(), predictions.labels)
        if truth is not None and examples != truth:
            raise RecordError(
                f"{record.folder} was tested on other examples than the study's other Records",
                "start the study again: it repeats the cells that do not belong to its data",
            )
        truth = examples
        finished.append(_Finished(cell, record, predictions.outputs))
    if truth is None:
        unfinished = f"{ledger.folder} is unfinished: 0 of {len(outcomes)} cells"
        raise RecordError("; ".join([unfinished, *ledger.damage[:1]]), "start the study again: `kit study RECIPE`")
    task = task_for(ledger.recipe, finished[0].record.labels)
    return finished, task, task.targets(truth[1])


def _runs(finished: Sequence[_Finished], targets: np.ndarray, measure: Measure) -> dict[Cell, Run]:
    """Return the run of each finished cell, scored by the main metric on the same resamples."""
    values, samples = metric_samples([one.outputs for one in finished], targets, measure)
    return {
        one.cell: _run(one, value, sample, measure.right(one.outputs, targets))
        for one, value, sample in zip(finished, values.tolist(), samples, strict=True)
    }


def _run(finished: _Finished, value: float, samples: np.ndarray, correct: np.ndarray) -> Run:
    content = finished.record.content
    diagnosis = content.training.diagnosis if content.training is not None else None
    return Run(
        record=finished.record.id,
        seed=finished.cell.seed,
        value=value,
        correct=correct,
        samples=samples,
        verdict=diagnosis.verdict if diagnosis is not None else "",
        line=diagnosis.line if diagnosis is not None else "",
        seconds=content.seconds.fit,
        model_bytes=content.model_bytes,
    )


def _flagged(finished: Sequence[_Finished], runs: Mapping[Cell, Run], targets: np.ndarray) -> dict[Cell, Run]:
    """Return the runs, with a flag on those that appear to have failed to train."""
    peers: dict[tuple[Any, int], list[tuple[Cell, float]]] = {}
    for cell, run in runs.items():
        peers.setdefault((cell.series, cell.budget), []).append((cell, run.value))
    flagged = {}
    for one in finished:
        others = [value for cell, value in peers[one.cell.series, one.cell.budget] if cell != one.cell]
        training = one.record.content.training
        train_metric = training.evaluations[-1].train_metric if training is not None and training.evaluations else None
        flag = failed_to_train(runs[one.cell].value, one.outputs, targets, train_metric, others)
        flagged[one.cell] = replace(runs[one.cell], flag=flag)
    return flagged


def _other_runs(
    finished: Sequence[_Finished], runs: Mapping[Cell, Run], targets: np.ndarray, measure: Measure
) -> dict[str, dict[Cell, Run]]:
    """Return the runs scored by the other metrics that are shown beside the main one."""
    by_metric: dict[str, dict[Cell, Run]] = {}
    for name in finished[0].record.shown_metrics:
        if name == measure.main or not isinstance(measure, LabelMeasure):
            continue
        values, samples = metric_samples([one.outputs for one in finished], targets, replace(measure, main=name))
        by_metric[name] = {
            one.cell: replace(runs[one.cell], value=value, samples=sample)
            for one, value, sample in zip(finished, values.tolist(), samples, strict=True)
        }
    return by_metric


def _series(
    ledger: Ledger,
    finished: Sequence[_Finished],
    runs: Mapping[Cell, Run],
    metric: str,
    others: Mapping[str, Mapping[Cell, Run]],
) -> tuple[Series, ...]:
    """Return the finished cells, grouped by method and checkpoint.

    Args:
        ledger: The study.
        finished: Its finished cells.
        runs: Runs of the cells, scored by the main metric.
        metric: Name of the main metric.
        others: Runs of the cells as scored by each other metric.
    """
    names, speeds, grid = series_names(list(ledger.cells)), ledger.speeds(), Grid(ledger.recipe)
    series = []
    for key, name in names.items():
        own = [one for one in finished if one.cell.series == key]
        if not own:
            continue
        cells = [one.cell for one in own]
        last, source = max(own, key=lambda one: one.cell.budget).record, grid.source(own[0].cell)
        points = _points(cells, runs, metric)
        fit, refusal = _fit(points)
        series.append(
            Series(
                name=name,
                method=str(grid.chain(key[0])[0].method),
                checkpoint=key[1],
                parameters=last.content.parameters,
                points=points,
                speed=next((speeds[one.record.id] for one in own if one.record.id in speeds), None),
                model_bytes=last.content.model_bytes,
                fit=fit,
                refusal=refusal,
                others={other: _points(cells, scored, other) for other, scored in others.items()},
                source="" if source is None else names[source.series],
                steps=tuple(map(step_words, grid.variants[key[0]].steps or ())),
                variant=key[0],
            )
        )
    return tuple(series)


def _points(cells: Sequence[Cell], runs: Mapping[Cell, Run], metric: str) -> tuple[Point, ...]:
    """Return the points of the cells of one series, smallest budget first."""
    budgets = sorted({cell.budget for cell in cells})
    return tuple(point(budget, [runs[c] for c in cells if c.budget == budget], metric) for budget in budgets)


def _fit(points: Sequence[Point]) -> tuple[Fit | None, str]:
    values, replicates = errors(points)
    try:
        return fit_learning_curve(np.array([measured.budget for measured in points]), values, replicates), ""
    except CurveRefused as refusal:
        return None, str(refusal)


def _against_sources(
    ledger: Ledger,
    finished: Sequence[_Finished],
    outcomes: Mapping[Cell, Outcome | None],
    targets: np.ndarray,
    measure: Measure,
) -> tuple[SourceComparison, ...]:
    return tuple(
        compare_with_sources(
            Grid(ledger.recipe),
            {one.cell: one.outputs for one in finished},
            {cell: outcome.undone for cell, outcome in outcomes.items() if outcome is not None},
            series_names(list(ledger.cells)),
            targets=targets,
            measure=measure,
        )
    )


def _cell_rows(
    ledger: Ledger,
    outcomes: Mapping[Cell, Outcome | None],
    finished: Mapping[Cell, _Finished],
    runs: Mapping[Cell, Run],
) -> tuple[CellRow, ...]:
    names = series_names(list(outcomes))
    left_out = reasons_left_out(ledger.folder, names.values())
    rows = []
    for cell, outcome in outcomes.items():
        name = names[cell.series]
        if cell in finished:
            record, run = finished[cell].record, runs[cell]
            estimate = record.metrics[record.main_metric]
            rows.append(
                CellRow(
                    name, cell.budget, cell.seed, "finished", run.value, estimate.low, estimate.high,
                    record.content.seconds.total, _diagnosis(run), run.flag, record.id,
                    undone=outcome.undone if outcome is not None else (),
                )
            )  # fmt: skip
        elif outcome is not None and outcome.state != "finished":
            rows.append(CellRow(name, cell.budget, cell.seed, outcome.state, error=outcome.error))
        elif outcome is None and name in left_out:
            rows.append(CellRow(name, cell.budget, cell.seed, "left out", error=left_out[name]))
        else:
            rows.append(CellRow(name, cell.budget, cell.seed, "open"))
    return tuple(rows)


def _diagnosis(run: Run) -> str:
    outcome = fitness(run.verdict)
    return run.line if outcome == "unknown" else f"{outcome}: {run.line}"
