"""Runs that were compressed or distilled from a study's runs: further candidates for advice."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from kit.analysis.findings import Series
from kit.analysis.points import Run, metric_samples, point
from kit.errors import KitError, RecordError
from kit.measurement.measure import Measure
from kit.recipe.sections.compression import Step
from kit.records.predictions import Predictions
from kit.records.record import Record, list_records
from kit.studies.ledger import Ledger


@dataclass(frozen=True)
class Derived:
    """A compressed run or distilled student, with the study's run that it was derived from.

    Attributes:
        record: Its Record.
        root: Id of the study's run.
        steps: Compressions and distillations in order, in words.
        outputs: Outputs on the test examples.
    """

    record: Record
    root: str
    steps: tuple[str, ...]
    outputs: np.ndarray

    @property
    def budget(self) -> int:
        """Number of labelled examples that the run used."""
        return self.record.content.data.sizes.budget

    @property
    def seed(self) -> int:
        """Seed of the training."""
        return self.record.recipe.train.seed


def with_candidates(
    ledger: Ledger, roots: Sequence[Record], series: tuple[Series, ...], targets: np.ndarray, measure: Measure
) -> tuple[tuple[Series, ...], tuple[Series, ...], str]:
    """Return the series and the candidates with latencies of one sitting, and the reason for missing latencies.

    Args:
        ledger: The study.
        roots: Records of its finished cells.
        series: Series of the study.
        targets: Targets of the test examples.
        measure: Metrics of the task.
    """
    runs = ledger.folder.parent
    derived = derived_runs(runs, roots, roots[0].predictions())
    by_record = {run.record: one for one in series for p in one.points for run in p.runs}
    candidates = candidate_series(derived, by_record, targets, measure)
    if not candidates:
        return series, (), ""
    models = {one.name: measured_record(one, runs) for one in (*series, *candidates)}
    reason = measure_together(ledger, [record for record in models.values() if record is not None])
    speeds = ledger.speeds()

    def timed(one: Series) -> Series:
        record = models[one.name]
        return one if record is None or record.id not in speeds else replace(one, speed=speeds[record.id])

    return tuple(map(timed, series)), tuple(map(timed, candidates)), reason


def derived_runs(runs: Path, roots: Sequence[Record], truth: Predictions) -> list[Derived]:
    """Return the whole Records in a folder that were derived from the study's and tested on the same examples.

    Args:
        runs: Folder of all runs.
        roots: Records of the study's cells.
        truth: Predictions of one of them, for its test examples.
    """
    root_ids = {record.id for record in roots}
    tested = {record.content.data.fingerprints.get("test") for record in roots}
    others = {record.id: record for record in list_records(runs)[0] if record.id not in root_ids}
    derived, steps = [], _between(roots, others)
    for record in others.values():
        if record.id in steps:
            continue
        try:
            origin = _origin(record, others, root_ids)
            if origin is None or record.content.data.fingerprints.get("test") not in tested:
                continue
            predictions = Record.load(record.folder).predictions()
            _ = record.recipe
        except RecordError:
            continue  # damaged: not a candidate
        if predictions.ids.tolist() == truth.ids.tolist() and predictions.labels == truth.labels:
            derived.append(Derived(record, *origin, predictions.outputs))
    return derived


def _between(roots: Sequence[Record], others: Mapping[str, Record]) -> set[str]:
    """Return the Records of the steps of the study's own compression chains, before their last step."""
    between: set[str] = set()
    for root in roots:
        compression = root.content.settings.compression
        while compression is not None and compression.source in others and compression.source not in between:
            between.add(compression.source)
            compression = others[compression.source].content.settings.compression
    return between


def _origin(record: Record, others: Mapping[str, Record], root_ids: set[str]) -> tuple[str, tuple[str, ...]] | None:
    """Return the root of a Record and the steps from there; None if it has no root."""
    steps: list[str] = []
    for _ in range(len(others) + 1):
        settings = record.content.settings
        if settings.compression is not None:
            # A Record's recipe contains the whole chain of compression; its own step is the last one.
            steps.append(step_words(record.recipe.compress.steps[-1]))
            source = settings.compression.source
        elif settings.teachers:
            steps.append(f"distill ({record.recipe.distill.student.words})")
            ids = [teacher.record for teacher in settings.teachers if teacher.record]
            source = next((name for name in ids if name in root_ids or name in others), "")
        else:
            return None
        if source in root_ids:
            return source, tuple(reversed(steps))
        if source not in others:
            return None
        record = others[source]
    return None  # a circle, which only an edited Record can have


def step_words(step: Step) -> str:
    """Return the technique of a compression step with the settings that differ from its defaults."""
    settings = step.model_dump(exclude_defaults=True, mode="json")
    words = ", ".join(f"{key} {json.dumps(value)}" for key, value in settings.items() if key != "technique")
    return f"{step.technique} ({words})" if words else str(step.technique)


def candidate_series(
    derived: Sequence[Derived], roots: Mapping[str, Series], targets: np.ndarray, measure: Measure
) -> list[Series]:
    """Return derived runs as series: runs with the same root series and steps, over budgets and seeds.

    Args:
        derived: Runs that were tested on the same examples as the study.
        roots: Series of the study by the ids of their Records.
        targets: Targets of the test examples.
        measure: Metrics of the task.
    """
    if not derived:
        return []
    values, samples = metric_samples([source.outputs for source in derived], targets, measure)
    groups: dict[tuple[str, tuple[str, ...]], dict[tuple[int, int], tuple[Record, Run]]] = {}
    for member, value, sample in zip(derived, values.tolist(), samples, strict=True):
        right, size = measure.right(member.outputs, targets), member.record.content.model_bytes
        run = Run(member.record.id, member.seed, value, right, sample, model_bytes=size)
        # The newest of several runs with the same seed counts: Records are listed oldest first.
        groups.setdefault((roots[member.root].name, member.steps), {})[member.budget, member.seed] = (
            member.record,
            run,
        )
    named = {root.name: root for root in roots.values()}
    return [_as_series(named[name], steps, runs, measure.main) for (name, steps), runs in groups.items()]


def _as_series(
    root: Series, steps: tuple[str, ...], runs: Mapping[tuple[int, int], tuple[Record, Run]], metric: str
) -> Series:
    budgets = sorted({budget for budget, _ in runs})
    last = runs[max(runs)][0]
    return Series(
        name=" + ".join([root.name, *steps]),
        method=root.method,
        checkpoint=root.checkpoint,
        parameters=last.content.parameters,
        points=tuple(point(b, [run for (at, _), (_, run) in runs.items() if at == b], metric) for b in budgets),
        speed=None,
        model_bytes=last.content.model_bytes,
        fit=None,
        refusal="it was derived from a run of the study, at the labels of that run only",
    )


def measured_record(series: Series, runs: Path) -> Record | None:
    """Return the Record that a series is timed with: the largest budget with a saved model; None if there is none."""
    for measured in sorted(series.points, key=lambda measured: -measured.budget):
        for run in measured.runs:
            try:
                record = Record.read(runs / run.record)
            except RecordError:
                continue
            if record.model_folder.is_dir():
                return record
    return None


def measure_together(ledger: Ledger, records: Sequence[Record]) -> str:
    """Measure the latency of models in turns in one sitting and keep it with the study, unless all are known.

    Args:
        ledger: The study.
        records: One Record per series and candidate, with its model.

    Returns:
        Reason for missing latencies; empty if there are none.
    """
    from kit.runs.request import LoadedInputs
    from kit.studies.timing import time_models

    wanted = [record.id for record in records]
    if all(name in ledger.speeds() for name in wanted):
        return ""
    recipe = ledger.recipe.model_copy(update={"runs": str(ledger.folder.parent)})
    shared = LoadedInputs()
    try:
        tested = records[0].content.data.fingerprints["test"]
        if shared.cleaned(recipe.data).audit.fingerprints["test"] != tested:
            return f"the data of {recipe.data.source} changed since the study was run"
        texts = shared.cleaned(recipe.data).splits.test.texts
        timing = time_models(
            wanted,
            lambda name: Record.load(ledger.folder.parent / name).model_folder,
            texts,
            recipe,
            memory=ledger.memories(),
        )
        ledger.write_speeds(timing.speeds)
    except KitError as error:
        return error.message
    return "; ".join(f"{name}: {reason}" for name, reason in timing.no_speed.items())
