"""Files and overrides become one recipe."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kit.errors import RecipeError
from kit.recipe import load_recipe
from tests.recipe.conftest import Fail, Load

BASE = "task: classification\nmodel: {checkpoint: org/model}\ndata:\n  source: tickets.csv\n"
NEW = "kit new my.yaml --train data.csv writes a recipe for your own data."
BAD = "not valid YAML:"


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("", "r.yaml: the recipe is empty", NEW),
        ("# only a comment\n", "r.yaml: the recipe is empty", NEW),
        ("- a\n", "r.yaml: a recipe is a mapping of keys (task: ..., data: ...), not a list", ""),
        ("hello", "r.yaml: a recipe is a mapping of keys (task: ..., data: ...), not a single value", ""),
        (b"task: x\nruns: caf\xe9\n", "r.yaml:2: not UTF-8 text (byte 0xe9)", "Save the file with"),
        ("task: x\n\x00\n", "r.yaml:2: not valid YAML: character 0x0 is not allowed", ""),
        ("task: x\n\tdata: y\n", f"r.yaml:2:1: {BAD} found character '\\t' that cannot start any token", "Indent"),
        ("a: *.csv\n", f"r.yaml:1:5: {BAD} expected alphabetic or numeric character, but found '.'", "Put quotes"),
        ("a: *files\n", f"r.yaml:1:4: {BAD} found undefined alias 'files'", "Put quotes around text"),
        ("a: b: c\n", f"r.yaml:1:5: {BAD} mapping values are not allowed here", ""),
        ("a: 1\n---\nb: 1\n", f"r.yaml:2:1: {BAD} but found another document", ""),
        ("[" * 3000, "r.yaml: not valid YAML: nested too deeply", ""),
        ("x" * 2_000_000, "r.yaml: 2 MB is too large for a recipe", "kit new"),
    ],
)  # fmt: skip
def test_files_that_are_not_recipes(fail: Fail, text: str | bytes, message: str, hint: str) -> None:
    error = fail(text)
    assert error.message == message
    assert error.hint.startswith(hint)


def test_an_unreadable_file(load: Load) -> None:
    load(BASE)
    Path("r.yaml").chmod(0)
    user = os.geteuid()
    if user == 0:  # root may read every file
        os.seteuid(65_534)
    try:
        with pytest.raises(RecipeError, match=r"^r\.yaml: cannot be read: Permission denied$"):
            load_recipe("r.yaml")
    finally:
        os.seteuid(user)


def test_a_missing_file_names_nearby_recipes(load: Load) -> None:
    load(BASE)
    Path("recipes").mkdir()
    Path("recipes/sentiment.yaml").write_text(BASE)
    for path, hint in (
        ("recipes/sentimant.yaml", "Did you mean recipes/sentiment.yaml?"),
        ("sentiment.yml", "Did you mean recipes/sentiment.yaml?"),
        ("zzz.yaml", "Recipes nearby: r.yaml, recipes/sentiment.yaml."),
        ("nowhere/zzz.yaml", NEW),
    ):
        with pytest.raises(RecipeError) as caught:
            load_recipe(path)
        assert str(caught.value) == f"{path} does not exist\n  {hint}"
    with pytest.raises(RecipeError) as caught:
        load_recipe(Path("recipes"))
    assert str(caught.value) == "recipes is a folder, not a recipe\n  Recipes nearby: recipes/sentiment.yaml."


def test_a_byte_order_mark_is_ignored(load: Load) -> None:
    assert load(b"\xef\xbb\xbf" + BASE.encode()) == load(BASE)


def test_a_section_may_have_all_keys_commented_out(load: Load, fail: Fail) -> None:
    assert load(BASE + "train:\n  # epochs: 2\n") == load(BASE)
    assert str(fail("task: sentiment\ndata:\n")) == "r.yaml:2: data.source is required"


def test_overrides_set_keys(load: Load) -> None:
    recipe = load(
        BASE + "  budget: 50\n",
        *("train.epochs=2", "train.epochs=3", "train.learning_rate=1e-3", " train.seed = 7"),
        *("data.text=[premise, hypothesis]", "data.where.source=imdb", "data.where.a.b=1"),
        *("data.budget=null", "data.source=*.csv", "data.label_separator=|"),
    )
    assert (recipe.train.epochs, recipe.train.learning_rate, recipe.train.seed) == (3, 1e-3, 7)
    assert recipe.data.text == ["premise", "hypothesis"]
    assert recipe.data.where == {"source": "imdb", "a.b": 1}
    assert (recipe.data.budget, recipe.data.source, recipe.data.label_separator) == (None, "*.csv", "|")


def test_errors_name_the_override_instead_of_the_file(load: Load, fail: Fail) -> None:
    text = BASE + "train:\n  epochs: -1\n"
    assert load(text, "train.epochs=1").train.epochs == 1
    assert fail(text, "train={epochs: -2}").message == (
        "--set train={epochs: -2}: train.epochs must be greater than 0, got -2"
    )
