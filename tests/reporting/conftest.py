"""Synthetic studies with failures, flags, refused predictions and hostile text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from kit.analysis.comparison import Comparison
from kit.analysis.curve import Fit, fit_learning_curve
from kit.analysis.findings import CellRow, Choice, Findings, Series, Speed
from kit.analysis.points import Point, Run, errors
from kit.analysis.pretraining_value import Transfer
from kit.measurement.intervals import Estimate
from kit.reporting.figures.every import all_figures
from kit.reporting.page import page
from tests.support.many_series import many_series

HOSTILE = (
    "<script>alert(1)</script>",
    "</script><script>window.pwned=1</script>",
    '"><img src=x onerror="window.pwned=2">',
    "<!-- <script>",
    "it's \"quoted\" & `ticked`",
    "${window.pwned=3}",
    "{{7*7}} {% raw %}",
    "a.b[0]['c'].d\\e",
    "=HYPERLINK(\"http://example.org\")",
    "Donaudampfschifffahrtsgesellschaftskapitän" * 4,
    "🙂 emoji 👩‍👩‍👧",
    "عربي מימין לשמאל \u202eoverride",
    "| pipe | and\nnewline",
    "null \x00 and bell \x07",
    "\ud800 lone surrogate",
)  # fmt: skip


BUDGETS = (100, 200, 400, 800)
# name, method, checkpoint, parameters, error at 100 labels, power, ms per text
_SERIES = (
    ("finetune minilm", "finetune", "minilm", 22_700_000, 0.34, 0.26, 7.2),
    ("probe minilm", "probe", "minilm", 22_700_000, 0.28, 0.12, 7.1),
    ("scratch minilm", "scratch", "minilm", 22_700_000, 0.50, 0.14, 7.3),
    ("finetune mpnet", "finetune", "mpnet", 109_000_000, 0.27, 0.24, 31.5),
    ("lora mpnet", "lora", "mpnet", 109_000_000, 0.29, 0.22, 32.0),
    ("tfidf", "tfidf", None, 41_000, 0.42, 0.15, 0.3),
)


def _point(budget: int, error: float, random: np.random.Generator, flagged: bool) -> Point:
    runs = []
    for seed in range(3):
        value = 1 - error + random.normal(0, 0.008)
        flag = ""
        if flagged and seed == 2:
            value, flag = 0.52, "failed to train: no better than the most frequent label"
        correct = random.random(500) < value
        runs.append(Run(f"run-{budget}-{seed}", seed, value, correct, random.normal(value, 0.012, 100), flag=flag))
    values = np.array([run.value for run in runs])
    mean, sd = float(values.mean()), float(values.std(ddof=1))
    half = 0.02 + 1.2 * sd
    estimate = Estimate(mean, mean - half, min(mean + half, 1.0))
    return Point(budget, tuple(runs), estimate, sd, random.normal(mean, half / 2, 100))


def _fit(points: Sequence[Point]) -> Fit:
    measured, replicates = errors(points)
    return fit_learning_curve(BUDGETS, measured, replicates)


def _series(names: Sequence[str]) -> tuple[Series, ...]:
    random = np.random.default_rng(3)
    all_series = []
    for name, (_, method, checkpoint, parameters, start, power, latency) in zip(names, _SERIES, strict=True):
        points = tuple(
            _point(budget, start * (budget / 100) ** -power, random, method == "finetune" and budget == 100)
            for budget in BUDGETS
        )
        refused = method == "lora"
        all_series.append(
            Series(
                name, method, checkpoint, parameters, points, Speed(latency, 1.4 * latency, "2 cores"), 4 * parameters,
                None if refused else _fit(points),
                "lora has 4 budgets but its metric falls from 200 to 400 labels; no form fits" if refused else "",
            )
        )  # fmt: skip
    return tuple(all_series)


def _comparisons(series: Sequence[Series]) -> tuple[Comparison, ...]:
    comparisons = []
    for index, (a, b) in enumerate(pairwise(series)):
        gap = a.points[-1].estimate.value - b.points[-1].estimate.value
        p = (0.0002, 0.001, 0.03, 0.4, 0.9)[index]
        comparisons.append(
            Comparison(a.name, b.name, 800, Estimate(gap, gap - 0.02, gap + 0.02), p, p / 2, min(1, 5 * p), 3, 40, 22)
        )
    return tuple(comparisons)


def _choices(series: Sequence[Series]) -> tuple[Choice, ...]:
    rows = [(one, point) for one in series for point in one.points]
    return tuple(
        Choice(
            one.name, point.budget, point.estimate.value, point.estimate.low, point.estimate.high,
            one.speed.p50_ms if one.speed else None, one.model_bytes,
            dominated=one.method in ("scratch", "lora") or (one.method == "finetune" and point.budget < 400),
        )
        for one, point in rows
    )  # fmt: skip


def _cells(series: Sequence[Series], error: str) -> tuple[CellRow, ...]:
    rows = [
        CellRow(
            one.name, point.budget, run.seed, "finished", run.value, run.value - 0.03, run.value + 0.03,
            12.5 * one.points.index(point) + run.seed, "converged", run.flag, run.record,
        )
        for one in series
        for point in one.points
        for run in point.runs
    ]  # fmt: skip
    return (
        *rows,
        CellRow(series[0].name, 1600, 0, "failed", error=error),
        CellRow(series[0].name, 1600, 1, "open"),
    )


def study(names: Sequence[str], labels: tuple[str, ...], text: str = "") -> Findings:
    """Return a study with six series, two checkpoints and four budgets; `text` is added to its texts."""
    series = _series(names)
    best = series[3]
    return Findings(
        study=f"Support tickets {text}".strip(),
        created="2025-11-03 14:20",
        task="classification",
        metric="accuracy",
        labels=labels,
        training_examples=7_000,
        test_examples=500,
        answer=(
            f"Best at 800 labels: {best.name}, accuracy 83.6 % [81.1, 86.0] (mean of 3 seeds).",
            f"It is significantly better than {series[2].name} there. No significant difference from {series[4].name}.",
            "With 1,600 labels it is predicted to reach 86.4 % [84.9, 87.9]; the same kind of prediction was off by "
            "0.8 points at 800 labels, where the truth is known.",
        ),
        notes=(
            "Three seeds: intervals for seeds are wide.",
            f"2 of 74 cells have no result: 1 failed, 1 open. {text}",
            "2 seeds failed to train and are counted in the means.",
        ),
        series=series,
        comparisons=_comparisons(series),
        worth=(
            Transfer(series[0].name, 100, None, 8.0, None),
            Transfer(series[0].name, 800, 4.31, 2.9, 6.6),
            Transfer(series[3].name, 800, 7.2, 3.1, None),
        ),
        frontier=_choices(series),
        cells=_cells(series, f"OutOfMemory: needs 4 GB {text}".strip()),
        data=(("source", f"tickets.csv {text}".strip()), ("test examples also in train", "12, dropped from train")),
        environment={
            "python": "3.11.9",
            "packages": {"torch": "2.9.0", "transformers": "5.20.1"},
            "cores": 2,
            text: text,
        },
        recipe=f"task: classification\nmethod: finetune\ndata:\n  source: tickets.csv {text}\n",
        command=f"kit study recipes/tickets.yaml {text}".strip(),
    )


def page_of(findings: Findings) -> str:
    """Return the page with its figures."""
    return page(findings, all_figures(findings))


@pytest.fixture(scope="session")
def findings() -> Findings:
    """A typical study."""
    return study([row[0] for row in _SERIES], ("billing", "delivery", "other"))


@pytest.fixture(scope="session")
def many() -> Findings:
    """A study of 40 series at five budgets."""
    return many_series()


@pytest.fixture(scope="session")
def hostile() -> Findings:
    """The same study with hostile names and messages, which try to be more than text."""
    return study((*HOSTILE[:5], HOSTILE[7]), HOSTILE, " ".join(HOSTILE))


@pytest.fixture(scope="session")
def bare(findings: Findings) -> Findings:
    """The smallest study: one method, one budget, one seed; no predictions, comparisons or latencies."""
    first = findings.series[5]
    point = first.points[0]
    one = replace(point, runs=point.runs[:1], seed_sd=None)
    series = replace(first, points=(one,), speed=None, model_bytes=None, fit=None, refusal="one budget is no curve")
    return replace(
        findings, series=(series,), comparisons=(), worth=(), frontier=(), notes=(), cells=findings.cells[-2:],
        data=(), environment={}, recipe="", labels=(),
    )  # fmt: skip


@pytest.fixture(scope="session")
def nothing(bare: Findings) -> Findings:
    """A study without a finished cell."""
    return replace(bare, series=(), answer=())
