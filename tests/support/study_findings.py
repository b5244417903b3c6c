"""Small studies with metrics that are chosen, for tests of advice and of headlines."""

from __future__ import annotations

import numpy as np

from kit.analysis.curve import CurveRefused, fit_learning_curve
from kit.analysis.findings import Findings, Series, Speed
from kit.analysis.points import Point, Run, errors, metric_samples, point
from kit.measurement.measure import LabelMeasure

BUDGETS = (100, 200, 400, 800)
EXAMPLES = 1_000


def points(values: tuple[float, ...], name: str, size: int) -> tuple[Point, ...]:
    """Points with these means over seeds that differ by about half a point, from answers to 1,000 test examples."""
    truth = np.zeros(EXAMPLES, np.int64)
    measured = []
    seeds = 5
    for budget, value in zip(BUDGETS, values, strict=False):
        right = []
        for seed in range(seeds):
            shifted = value + 0.005 * (seed - (seeds - 1) / 2)
            right.append(np.random.default_rng([seed, len(name)]).permutation(EXAMPLES) < round(shifted * EXAMPLES))
        logits = [np.stack([row, ~row], axis=1).astype(float) for row in right]
        means, samples = metric_samples(logits, truth, LabelMeasure("accuracy"))
        runs = [Run(f"r{s}", s, float(means[s]), right[s], samples[s], model_bytes=size) for s in range(seeds)]
        measured.append(point(budget, runs))
    return tuple(measured)


def series(name: str, values: tuple[float, ...], latency: float | None, size: int) -> Series:
    measured = points(values, name, size)
    try:
        fit, refusal = fit_learning_curve(BUDGETS[: len(values)], *errors(measured)), ""
    except CurveRefused as refused:
        fit, refusal = None, str(refused)
    speed = None if latency is None else Speed(latency, 2 * latency, "cpu")
    return Series(name, name.split(maxsplit=1)[0], "minilm", 1_000, measured, speed, size, fit, refusal)


def findings(*all_series: Series) -> Findings:
    return Findings(
        study="s", created="", task="sentiment", metric="accuracy", labels=("no", "yes"), training_examples=7_000,
        test_examples=EXAMPLES,
        answer=(), notes=(), series=all_series, comparisons=(), worth=(), frontier=(), cells=(), data=(),
        environment={}, recipe="", command="", student="layers:3",
    )  # fmt: skip


STUDY = findings(
    series("finetune", (0.70, 0.76, 0.81, 0.85), 7.0, 91_000_000),
    series("probe", (0.72, 0.74, 0.755, 0.765), 7.0, 91_000_000),
    series("tfidf", (0.60, 0.64, 0.68, 0.71), 0.3, 200_000),
)


def perfect(name: str, latency: float, size: int, examples: int = 32) -> Series:
    """A series whose three seeds answer every test example right, at each budget."""
    right = np.ones(examples, bool)
    runs = [Run(f"r{s}", s, 1.0, right, np.ones(1_000), model_bytes=size) for s in range(3)]
    measured = tuple(point(budget, runs) for budget in BUDGETS[:3])
    return Series(name, name, "minilm", 1_000, measured, Speed(latency, latency, "cpu"), size, None, "few budgets")
