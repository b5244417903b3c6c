"""The headline of a study."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kit.analysis.comparison import Comparison, all_pairs
from kit.analysis.findings import Series
from kit.analysis.headline import headline
from kit.analysis.points import point
from kit.analysis.pretraining_value import Transfer
from kit.analysis.source_comparison import SourceComparison
from kit.measurement.intervals import Estimate
from kit.measurement.speed import Speed
from tests.support.study_findings import STUDY, findings, series


def test_the_headline_covers_best_method_rivals_and_more_labels() -> None:
    comparisons = all_pairs([(one.name, one.points) for one in STUDY.series])
    worth = [Transfer("finetune", 100, 8.0, 5.0, 12.0), Transfer("finetune", 800, None, 8.0, None)]
    sentences = headline(STUDY.series, comparisons, worth, "accuracy")
    assert sentences[0].startswith("Best at 800 labels: finetune, accuracy 85.0 % [")
    assert "It is significantly better than probe and tfidf there." in sentences
    assert "Nothing cheaper is within 1 point of it." in sentences
    assert any(s.startswith("From 400 to 800 labels finetune gained 4.0 points [") for s in sentences)
    assert any(
        "With 1,600 labels it is predicted to reach" in s and "such a prediction was off by" in s for s in sentences
    )
    assert sentences[-1] == (
        "Pretraining: to match finetune, training from scratch would take 8 times [5, 12] the labels at 100 and "
        "more than 8 times the labels at 800 labels."
    )


def test_an_insignificant_difference_is_reported_as_such() -> None:
    levels = {"finetune": (0.70, 0.76, 0.80, 0.82), "lora": (0.7, 0.75, 0.8, 0.818)}
    close = findings(*[series(name, values, 7.0, 1) for name, values in levels.items()])
    comparisons = all_pairs([(one.name, one.points) for one in close.series])
    sentences = headline(close.series, comparisons, (), "accuracy")
    assert sentences[0].startswith("Highest mean at 800 labels: finetune")
    assert sentences[1].startswith("No significant difference there from lora (+0.2 points [-")
    assert headline((), (), (), "accuracy") == ()


def of_seeds(one_series: Series, count: int) -> Series:
    return replace(one_series, points=tuple(point(p.budget, p.runs[:count]) for p in one_series.points))


@pytest.mark.parametrize(("count", "words"), [(1, "1 seed"), (2, "2 seeds")])
def test_a_lead_of_few_seeds_is_not_tested(count: int, words: str) -> None:
    study = [of_seeds(one, count) for one in STUDY.series]
    comparisons = all_pairs([(one.name, one.points) for one in study])
    sentences = " ".join(headline(study, comparisons, (), "accuracy"))
    assert all(comparison.difference.low > 0 for comparison in comparisons if comparison.a == "finetune")
    assert f"is not tested: {words}; the bootstrap test over seeds and test examples needs 3 seeds" in sentences
    assert "No significant difference" not in sentences
    assert "Its lead over probe (+8.5 points [" in sentences


def test_the_cheapest_choice_near_the_best_has_the_fewest_labels_then_the_lowest_latency() -> None:
    close = findings(
        series("finetune", (0.70, 0.76, 0.81, 0.815), 7.0, 91_000_000),
        series("int8", (0.69, 0.75, 0.809, 0.812), 2.0, 23_000_000),
        series("slower", (0.69, 0.75, 0.809, 0.812), 2.05, 23_000_000),
        series("tfidf", (0.60, 0.64, 0.68, 0.71), 0.3, 200_000),
    )
    (sentence,) = [line for line in headline(close.series, (), (), "accuracy") if line.startswith("Cheapest")]
    order = "(fewest labels, then lowest latency, then smallest)"
    assert sentence.startswith(f"Cheapest within 1 point of it {order}: int8 with 400 labels, -0.6 points")
    assert sentence.endswith("(not significant), 2 ms per text, 23.0 MB.")


def compared(name: str, source: str, change: float, *, seeds: int = 5, undone: int = 0) -> SourceComparison:
    difference = Estimate(change, change - 0.02, change + 0.02)
    comparison = Comparison(name, source, 800, difference, 0.6, 0.6, 0.6, seeds=seeds, only_a=5, only_b=5)
    return SourceComparison(name, source, comparison, None, Estimate(0.9, 0.8, 0.95), None, undone)


def timed(one_series: Series, p50: float, low: float, high: float) -> Series:
    return replace(one_series, speed=Speed(p50, 2 * p50, "cpu", low_ms=low, high_ms=high))


def test_distillation_and_compression_are_in_milliseconds_megabytes_and_labels() -> None:
    finetune = timed(series("finetune", (0.85,) * 4, 7.0, 91_000_000), 7.0, 6.6, 7.3)
    student = timed(replace(series("student", (0.84,) * 4, 3.0, 62_000_000), source="finetune"), 3.0, 2.6, 3.4)
    int8 = series("int8", (0.849,) * 4, 7.0, 23_000_000)
    int8 = timed(replace(int8, source="finetune", steps=("int8-onnx",)), 7.0, 6.0, 8.0)
    lighter = replace(timed(int8, 6.0, 5.9, 6.1), name="lighter")
    sources = [compared("student", "finetune", -0.013), compared("int8", "finetune", -0.001)]
    distilled = [Transfer("student", 800, 2.5, 1.4, None)]
    study = [finetune, student, int8]
    assert headline(study, (), (), "accuracy", sources, distilled)[-2:] == (
        "Distillation: student saves 4 ms [3.43, 4.5] of 7 ms per text and 29.0 MB of 91.0 MB against finetune at 800 "
        "labels; accuracy changes by -1.3 points [-3.3, 0.7] (not significant); without its teacher it would take 2.5 "
        "times (at least 1.4) the labels.",
        "Compression: int8 saves 68.0 MB of 91.0 MB and is not significantly faster (0 ms [-1.08, 1.04]) against "
        "finetune at 800 labels; accuracy changes by -0.1 points [-2.1, 1.9] (not significant).",
    )
    several = [*sources, compared("lighter", "finetune", -0.009, undone=2)]
    last = headline([*study, lighter], (), (), "accuracy", several)[-1]
    assert last.startswith("Compression: lighter (the lightest of 2 within 1 point) saves 1 ms [0.588, 1.32] of 7 ms")
    assert "(not significant, undone by the gate for 2 of 5 seeds)" in last
    undone = [compared("int8", "finetune", 0.0, undone=5)]
    assert not any(line.startswith("Compression") for line in headline(study, (), (), "accuracy", undone))


def test_pretraining_that_may_be_worth_nothing_is_not_significant() -> None:
    worth = [Transfer("finetune", 100, 1.3, 0.8, 2.1)]
    assert headline(STUDY.series, (), worth, "accuracy")[-1] == (
        "Pretraining: to match finetune, training from scratch would take 1.3 times [0.8, 2.1] the labels (not "
        "significant) at 100 labels."
    )


@pytest.mark.parametrize("seeds", [2, 5])
def test_the_headline_of_forty_series_is_one_short_paragraph(seeds: int) -> None:
    many = [series(f"model {number}", (0.7, 0.75, 0.8 + number / 500), 5.0 + number, 10**6) for number in range(38)]
    many += [
        replace(many[0], name="student", source="model 1"),
        replace(many[0], name="int8", source="model 2", steps=("int8-onnx",)),
    ]
    study = [of_seeds(one, seeds) for one in many]
    comparisons = all_pairs([(one.name, one.points) for one in study])
    worth = [Transfer("model 3", 100, 8.0, 5.0, 12.0), Transfer("model 3", 400, None, 8.0, None)]
    against = [compared("student", "model 1", -0.01), compared("int8", "model 2", -0.01)]
    sentences = headline(study, comparisons, worth, "accuracy", against)
    assert len(sentences) <= 8
    assert max(len(sentence.split()) for sentence in sentences) < 70
    assert " more " in sentences[1]
