"""The headline of a study."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kit.analysis.comparison import all_pairs
from kit.analysis.findings import Series
from kit.analysis.headline import headline
from kit.analysis.points import point
from kit.analysis.pretraining_value import Transfer
from tests.support.study_findings import STUDY, findings, series


def test_the_headline_covers_best_method_rivals_and_more_labels() -> None:
    comparisons = all_pairs([(one.name, one.points) for one in STUDY.series])
    worth = [Transfer("finetune", 100, 8.0, 5.0, 12.0), Transfer("finetune", 800, None, 8.0, None)]
    sentences = headline(STUDY.series, comparisons, worth, "accuracy")
    assert sentences[0].startswith("Best at 800 labels: finetune, accuracy 85.0 % [")
    assert "It is significantly better than probe and tfidf there." in sentences
    assert any(
        sentence.startswith("With 100 labels the highest mean is that of probe, 72.0 %") for sentence in sentences
    )
    assert any(s.startswith("From 400 to 800 labels finetune gained 4.0 points [") for s in sentences)
    assert any(
        "With 1,600 labels it is predicted to reach" in s and "such a prediction was off by" in s for s in sentences
    )
    assert sentences[-1] == (
        "From scratch it would take, to match finetune, 8 times [5, 12] the labels at 100 and "
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


def test_one_method_has_no_highest_mean_at_the_smallest_budget() -> None:
    assert any("the highest mean is that of" in line for line in headline(STUDY.series, (), (), "accuracy"))
    assert not any("the highest mean is that of" in line for line in headline(STUDY.series[:1], (), (), "accuracy"))
