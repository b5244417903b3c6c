"""Findings of 40 series with generated numbers, for the layout of the report."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kit.analysis.comparison import all_pairs, compare
from kit.analysis.curve import fit_learning_curve
from kit.analysis.findings import CellRow, Findings, Series
from kit.analysis.frontier import frontier
from kit.analysis.points import Point, Run, errors, metric_samples, point
from kit.analysis.source_comparison import SourceComparison
from kit.measurement.intervals import Estimate
from kit.measurement.measure import LabelMeasure
from kit.measurement.speed import Speed

BUDGETS = (80, 160, 320, 640, 1280)
# short name of a checkpoint and its millions of parameters
CHECKPOINTS = (
    ("bert-tiny", 4.4), ("bert-mini", 11.2), ("xtremedistil-l6-h256", 12.8), ("MiniLM-L6", 22.7), ("bert-small", 28.8),
    ("MiniLM-L12", 33.4), ("distilroberta-base", 82.1), ("mpnet-base", 109.5), ("deberta-v3-base", 184.0),
    ("roberta-large", 355.0),
)  # fmt: skip
# name, method, metric against finetune, share of the size, share of the time, source
VARIANTS = (
    ("finetune", "finetune", 0.0, 1.0, 1.0, ""),
    ("scratch", "scratch", -0.17, 1.0, 1.0, ""),
    ("student", "distill", -0.03, 0.4, 0.35, "finetune"),
    ("int8", "finetune", -0.008, 0.26, 0.4, "finetune"),
)
_EXAMPLES, _SEEDS, _RESAMPLES = 500, 3, 200


@dataclass(frozen=True)
class _Place:
    """Place of a series in the study."""

    rank: int
    millions: float
    checkpoint: str
    variant: tuple[str, str, float, float, float, str]


def many_series() -> Findings:
    """Return findings of 10 checkpoints x 4 variants."""
    random = np.random.default_rng(5)
    hardness = random.random(_EXAMPLES)
    places = [_Place(rank, size, name, v) for rank, (name, size) in enumerate(CHECKPOINTS) for v in VARIANTS]
    series = tuple(_series(place, hardness, random) for place in places)
    return Findings(
        study="sizes", created="2025-11-03 14:20", task="classification", metric="accuracy",
        labels=("negative", "positive"), training_examples=8_000, test_examples=_EXAMPLES,
        answer=(f"Highest mean at 1,280 labels: {series[-4].name}.",), notes=(), series=series,
        comparisons=all_pairs([(one.name, one.points) for one in series]), worth=(), frontier=frontier(series),
        cells=_cells(series), data=(("source", "generated"),), environment={"cores": 2},
        recipe="task: classification\n", command="kit study recipes/sizes.yaml",
        against_sources=_against_sources(series),
    )  # fmt: skip


def _series(place: _Place, hardness: np.ndarray, random: np.random.Generator) -> Series:
    name, method, _, size, time, source = place.variant
    points = tuple(_point(place, budget, hardness, random) for budget in BUDGETS)
    parameters = int(1e6 * place.millions * (size if method == "distill" else 1))
    latency = 0.9 * place.millions**0.7 * time
    return Series(
        f"{name} {place.checkpoint}", method, place.checkpoint, parameters, points,
        Speed(latency, 1.4 * latency, "2 cores"), int(4e6 * place.millions * size),
        fit_learning_curve(BUDGETS, *errors(points)), "", source=f"{source} {place.checkpoint}" if source else "",
        steps=("int8-onnx",) if name == "int8" else (), variant=name,
    )  # fmt: skip


def _point(place: _Place, budget: int, hardness: np.ndarray, random: np.random.Generator) -> Point:
    skill = 1 - 0.42 * (budget / 80) ** -(0.1 + 0.025 * place.rank) + place.variant[2]
    outputs = []
    for _ in range(_SEEDS):
        right = hardness + random.normal(0, 0.1, _EXAMPLES) < skill + random.normal(0, 0.008)
        outputs.append(np.stack([right, ~right], axis=1).astype(np.float64))
    truth = np.zeros(_EXAMPLES, np.int64)
    values, samples = metric_samples(outputs, truth, LabelMeasure("accuracy"), resamples=_RESAMPLES)
    runs = [
        Run(f"{place.variant[0]}-{place.checkpoint}-{budget}-s{seed}", seed, float(values[seed]),
            outputs[seed].argmax(axis=1) == truth, samples[seed],
            model_bytes=int(4e6 * place.millions * place.variant[3]))
        for seed in range(_SEEDS)
    ]  # fmt: skip
    return point(budget, runs)


def _against_sources(series: tuple[Series, ...]) -> tuple[SourceComparison, ...]:
    by_name = {one.name: one for one in series}
    pairs = [
        (one, by_name[one.source], at) for one in series if one.source for at in range(len(BUDGETS))
    ]  # fmt: skip
    return tuple(
        SourceComparison(
            one.name, source.name, compare([(one.name, one.points[at], source.name, source.points[at])])[0],
            None, Estimate(0.95, 0.93, 0.97), None,
        )
        for one, source, at in pairs
    )  # fmt: skip


def _cells(series: tuple[Series, ...]) -> tuple[CellRow, ...]:
    return tuple(
        CellRow(one.name, p.budget, run.seed, "finished", run.value, run.value - 0.03, run.value + 0.03, 12.0,
                "converged", "", run.record)
        for one in series for p in one.points for run in p.runs
    )  # fmt: skip
