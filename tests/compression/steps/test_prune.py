"""Structured pruning: removal of the least important heads and neurons from the file."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from kit import Recipe, Record, evaluate, finetune
from kit.compression.steps.prune import _kept
from kit.errors import ModelError
from kit.models.architectures.blocks import find_blocks
from kit.models.checkpoints.loading import load_classifier
from kit.models.load import load_predictor
from kit.runs.derived_recipes import compression_recipe
from kit.workflows.compress import compress


def chain(folder, *steps: dict) -> Recipe:
    recipe = compression_recipe(folder)
    content = recipe.model_dump()
    content["compress"] |= {"steps": list(steps), "gate": {"retained": None, "agreement": None}}
    return Recipe.model_validate(content)


@pytest.fixture(scope="module")
def source(tiny_run) -> Record:
    return Record.read(tiny_run)


def test_pruned_units_are_removed_from_the_file(source: Record) -> None:
    done = compress(chain(source.folder, {"prune": {"heads": 0.5, "neurons": 0.5}}), quiet=True)
    record = done.record
    settings = record.to_dict()["settings"]
    model = load_classifier(record.model_folder)
    blocks = find_blocks(model)
    assert [block.heads for block in blocks] == settings["heads"] and sum(settings["heads"]) == 2
    assert [block.neurons for block in blocks] == settings["neurons"] and sum(settings["neurons"]) == 64
    assert record.to_dict()["parameters"] < settings["parameters_before"]
    assert record.to_dict()["training"]["plan"]["epochs"] == 1.0
    assert evaluate(record.folder).largest_difference < 1e-4
    graph = compress(chain(record.folder, {"onnx": None}), quiet=True).record
    texts = [("a fine film",), ("not so fine, and long, and longer than that",)]
    pruned, traced = (load_predictor(run.model_folder).outputs(texts) for run in (record, graph))
    assert np.abs(pruned - traced).max() < 1e-4


def test_heads_and_neurons_without_effect_are_removed_first(source: Record, tmp_path) -> None:
    """One head and half of the neurons of each layer are zeroed: pruning removes exactly these."""
    model, tokenizer = load_classifier(source.model_folder), load_predictor(source.model_folder).tokenizer
    with torch.no_grad():
        for block in find_blocks(model):
            block.joined.weight[:, : block.head_size] = 0
            block.outer.weight[:, ::2] = 0
    from kit.compression.chain import job_of
    from kit.methods import Fitted
    from kit.models.classifier import TransformerPredictor
    from kit.runs.request import LoadedInputs
    from kit.runs.write_record import make_record

    untrained = source.recipe.model_copy(update={"method": "probe"})  # a method without training steps
    zeroed = make_record(
        tmp_path / "runs" / "zeroed",
        replace(job_of(source, True, LoadedInputs()), recipe=untrained),
        lambda job: Fitted(TransformerPredictor(model, tokenizer, 32)),
        began=0.0,
    )
    step = {"prune": {"heads": 0.5, "neurons": 0.5, "epochs": 0}}
    record = compress(chain(zeroed.folder, step), quiet=True).record
    assert record.to_dict()["training"] is None
    assert np.abs(record.predictions().outputs - zeroed.predictions().outputs).max() < 1e-5
    assert record.to_dict()["settings"]["heads"] == [1, 1] and record.to_dict()["settings"]["neurons"] == [32, 32]


def test_lowest_scores_are_removed_and_every_layer_keeps_a_unit() -> None:
    scores = [torch.tensor([0.9, 0.8, 0.7, 0.6]), torch.tensor([0.1, 0.2, 0.3, 0.05])]
    assert [kept.tolist() for kept in _kept(scores, 0.5, 1)] == [[0, 1, 2, 3], [2]]
    assert [kept.tolist() for kept in _kept(scores, 0.0, 1)] == [[0, 1, 2, 3], [0, 1, 2, 3]]
    assert next(len(kept) for kept in _kept([torch.rand(64), torch.rand(64)], 0.5, 8)) % 8 == 0


def test_native_head_is_refused(source: Record, tmp_path) -> None:
    recipe = source.recipe.model_copy(
        update={
            "runs": str(tmp_path / "runs"),
            "model": source.recipe.model.model_copy(update={"pooling": "native"}),
            "train": source.recipe.train.model_copy(update={"epochs": 1.0, "head": "random", "contrastive": 0.0}),
        }
    )
    native = finetune(recipe, quiet=True)
    with pytest.raises(ModelError, match="keeps the head of its architecture"):
        compress(chain(native.folder, {"prune": None}), quiet=True)
