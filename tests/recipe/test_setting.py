"""Recipe keys in messages, and the options of `kit new` that replace them."""

from __future__ import annotations

import shlex

import pytest
import yaml

from kit.cli.recipes import OPTION_OF_KEY as OPTIONS
from kit.recipe.setting import setting, with_options

NAMES = ["toxic", "a b", "c'd", 'e"f', "true", "1", "a,b", "; rm x", "tab\t", "\x01", "back\\slash", "é"]


@pytest.mark.parametrize("name", NAMES)
def test_settings_are_valid_in_recipes_and_as_options(name: str) -> None:
    for value in (name, [name, "x"]):
        text = setting("data.label", value)
        assert yaml.safe_load(text) == {"data.label": value}
        assert text.isprintable()
    option = with_options(f"set {setting('data.label', name)} now", OPTIONS)
    if "\\" not in option:  # $'...' is for a shell
        assert shlex.split(option)[1:3] == ["--label", name]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (f"say which: {setting('data.label', 'verdict')}", "say which: --label verdict"),
        (f"set {setting('data.label', ['toxic', 'threat'])}; else", "set --label toxic --label threat; else"),
        (f"set {setting('data.multi_label', True)}, or", "set --multi-label, or"),
        (f"(if it is one: {setting('data.header', 'first')})", "(if it is one: --header first)"),
        (f"set {setting('data.label_separator', ' ')}", "set --label-separator ' '"),
        (f"set {setting('data.separator', chr(9))}", r"set --separator $'\t'"),
        (f"set {setting('data.header', ['a', 'b c'])}", "set --header 'a,b c'"),
        (
            "set data.labels to the names, data.label_map to others",
            "set --labels to the names, data.label_map to others",
        ),
        ("x.csv: line 1: data.header", "x.csv: line 1: --header"),
    ],
)
def test_messages_name_options_that_can_be_typed(message: str, expected: str) -> None:
    assert with_options(message, OPTIONS) == expected
