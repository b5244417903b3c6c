"""Quantization in torch: saved, loaded in a fresh process, and answering the same there."""

from __future__ import annotations

import json

import numpy as np
import pytest

from kit import Recipe, Record, evaluate
from kit.compress import compress, recipe_of
from kit.errors import ModelError
from kit.models.predictor import load_predictor

# Technique, and the least that it makes the file smaller (the table of embeddings, half of it, stays in float32).
KINDS = {
    "int8-torch": ("int8-torch", 1.2),
    "int8-torch, activations": ({"int8-torch": {"activations": True}}, 1.2),
    "int8-bnb": ("int8-bnb", 1.2),
    "nf4-bnb": ("nf4-bnb", 1.3),
    "float16": ("float16", 1.9),
    "bfloat16": ("bfloat16", 1.9),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_quantized_model_is_smaller_and_answers_alike_in_a_fresh_process(kind, trained, kit_process) -> None:
    step, smaller = KINDS[kind]
    recipe = recipe_of(trained)
    content = recipe.model_dump()
    content["compress"] |= {"steps": [step], "gate": {"retained": None}}
    done = compress(Recipe.model_validate(content), quiet=True)
    record, source = done.record, Record.read(trained)
    assert record.content["model_bytes"] * smaller < source.content["model_bytes"]
    assert done.links[0].verdict.agreement.value > 0.9
    assert evaluate(record.folder).largest_difference < 1e-3
    text = "a gripping, funny film"
    answered = kit_process("predict", record.folder, text)
    assert answered.code == 0, answered.err
    scores = json.loads(answered.out)["scores"]
    logits = load_predictor(record.model_folder).logits([(text,)])[0]
    chances = np.exp(logits) / np.exp(logits).sum()
    assert scores["1"] == pytest.approx(float(chances[1]), abs=1e-4)


def test_a_quantized_model_is_not_quantized_again(trained) -> None:
    recipe = recipe_of(trained)
    content = recipe.model_dump()
    content["compress"] |= {"steps": ["int8-bnb", "int8-onnx"], "gate": {"retained": None}}
    with pytest.raises(ModelError, match="int8-onnx: what int8-bnb leaves is a quantized model of torch") as error:
        compress(Recipe.model_validate(content), quiet=True)
    assert "quantization comes last" in error.value.hint
