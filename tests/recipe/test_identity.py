"""Ids: which keys they contain, and that a changed default of the schema is noticed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kit.recipe import Recipe
from kit.recipe.identity import FORMAT, identity_hash, keys_in_id
from kit.recipe.keys import section_of
from kit.recipe.section import NOT_IN_ID, InId, Section
from kit.recipe.sections.compression import TECHNIQUES
from kit.recipe.sections.distillation import DistillSection

SNAPSHOT = Path(__file__).with_name("defaults_left_out_of_ids.json")
BASE: dict[str, Any] = {"task": "classification", "data": {"source": "a.csv"}, "model": {"checkpoint": "org/a"}}


def defaults(section: type[Section], prefix: str = "") -> dict[str, Any]:
    """Default of every key that an id may contain, by dotted key."""
    values: dict[str, Any] = {}
    for name, field in section.model_fields.items():
        inner = section_of(field)
        if InId.of(field) == NOT_IN_ID:
            continue
        if inner is not None:
            values |= defaults(inner, f"{prefix}{name}.")
        elif not field.is_required():
            values[f"{prefix}{name}"] = field.get_default()
    return values


def test_defaults_that_ids_leave_out_are_unchanged() -> None:
    now = defaults(Recipe)
    for technique, step in TECHNIQUES.items():
        now |= defaults(step, f"{technique}.")
    before = json.loads(SNAPSHOT.read_text())
    changed = [key for key in now if key in before["defaults"] and now[key] != before["defaults"][key]]
    assert not changed or before["format"] != FORMAT, (
        f"the default of {', '.join(changed)} changed, and ids do not contain defaults, so a run with the old default "
        "would be taken for one with the new: raise FORMAT in kit/recipe/identity.py, then write this snapshot again"
    )
    text = json.dumps({"format": FORMAT, "defaults": now}, indent=1) + "\n"
    assert before == {"format": FORMAT, "defaults": now}, f"write {SNAPSHOT} with the present defaults:\n{text}"


def test_keys_with_their_default_are_left_out() -> None:
    usual = Recipe.model_validate(BASE)
    assert keys_in_id(usual, ()) == BASE
    explicit = Recipe.model_validate(BASE | {"train": {"warmup": 0.1}, "tfidf": {"analyzer": "auto"}})
    assert keys_in_id(explicit, ()) == keys_in_id(usual, ())


def test_contents_replace_the_keys_that_name_them() -> None:
    content = BASE | {"data": {"source": "a.csv", "budget": 50, "max_length": 64}, "train": {"seed": 3}}
    recipe = Recipe.model_validate(content)
    assert keys_in_id(recipe, {"examples", "start"}) == {
        "task": "classification", "data": {"max_length": 64}, "train": {"seed": 3},
    }  # fmt: skip
    student = recipe.model_copy(update={"method": "distill", "distill": DistillSection(student="org/small")})
    assert "distill" not in keys_in_id(student, {"examples", "start"}), "the start is the student's checkpoint"
    assert keys_in_id(recipe, {"data", "checkpoint", "budget", "seed"}) == {
        "task": "classification", "data": {"max_length": 64},
    }  # fmt: skip


@pytest.mark.parametrize("method", ["tfidf", "probe", "finetune", "student"])
def test_markers_of_keys_come_before_those_of_sections(method: str) -> None:
    train = {"seed": 1, "label_names": False, "warmup": 0.2}
    section = keys_in_id(Recipe.model_validate(BASE | {"method": method, "train": train}), ())["train"]
    assert set(section) == {"tfidf": {"seed"}, "probe": {"seed", "label_names"}}.get(method, set(train))


def test_a_new_key_with_its_default_keeps_the_hash() -> None:
    class Later(Recipe):
        new: str = "usual"

    recipe, later = Recipe.model_validate(BASE), Later.model_validate(BASE)
    assert identity_hash(keys_in_id(later, ()), {}) == identity_hash(keys_in_id(recipe, ()), {})
    assert keys_in_id(later.model_copy(update={"new": "other"}), ())["new"] == "other"
