"""Opening lines about cells that are dropped or run again."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kit.recipe import Recipe
from kit.studies.grid import Cell
from kit.studies.ledger import Ledger, Outcome
from kit.studies.opening import dropped_cells

CELL = Cell("tfidf", None, 20, 0)
DATA: dict[str, Any] = {"description": "", "labels": [], "training_examples": 1, "test_examples": 1, "warnings": []}


@pytest.mark.parametrize(
    ("change", "fingerprint", "what"),
    [
        ({"metric": "macro_f1"}, "a", 'metric null (now "macro_f1")'),
        ({"metric": "macro_f1", "study": {"seeds": 2}}, "b", 'metric null (now "macro_f1") and other data'),
        ({"study": {"seeds": 2}}, "a", "other weights or an earlier version of kit"),
    ],
)
def test_changes_that_repeat_cells_are_reported(
    change: dict[str, Any], fingerprint: str, what: str, tmp_path: Path
) -> None:
    recipe = {"task": "sentiment", "method": "tfidf", "data": {"source": "x.csv"}}
    facts = {name: {**DATA, "fingerprints": {"train": name, "test": "t"}} for name in "ab"}
    Ledger.start(tmp_path, Recipe.model_validate(recipe), {CELL: "before"}, facts["a"]).write(
        Outcome(CELL, "before", "finished", "record")
    )
    plan: Any = SimpleNamespace(
        recipe=Recipe.model_validate({**recipe, **change}), cells={CELL: "now"}, facts=facts[fingerprint]
    )
    assert dropped_cells(tmp_path, plan) == [f"1 cell finished before with {what}, and is trained again"]


def test_the_command_of_a_study_has_its_overrides(tmp_path: Path) -> None:
    recipe = Recipe.model_validate({"task": "sentiment", "method": "tfidf", "data": {"source": "x.csv"}})
    facts = {**DATA, "fingerprints": {"train": "a", "test": "t"}}
    assert Ledger.start(tmp_path, recipe, {CELL: "key"}, facts).command == "kit study RECIPE"
    Ledger.start(tmp_path, recipe, {CELL: "key"}, facts, ["my recipe.yaml", "--set", "study.budgets=[20]"])
    assert Ledger.load(tmp_path).command == "kit study 'my recipe.yaml' --set 'study.budgets=[20]'"
