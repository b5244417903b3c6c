"""Every number of a report and of advice, from predictions.parquet and record.json by independent code."""

from __future__ import annotations

import csv
import io
import json
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from kit.analysis.findings import Findings
from kit.analysis.headline_worth import saved_ms
from kit.analysis.significance import LEVEL
from kit.recipe import load_recipe
from kit.reporting.csv_markdown import cells_csv, points_csv
from kit.studies.analyse import analyse
from kit.workflows.advise import advise
from kit.workflows.study import study
from tests.support import independent_numbers as own

VARIANTS = "[scratch, probe, {name: pruned, of: probe, steps: [{prune: {epochs: 0}}]}]"
NAMES, BUDGETS, SEEDS = ("scratch", "probe", "pruned"), (20, 60), (0, 1, 2)
close = pytest.approx


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, reviews: Path, tiny_checkpoint: Path) -> Path:
    """A study of three variants on two budgets with three seeds; the gate has no limit, so that pruning costs."""
    runs = tmp_path_factory.mktemp("numbers")
    recipe = runs / "recipe.yaml"
    recipe.write_text(
        f"task: classification\nruns: {runs}\nmodel: {{checkpoint: {tiny_checkpoint}}}\ncompress: {{gate: null}}\n"
        f"data: {{source: {reviews}, text: text, label: label, max_length: 32}}\n"
        f"train: {{epochs: 1, evaluations: 1, refit: false}}\n"
        f"study: {{budgets: {list(BUDGETS)}, seeds: {len(SEEDS)}, variants: {VARIANTS}}}\n",
        "utf-8",
    )
    return study(load_recipe(recipe), name="study-numbers", engine="inline", quiet=True).folder


@pytest.fixture(scope="module")
def findings(folder: Path) -> Findings:
    return analyse(folder)


class Runs:
    """The Records of a study: logits and truth of the test examples, and sizes, by (variant, budget, seed)."""

    def __init__(self, folder: Path) -> None:
        self.ids, self.logits, self.right, self.truth = {}, {}, {}, {}
        for path in (folder / "cells").glob("*.json"):
            content = json.loads(path.read_text("utf-8"))
            key = tuple(content["cell"][name] for name in ("variant", "budget", "seed"))
            record = folder.parent / content["record"]
            table = pq.read_table(record / "predictions.parquet").to_pydict()
            labels = json.loads((record / "record.json").read_text("utf-8"))["labels"]
            self.ids[key], self.logits[key] = content["record"], np.array(table["logits"], np.float32).astype(float)
            self.truth[key] = np.array([labels.index(*row) for row in table["labels"]])
            self.right[key] = self.logits[key].argmax(axis=1) == self.truth[key]
        self.folder = folder.parent

    def record(self, *key: Any) -> dict[str, Any]:
        return json.loads((self.folder / self.ids[key] / "record.json").read_text("utf-8"))

    def mean(self, name: str, budget: int) -> own.Mean:
        right = np.stack([self.right[name, budget, seed] for seed in SEEDS])
        return own.Mean(right.mean(axis=1), np.stack([own.accuracy_samples(row) for row in right]), right)

    def calibration(self, name: str, budget: int) -> own.Mean:
        keys = [(name, budget, seed) for seed in SEEDS]
        values, samples = zip(*(own.calibration_errors(self.logits[k], self.truth[k]) for k in keys), strict=True)
        return own.Mean(np.array(values), np.stack(samples), np.stack([self.right[key] for key in keys]))

    def agreement(self, name: str, source: str, budget: int) -> own.Mean:
        chosen = [[self.logits[one, budget, seed].argmax(axis=1) for seed in SEEDS] for one in (name, source)]
        same = np.stack([a == b for a, b in zip(*chosen, strict=True)])
        return own.Mean(same.mean(axis=1), np.stack([own.accuracy_samples(row) for row in same]), same)

    def size(self, name: str, budget: int) -> int:
        return max(self.record(name, budget, seed)["model_bytes"] for seed in SEEDS)


@pytest.fixture(scope="module")
def runs(folder: Path) -> Runs:
    return Runs(folder)


@pytest.fixture(scope="module")
def means(runs: Runs) -> dict[tuple[str, int], own.Mean]:
    return {(name, budget): runs.mean(name, budget) for name in NAMES for budget in BUDGETS}


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def as_interval(estimate: Any) -> own.Interval:
    return estimate.value, estimate.low, estimate.high


def test_the_mean_interval_and_spread_of_every_point(findings: Findings, means) -> None:
    table = {(row["series"], int(row["budget"])): row for row in rows(points_csv(findings))}
    assert table.keys() == means.keys()
    for key, mean in means.items():
        numbers = [float(table[key][name]) for name in ("mean", "low", "high", "seed_sd", "seeds")]
        assert numbers == close([*mean.estimate, mean.sd, len(SEEDS)], abs=1e-9), key


def test_the_metric_and_interval_of_every_cell(findings: Findings, runs: Runs) -> None:
    table = {(row["series"], int(row["budget"]), int(row["seed"])): row for row in rows(cells_csv(findings))}
    assert table.keys() == runs.right.keys()
    for key, right in runs.right.items():
        low, high = own.interval(own.accuracy_samples(right))
        assert [float(table[key][name]) for name in ("metric", "low", "high")] == close([right.mean(), low, high])
        recorded = runs.record(*key)["metrics"]["accuracy"]
        assert [recorded[name] for name in ("value", "low", "high")] == close([right.mean(), low, high])


def test_every_comparison_of_two_variants(findings: Findings, means) -> None:
    largest = BUDGETS[-1]
    expected = [own.difference(means[a, largest], means[b, largest]) for a, b in combinations(NAMES, 2)]
    corrected = own.holm([p for _, p in expected])
    assert [(one.a, one.b, one.budget) for one in findings.comparisons] == [
        (*pair, largest) for pair in combinations(NAMES, 2)
    ]
    for one, (difference, p), holm in zip(findings.comparisons, expected, corrected, strict=True):
        assert as_interval(one.difference) == close(difference, abs=1e-9)
        assert (one.p_bootstrap, one.p_holm) == close((p, holm), abs=1e-4)
        assert one.p_mcnemar == close(own.mcnemar(means[one.a, largest], means[one.b, largest]))
        assert one.significant == (holm < LEVEL and not difference[1] <= 0 <= difference[2])
        right_a, right_b = means[one.a, largest].right, means[one.b, largest].right
        only_a, only_b = ((first & ~second).sum(axis=1) for first, second in ((right_a, right_b), (right_b, right_a)))
        assert (one.only_a, one.only_b) == (round(only_a.mean()), round(only_b.mean()))


def test_what_compression_costs_against_its_source(findings: Findings, runs: Runs, means) -> None:
    assert [(one.series, one.source, one.budget) for one in findings.against_sources] == [
        ("pruned", "probe", budget) for budget in BUDGETS
    ]
    for one in findings.against_sources:
        pruned, probe = (means[name, one.budget] for name in ("pruned", "probe"))
        change, p = own.difference(pruned, probe)
        assert as_interval(one.change.difference) == close(change, abs=1e-9)
        assert one.change.p_holm == close(p, abs=1e-4)
        assert as_interval(one.retained) == close(own.retained(pruned, probe))
        assert as_interval(one.agreement) == close(runs.agreement("pruned", "probe", one.budget).estimate)
        calibration = own.difference(runs.calibration("pruned", one.budget), runs.calibration("probe", one.budget))[0]
        assert as_interval(one.calibration) == close(calibration, abs=1e-6)
        assert (one.undone, one.seeds) == (0, len(SEEDS))


def test_the_worth_of_pretraining_in_labels(findings: Findings, means) -> None:
    scratch = {budget: means["scratch", budget] for budget in BUDGETS}
    assert [(one.series, one.budget) for one in findings.worth] == [("probe", budget) for budget in BUDGETS]
    for one in findings.worth:
        times, low, high = own.labels_of_control(means["probe", one.budget], one.budget, scratch)
        assert (one.times is None, one.high is None) == (times is None, high is None)
        assert (one.times or 0, one.low, one.high or 0) == close((times or 0, low, high or 0))


def speed(folder: Path, runs: Runs, name: str) -> dict[str, float]:
    speeds = json.loads((folder / "speed.json").read_text("utf-8"))["speeds"]
    (measured,) = [speeds[record] for key, record in runs.ids.items() if key[0] == name and record in speeds]
    return measured


def test_the_frontier_and_the_time_saved(findings: Findings, folder: Path, runs: Runs, means) -> None:
    choices = {}
    for (name, budget), mean in means.items():
        latency = speed(folder, runs, name)
        low = min(latency["low_ms"], latency["p50_ms"] / 1.05**0.5)
        high = max(latency["high_ms"], latency["p50_ms"] * 1.05**0.5)
        choices[name, budget] = (mean.value, low, high, float(runs.size(name, budget)), float(budget))
    least = {}  # sizes within 1 % are equal
    for key, choice in choices.items():
        least[key] = min(other[3] for other in choices.values() if choice[3] <= other[3] * 1.01 <= choice[3] * 1.01**2)
    choices = {key: (*choice[:3], least[key], choice[4]) for key, choice in choices.items()}
    for one in findings.frontier:
        key = one.series, one.budget
        assert (one.metric, one.low, one.high) == close(means[key].estimate)
        assert (one.latency_ms, one.model_bytes) == (speed(folder, runs, one.series)["p50_ms"], runs.size(*key))
        others = [choice for other, choice in choices.items() if other != key]
        assert one.dominated == own.is_dominated(choices[key], others), key
    (pruned, probe), by_name = (speed(folder, runs, name) for name in ("pruned", "probe")), findings.series
    saved = saved_ms(*(next(one for one in by_name if one.name == name) for name in ("pruned", "probe")))
    below = np.hypot(probe["p50_ms"] - probe["low_ms"], pruned["high_ms"] - pruned["p50_ms"])
    above = np.hypot(probe["high_ms"] - probe["p50_ms"], pruned["p50_ms"] - pruned["low_ms"])
    value = probe["p50_ms"] - pruned["p50_ms"]
    assert as_interval(saved) == close((value, value - below, value + above))


@pytest.mark.parametrize("quantile", [0.0, 0.5, 0.9])
def test_every_number_of_the_advice(folder: Path, runs: Runs, means, quantile: float) -> None:
    target, cost = float(np.quantile([mean.value for mean in means.values()], quantile)), 0.25
    advice = advise(folder, target=target, label_cost=cost)

    def costs(key: tuple[str, int]) -> tuple[float, int]:
        return speed(folder, runs, key[0])["p50_ms"], runs.size(*key)

    meets = sorted(
        (key for key, mean in means.items() if mean.value >= target),
        key=lambda key: (key[1], -means[key].value, *costs(key)),
    )
    assert advice.choice is not None and (advice.choice.series, advice.choice.labels) == meets[0]
    first = sorted(means, key=lambda key: (key[1], *costs(key)))
    replicates = np.stack([means[key].replicates for key in first])
    winners = np.zeros(len(first))
    for column in replicates.T:
        reaching = [index for index, value in enumerate(column) if value >= target] or range(len(first))
        fewest = min(first[index][1] for index in reaching)
        if max(column) < target:
            fewest = max(BUDGETS)  # nothing reaches the target: the highest metric wins
        winners[max((i for i in reaching if first[i][1] <= fewest), key=lambda index: column[index])] += 1
    shares = dict(zip(first, winners / own.RESAMPLES, strict=True))
    for contender in advice.contenders:
        assert contender.share == close(shares[contender.option.series, contender.option.labels])
    listed = [advice.choice, *(one.option for one in advice.contenders), *(option for _, option in advice.by_labels)]
    for option in filter(None, (*listed, advice.runner_up, advice.safer)):
        key = option.series, option.labels
        probability = (means[key].replicates >= target).mean()
        assert as_interval(option.metric) == close(means[key].estimate)
        assert (option.probability, option.cost) == close((probability, cost * option.labels))
        assert (option.latency_ms, option.model_bytes) == costs(key)
    for labels, option in advice.by_labels:
        best = max(mean.value for (_, budget), mean in means.items() if budget <= labels)
        assert option.metric.value == close(best) and option.labels <= labels
    assert [labels for labels, _ in advice.by_labels] == list(BUDGETS)
    assert dict(advice.refusals).keys() == set(NAMES)


def test_the_json_of_the_advice_has_the_numbers_of_its_sentences(folder: Path, kit) -> None:
    options = ["--target", "0.4", "--label-cost", "0.25", "--max-size-mb", "100"]
    content, text = json.loads(kit("advise", folder, *options, "--json").out), kit("advise", folder, *options).out
    choice = content["choice"]
    assert f"{choice['series']} with {choice['labels']:,} labels, {choice['cost']:,.2f} for labels" in text
    assert f"({100 * choice['probability']:.0f} % of the resamples reach the target)" in text
    assert f"{choice['latency_ms']:.1f} ms per text" in text
    assert content["wish"] == {
        "target": 0.4, "label_cost": 0.25, "max_latency_ms": None, "max_size_bytes": 100_000_000,
    }  # fmt: skip
    for labels, option in content["by_labels"]:
        (line,) = [line for line in text.splitlines() if line.lstrip().startswith(f"{labels:,} labels")]
        assert f"{option['series']} with {option['labels']:,} labels" in line and f" {option['cost']:,.2f} " in line
        assert f"{100 * option['probability']:.0f} % of the resamples" in line
        assert f"{option['latency_ms']:.3g} ms" in line and f"{option['model_bytes'] / 1e6:.1f} MB" in line
    (reason,) = {reason for _, reason in content["refusals"]}
    assert text.count(reason) == 1
