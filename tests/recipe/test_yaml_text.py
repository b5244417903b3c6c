"""YAML is read as version 1.2, and what is written is read as the same."""

from __future__ import annotations

import pytest

from kit.recipe import Recipe
from kit.recipe.load import recipe_to_yaml
from tests.recipe.conftest import Fail, Load

BASE = "task: classification\nmodel: {checkpoint: org/model}\ndata:\n  source: tickets.csv\n"


@pytest.mark.parametrize(
    ("line", "rate"),
    [("1e-4", 1e-4), ("1.0e-4", 1e-4), ("'1e-4'", 1e-4), (".5", 0.5), ("1", 1.0), ("0x1", 1.0)],
)
def test_numbers_follow_yaml_1_2(load: Load, line: str, rate: float) -> None:
    assert load(BASE + f"train: {{learning_rate: {line}}}\n").train.learning_rate == rate


def test_text_follows_yaml_1_2(load: Load) -> None:
    recipe = load(BASE + "  labels: [no, yes, 12:30, 2020-01-01]\n  where: {a: true, b: 010, c: 1_0, d: off}\n")
    assert recipe.data.labels == ["no", "yes", "12:30", "2020-01-01"]
    assert recipe.data.where == {"a": True, "b": 10, "c": "1_0", "d": "off"}


def test_labels_may_be_numbers(load: Load) -> None:
    assert load(BASE + "  labels: [0, 1, 2]\n").data.labels == ["0", "1", "2"]


def test_aliases_are_read(load: Load) -> None:
    recipe = load(BASE + "  text: &name body\n  label: *name\n")
    assert recipe.data.text == recipe.data.label == "body"


def test_aliases_that_multiply_are_refused(fail: Fail) -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"{b}: &{b} [{', '.join(10 * [f'*{a}'])}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)]
    assert fail("\n".join(lines)).message == "r.yaml:1: more than 10000 values (the values of an alias count each time)"


@pytest.mark.parametrize(
    "name",
    [
        *"~.é",
        "1e4",
        "1e-4",
        "no",
        "null",
        "true",
        "007",
        "0x1",
        "12:30",
        "a: b",
        "# a",
        "*a",
        " a ",
        "a\nb",
        "''",
    ],
)
def test_names_are_the_same_after_a_round_trip(load: Load, name: str) -> None:
    recipe = Recipe.model_validate(
        {
            "task": "classification",
            "method": "tfidf",
            "data": {
                "source": [name, "b"],
                "label": name,
                "labels": [name, "other"],
                "where": {name: name, "n": 3},
            },
        }
    )
    assert load(recipe_to_yaml(recipe)) == recipe
