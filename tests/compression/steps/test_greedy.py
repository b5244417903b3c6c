"""Greedy decoding as a step of a translator."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kit import Recipe, Record, evaluate
from kit.errors import ModelError, RecipeError
from kit.models.load import load_predictor
from kit.models.translation.translator import Translator
from kit.recipe.load import validated
from kit.runs.derived_recipes import compression_recipe
from kit.workflows.compress import compress


def chain(source: Path, steps: list[str]) -> Recipe:
    content = compression_recipe(source).model_dump()
    content["compress"] |= {"steps": steps, "gate": {"retained": None}}
    return Recipe.model_validate(content)


def test_the_same_weights_translate_greedily(scratch_run: Path) -> None:
    record = compress(chain(scratch_run, ["greedy"]), quiet=True).record
    search = json.loads((record.model_folder / "generation_config.json").read_text("utf-8"))
    assert search["num_beams"] == 1
    source = Record.load(scratch_run)
    texts = [("a man rides a horse",), ("3.5 km",), ("two dogs",)]
    expected = load_predictor(source.model_folder)
    assert isinstance(expected, Translator)
    expected.search_greedily()
    assert load_predictor(record.model_folder).outputs(texts).tolist() == expected.outputs(texts).tolist()
    assert record.content.model_bytes == pytest.approx(source.content.model_bytes, rel=0.01)
    assert evaluate(record.folder).largest_difference == 0
    with pytest.raises(ModelError, match="decodes greedily already"):
        compress(chain(record.folder, ["greedy"]), quiet=True)


def test_models_that_do_not_search_are_refused(scratch_run: Path, tiny_run: Path) -> None:
    with pytest.raises(ModelError, match=r"greedy: .* is a classifier of torch"):
        compress(chain(tiny_run, ["greedy"]), quiet=True)
    content = chain(scratch_run, ["greedy"]).model_dump()
    content["translation"] |= {"beams": 1}
    with pytest.raises(RecipeError, match=r"greedy has no effect with translation\.beams: 1"):
        validated(content)
