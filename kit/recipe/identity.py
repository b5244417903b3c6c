"""Identity of results: hashes for the ids of runs and of compression steps, and for the cells of a study.

A hash is made from the keys of a recipe that change the result, and from contents: data, weights and teachers, which
the recipe only names. Keys that have the default of the schema are left out, so a new key keeps earlier ids.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

from kit.recipe.schema import Recipe
from kit.recipe.section import InId, Section
from kit.runtime.json_files import json_sha256

FORMAT = 3
"""Version of all hashes. Raise it when a default of the schema changes: hashes do not contain defaults."""


def keys_in_id(recipe: Recipe, contents: Container[str]) -> dict[str, Any]:
    """Return the keys of a recipe that change its result and differ from the default, as plain data.

    Args:
        recipe: The recipe.
        contents: Names of the contents that are hashed beside the keys, see `InId.unless`.
    """
    return _keys_in_id(recipe, recipe, contents, outer=InId())


def identity_hash(keys: Mapping[str, Any], contents: Mapping[str, Any]) -> str:
    """Return the sha256 of keys of a recipe and of contents; an id has its first digits."""
    return json_sha256({"format": FORMAT, "keys": keys, "contents": contents})


def readable_id(how: str, checkpoint: str | None, budget: int, seed: int, sha256: str) -> str:
    """Return the id of a run: method or technique, checkpoint, number of labels and seed in words, then the hash."""
    return "-".join([how, *([checkpoint] if checkpoint else []), str(budget), f"s{seed}", sha256[:8]])


def readable_parts(run_id: str) -> tuple[str, ...]:
    """Return the method or technique, labels and seed that an id names."""
    how, *others = run_id.rsplit("-", 3)
    return (how.partition("-")[0], *others[:2])


def _keys_in_id(recipe: Recipe, section: Section, contents: Container[str], outer: InId) -> dict[str, Any]:
    """Return the keys of a section, without sections that have no such key.

    Args:
        recipe: The recipe.
        section: The recipe, or a section of it.
        contents: Names of the contents that are hashed beside the keys.
        outer: Marker of the section.
    """
    keys = {}
    for name, value in section.model_dump(mode="json", exclude_defaults=True).items():
        marker = InId.of(type(section).model_fields[name]).within(outer)
        inner = getattr(section, name)
        if isinstance(inner, Section):
            if inner_keys := _keys_in_id(recipe, inner, contents, outer=marker):
                keys[name] = inner_keys
        elif marker.applies(recipe.method, recipe.rules.family, contents):
            keys[name] = value
    return keys
