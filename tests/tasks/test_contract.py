"""Contract of tasks: every registered task has rules, a family of models, and a Task that fits both."""

from __future__ import annotations

import pytest

from kit.methods import FAMILIES
from kit.recipe.task_registry import TASKS, task_module

pytestmark = pytest.mark.parametrize("name", TASKS)


def test_rules_name_methods_of_the_family(name: str) -> None:
    rules = task_module(name, "rules").RULES
    methods = FAMILIES[rules.family].methods
    assert set(rules.methods) <= set(methods)
    without = {method for method in rules.methods if not methods[method].needs_checkpoint}
    assert without == set(rules.methods_without_checkpoint)
