"""Analyse a study: read its Records, and say what they mean together.

Reads Records and nothing else; every number is computed in `kit.analysis`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from kit.analysis.answer import answer
from kit.analysis.comparison import all_pairs
from kit.analysis.curve import CurveRefused, Fit, fit_learning_curve
from kit.analysis.findings import CellRow, Findings, Series
from kit.analysis.frontier import frontier
from kit.analysis.health import failed_to_train, fitness
from kit.analysis.points import Point, Run, errors, metric_samples, point
from kit.analysis.transfer import Transfer, effective_data
from kit.derived import with_candidates
from kit.errors import RecordError
from kit.measurement.measure import LabelMeasure, Measure
from kit.recipe.load import recipe_to_yaml
from kit.record import Record
from kit.scheduling.grid import SEEDS as FEW_SEEDS
from kit.scheduling.grid import Cell
from kit.scheduling.ledger import SPEED_FILE, Ledger, Outcome
from kit.tasks import Task, task_for

_PRETRAINED = ("finetune", "lora", "probe")


@dataclass(frozen=True)
class _Finished:
    """A finished cell with its answers to the test examples."""

    cell: Cell
    record: Record
    outputs: np.ndarray


def analyse(folder: str | Path, *, derived: bool = False) -> Findings:
    """Everything that the finished cells of a study say.

    derived: whether to look for runs in the same folder that were compressed or distilled from the study's, and to
    measure the latency of all models in one sitting if some of them have none.
    Raises RecordError if the folder is no study, nothing in it has finished, or its Records were tested on different
    examples.
    """
    ledger = Ledger.load(folder)
    outcomes = {cell: ledger.outcome(cell, key) for cell, key in ledger.cells.items()}
    finished, task, targets = _read(ledger, outcomes)
    recipe, measure = ledger.recipe, task.measure
    metric = measure.main
    values, samples = metric_samples([each.outputs for each in finished], targets, measure)
    runs = {
        each.cell: _run(each, value, sample, measure.right(each.outputs, targets))
        for each, value, sample in zip(finished, values.tolist(), samples, strict=True)
    }
    runs = _flagged(finished, runs, targets)
    others = _other_runs(finished, runs, targets, measure)
    series = _series(ledger, finished, runs, metric, others)
    comparisons = all_pairs([(each.name, each.points) for each in series])
    worth = _worth(series)
    cells = _cell_rows(ledger, outcomes, {each.cell: each for each in finished}, runs)
    first = finished[0].record.content
    candidates: tuple[Series, ...] = ()
    no_latency = ""
    if derived:
        series, candidates, no_latency = with_candidates(
            ledger, [each.record for each in finished], series, targets, measure
        )
    return Findings(
        study=ledger.folder.name,
        created=str(ledger.content["created"]),
        task=recipe.task,
        metric=metric,
        labels=finished[0].record.labels,
        training_examples=int(ledger.content["data"]["training_examples"]),
        test_examples=len(targets),
        answer=answer(series, comparisons, worth, metric),
        notes=tuple(_notes(ledger, cells, series, finished)),
        series=series,
        comparisons=comparisons,
        worth=worth,
        frontier=frontier(series),
        cells=cells,
        data=tuple(_data_rows(ledger, first)),
        environment=dict(first["provenance"]),
        recipe=recipe_to_yaml(recipe),
        command=f"kit study RECIPE --set study.name={ledger.folder.name}   # RECIPE: the recipe below, in a file",
        baselines=finished[0].record.baselines,
        balance=finished[0].record.balance,
        candidates=candidates,
        runs=str(ledger.folder.parent),
        no_latency=no_latency,
    )


def _read(ledger: Ledger, outcomes: Mapping[Cell, Outcome | None]) -> tuple[list[_Finished], Task, np.ndarray]:
    """The finished cells, their task, and the targets of the test examples, which are the same for all of them."""
    finished: list[_Finished] = []
    truth: tuple[list[int], list[tuple[str, ...]]] | None = None
    for cell, outcome in outcomes.items():
        record = ledger.record(outcome) if outcome is not None and outcome.state == "finished" else None
        if record is None:
            continue
        try:
            predictions = record.predictions()
        except RecordError:
            continue  # shown as a cell that is open; the next start of the study makes it again
        mine = (predictions.ids.tolist(), predictions.labels)
        if truth is not None and mine != truth:
            raise RecordError(
                f"{record.folder} was tested on other examples than the study's other Records",
                "start the study again: it repeats what does not belong to its data",
            )
        truth = mine
        finished.append(_Finished(cell, record, predictions.outputs))
    if truth is None:
        raise RecordError(
            f"{ledger.folder} is unfinished: 0 of {len(outcomes)} cells", "start the study again: `kit study RECIPE`"
        )
    task = task_for(ledger.recipe, finished[0].record.labels)
    return finished, task, task.targets(truth[1])


def _run(each: _Finished, value: float, samples: np.ndarray, correct: np.ndarray) -> Run:
    content = each.record.content
    diagnosis = (content["training"] or {}).get("diagnosis") or {}
    return Run(
        record=each.record.id,
        seed=each.cell.seed,
        value=value,
        correct=correct,
        samples=samples,
        verdict=diagnosis.get("verdict", ""),
        line=diagnosis.get("line", ""),
        seconds=content["seconds"]["fit"],
        model_bytes=content["model_bytes"],
    )


def _flagged(finished: Sequence[_Finished], runs: Mapping[Cell, Run], targets: np.ndarray) -> dict[Cell, Run]:
    """The runs, with a flag on those that look as if they failed to train."""
    peers: dict[tuple[Any, int], list[tuple[Cell, float]]] = {}
    for cell, run in runs.items():
        peers.setdefault((cell.series, cell.budget), []).append((cell, run.value))
    found = {}
    for each in finished:
        others = [value for cell, value in peers[each.cell.series, each.cell.budget] if cell != each.cell]
        evaluations = (each.record.content["training"] or {}).get("evaluations")
        flag = failed_to_train(runs[each.cell].value, each.outputs, targets, evaluations, others)
        found[each.cell] = replace(runs[each.cell], flag=flag)
    return found


def _other_runs(
    finished: Sequence[_Finished], runs: Mapping[Cell, Run], targets: np.ndarray, measure: Measure
) -> dict[str, dict[Cell, Run]]:
    """Return the runs as scored by the metrics that are shown beside the main one."""
    found: dict[str, dict[Cell, Run]] = {}
    for name in finished[0].record.shown_metrics:
        if name == measure.main or not isinstance(measure, LabelMeasure):
            continue
        values, samples = metric_samples([each.outputs for each in finished], targets, replace(measure, main=name))
        found[name] = {
            each.cell: replace(runs[each.cell], value=value, samples=sample)
            for each, value, sample in zip(finished, values.tolist(), samples, strict=True)
        }
    return found


def _series(
    ledger: Ledger,
    finished: Sequence[_Finished],
    runs: Mapping[Cell, Run],
    metric: str,
    others: Mapping[str, Mapping[Cell, Run]],
) -> tuple[Series, ...]:
    names, speeds = series_names(list(ledger.cells)), ledger.speeds()
    series = []
    for key, name in names.items():
        mine = [each for each in finished if each.cell.series == key]
        if not mine:
            continue
        budgets = sorted({each.cell.budget for each in mine})
        points = tuple(point(b, [runs[e.cell] for e in mine if e.cell.budget == b], metric) for b in budgets)
        beside = {
            name: tuple(point(b, [scored[e.cell] for e in mine if e.cell.budget == b], name) for b in budgets)
            for name, scored in others.items()
        }
        last = max(mine, key=lambda each: each.cell.budget).record
        speed = next((speeds[each.record.id] for each in mine if each.record.id in speeds), None)
        fit, refusal = _fit(points)
        series.append(
            Series(
                name=name,
                method=key[0],
                checkpoint=key[1],
                parameters=int(last.content["parameters"]),
                points=points,
                speed=speed,
                model_bytes=last.content["model_bytes"],
                fit=fit,
                refusal=refusal,
                others=beside,
            )
        )
    return tuple(series)


def series_names(cells: Sequence[Cell]) -> dict[tuple[str, str | None], str]:
    """Names for people: the method, and the checkpoint where the study has several; short where that is unique."""
    checkpoints = list(dict.fromkeys(cell.checkpoint for cell in cells if cell.checkpoint))
    short = {name: name.removesuffix(":model").rstrip("/").split("/")[-1] for name in checkpoints}
    if len(set(short.values())) < len(short):
        short = {name: name for name in checkpoints}
    names = {}
    for method, checkpoint in dict.fromkeys(cell.series for cell in cells):
        shown = len(checkpoints) > 1 and checkpoint is not None
        names[method, checkpoint] = f"{method} {short[checkpoint]}" if shown and checkpoint else method
    return names


def _fit(points: Sequence[Point]) -> tuple[Fit | None, str]:
    values, replicates = errors(points)
    try:
        return fit_learning_curve(np.array([each.budget for each in points]), values, replicates), ""
    except CurveRefused as refusal:
        return None, str(refusal)


def _worth(series: Sequence[Series]) -> tuple[Transfer, ...]:
    found: list[Transfer] = []
    for each in series:
        control = next((s for s in series if s.method == "scratch" and s.checkpoint in (each.checkpoint, None)), None)
        if each.method in _PRETRAINED and control is not None:
            found += effective_data(each.name, each.points, control.points, control.fit)
    return tuple(found)


def _cell_rows(
    ledger: Ledger,
    outcomes: Mapping[Cell, Outcome | None],
    finished: Mapping[Cell, _Finished],
    runs: Mapping[Cell, Run],
) -> tuple[CellRow, ...]:
    names = series_names(list(outcomes))
    rows = []
    for cell, outcome in outcomes.items():
        name = names[cell.series]
        if cell in finished:
            record, run = finished[cell].record, runs[cell]
            estimate = record.metrics[record.main_metric]
            rows.append(
                CellRow(
                    name, cell.budget, cell.seed, "finished", run.value, estimate.low, estimate.high,
                    record.content["seconds"]["total"], _diagnosis(run), run.flag, record.id,
                )
            )  # fmt: skip
        elif outcome is not None and outcome.state == "failed":
            rows.append(CellRow(name, cell.budget, cell.seed, "failed", error=outcome.error))
        else:
            rows.append(CellRow(name, cell.budget, cell.seed, "open"))
    return tuple(rows)


def _diagnosis(run: Run) -> str:
    found = fitness(run.verdict)
    return run.line if found == "unknown" else f"{found}: {run.line}"


def _notes(
    ledger: Ledger, cells: Sequence[CellRow], series: Sequence[Series], finished: Sequence[_Finished]
) -> list[str]:
    """What a reader must know to trust the numbers."""
    notes = []
    for state, said in (
        ("failed", "failed, and are missing from the means"),
        ("open", "have not been run, or their Record is gone or damaged"),
    ):
        count = sum(row.state == state for row in cells)
        if count:
            notes.append(f"{count} of {len(cells)} cells {said}.")
    fewest = min(len(point.runs) for each in series for point in each.points)
    if fewest < FEW_SEEDS:
        few = "one seed: intervals there cover the test sample alone" if fewest == 1 else f"{fewest} seeds"
        notes.append(f"Some means are of {few}; {FEW_SEEDS} or more seeds make intervals narrower and safer.")
    flagged = [f"{row.series} {row.budget} seed {row.seed}" for row in cells if row.flag]
    if flagged:
        shown = ", ".join(flagged[:6]) + (f" and {len(flagged) - 6} more" if len(flagged) > 6 else "")
        notes.append(f"Flagged as failed to train, but part of the means: {shown}.")
    notes += _baseline_notes(series, finished[0].record)
    notes += _speed_notes(ledger, series)
    covered = "classes are unbalanced" if finished[0].record.balance else None  # by the baselines' notes already
    warnings = ledger.content["data"]["warnings"]
    notes += [f"Data: {warning}." for warning in warnings if covered is None or not warning.startswith(covered)]
    for split, what in (("test", "test texts"), ("references", "references to learn from")):
        cut = max((each.record.content["data"]["truncation"].get(split, 0.0) for each in finished), default=0.0)
        if cut > 0.01:
            notes.append(f"{cut:.1%} of the {what} are longer than data.max_length, and are cut.")
    return notes


def _speed_notes(ledger: Ledger, series: Sequence[Series]) -> list[str]:
    """Return what a reader must know to trust the latencies."""
    notes = []
    timed = [(each, each.speed) for each in series if each.speed is not None]
    if not timed and (ledger.folder / SPEED_FILE).exists():
        why = f"{SPEED_FILE} is damaged or of an earlier version of kit"
        notes.append(f"Latency is not known: {why}. Start the study again: it measures all models.")
    for each, _ in timed:
        records = {run.record for point in each.points for run in point.runs}
        alike = [other.name for other, speed in timed if speed.measured_on in records]
        if alike:
            notes.append(f"Latency of {', '.join(alike)}: that of {each.name}, which does the same arithmetic.")
    warnings = sorted({speed.warning for _, speed in timed if speed.warning})
    return [*notes, *(f"Latencies are doubtful: {warning}." for warning in warnings)]


def _baseline_notes(series: Sequence[Series], record: Record) -> list[str]:
    """Return what a model has to beat, and which series do not beat it with their largest budget."""
    metric, baselines = record.main_metric, record.baselines
    notes = []
    if words := baselines.words(metric):
        always = " and ".join(f"'{label}'" for label in baselines.labels) or "no label"
        notes.append(f"To be beaten, {metric}: {words} (always predicting {always}).")
    weak = [each.name for each in series if baselines.not_beaten(metric, each.points[-1].estimate)]
    if weak:
        notes.append(f"Not better than the majority even with their largest budget: {', '.join(weak)}.")
    return notes + ([f"{record.balance[0].upper()}{record.balance[1:]}."] if record.balance else [])


def _data_rows(ledger: Ledger, first: dict[str, Any]) -> list[tuple[str, str]]:
    data, audit = ledger.content["data"], first["data"]["audit"]
    rows = [
        ("data", data["description"]),
        ("training examples to buy labels from", f"{data['training_examples']:,}"),
        ("test examples", f"{data['test_examples']:,}"),
        ("dropped from train: also in test", f"{audit['leaked_exact'] + audit['leaked_normalised']:,}"),
        ("dropped from train: repetitions", f"{audit['duplicates_train'] + audit['conflicting_train']:,}"),
        ("fingerprint of train (sha256)", data["fingerprints"]["train"]),
        ("fingerprint of test (sha256)", data["fingerprints"]["test"]),
    ]
    if first["data"]["revision"]:
        rows.append(("revision", str(first["data"]["revision"])))
    return rows
