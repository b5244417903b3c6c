"""The plan of an answer: variants and numbers of labels that fit the limits and the time."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from kit.analysis.advice_options import Wish
from kit.measurement.durations import Span
from kit.recipe.load import recipe_from_yaml
from kit.workflows.answer_plan import (
    MOST_BUDGETS,
    AnswerPlan,
    Kind,
    PlannedVariant,
    Selection,
    allowed,
    halvings,
    possible_variants,
    selections,
)

MINI_LM = 90_868_376
RECIPE = "task: classification\ndata: {source: a.csv, text: text, label: label}\nmodel: {checkpoint: org/model}\n"


def names(variants: Sequence[PlannedVariant]) -> list[str]:
    return [one.name for one in variants]


def everything(wish: Wish = Wish()) -> Selection:  # noqa: B008
    return Selection(tuple(allowed(possible_variants(640), wish, MINI_LM)[0]), tuple(halvings(640, 2)))


def seconds(selection: Selection, per_label: float = 0.1) -> dict[Kind, Span]:
    """Return times that grow with the labels, except for students, which learn from all texts."""
    slow = {"student": 30.0}
    return {
        (one.name, budget): Span.fixed(slow.get(one.name, 1 + per_label * budget))
        for one in selection.variants
        for budget in selection.budgets
    }


def test_budgets_are_halved_down_to_two_labels_per_class() -> None:
    assert halvings(640, 2) == [10, 20, 40, 80, 160, 320, 640]
    assert halvings(640, 77) == [160, 320, 640]
    assert halvings(13, 2) == [13]


def test_models_above_the_size_limit_stay_only_as_sources() -> None:
    variants, left_out = allowed(possible_variants(640), Wish(max_size_bytes=25e6), MINI_LM)
    assert names(variants) == ["tfidf", "finetune", "int8", "student", "student-int8", "tiny"]
    assert [one.name for one in variants if one.only_source] == ["finetune"]
    assert dict(left_out) == {"probe": "90.9 MB, above 25 MB", "scratch": "90.9 MB, above 25 MB"}


def test_a_quarter_of_the_checkpoint_is_the_least_size_in_8_bits() -> None:
    variants, left_out = allowed(possible_variants(640), Wish(max_size_bytes=15e6), MINI_LM)
    assert "int8" not in names(variants)
    assert ("int8", "at least 22.7 MB, above 15 MB") in left_out


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kit.workflows.answer_plan.find_spec", lambda name: None)
    variants, left_out = allowed(possible_variants(640), Wish(), MINI_LM)
    assert names(variants) == ["tfidf", "probe", "finetune", "scratch", "student"]
    assert ("int8", "onnxruntime is not installed: pip install 'kit[compress]'") in left_out


def test_scratch_is_left_out_before_labels() -> None:
    options = list(selections(everything(), Wish()))
    assert "scratch" in names(options[0].variants)
    assert "scratch" not in names(options[1].variants)
    assert options[0].budgets == options[1].budgets == (40, 80, 160, 320, 640)


def test_students_are_left_out_before_most_labels() -> None:
    options = list(selections(everything(), Wish()))
    times = seconds(everything())
    fitting = next(one for one in options if one.seconds(times).seconds <= 100)
    assert names(fitting.variants) == ["tfidf", "probe", "finetune", "int8"]
    assert fitting.budgets == (10, 20, 40, 80, 160)


def test_students_stay_if_only_they_can_be_small_enough() -> None:
    wish = Wish(max_size_bytes=15e6)
    options = list(selections(everything(wish), wish))
    assert all("student" in names(one.variants) for one in options[:4])
    last = options[-1]
    assert names(last.variants) == ["tfidf"]  # nothing is left of the models that were only needed for students


def test_selections_have_at_least_two_budgets() -> None:
    assert all(2 <= len(one.budgets) <= MOST_BUDGETS for one in selections(everything(), Wish()))
    assert all(len(one.budgets) == 1 for one in selections(Selection(everything().variants, (13,)), Wish()))


@pytest.mark.parametrize("labels", [640, 64_000])
def test_the_section_is_a_valid_study(labels: int) -> None:
    variants = tuple(possible_variants(labels))
    plan = AnswerPlan(variants, (40, 80), too_large=(("int4", "4 MB"),), without_time=("more",), minutes=5)
    section = plan.section("answer-a")
    study = recipe_from_yaml(RECIPE + section, "a.yaml").study
    assert [variant.name for variant in study.variants or ()] == names(variants)
    assert (study.name, study.budgets) == ("answer-a", [40, 80])
    assert section.endswith("    # left out: int4: 4 MB\n    # left out: more: no time within 5 minutes\n")
    assert ("distill.pool: 1000" in section) == (labels > 1000)
