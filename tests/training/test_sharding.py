"""Sharding: the copy of the model has an objective of its own; quantized weights are refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from transformers import BertConfig, BertForSequenceClassification

from kit.distillation.objectives import projected
from kit.errors import LaunchError
from kit.training.model_sharding import Fsdp, TrainedModel, trained_model
from tests.training.test_objective import ONE, taught


@pytest.fixture
def model() -> BertForSequenceClassification:
    config = BertConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=8, vocab_size=20)
    return BertForSequenceClassification(config)


def test_the_sharded_copy_has_its_own_captures_and_projections(model) -> None:
    with projected(model, ["embeddings", "hidden:1"], width=24) as (captured, projections):
        objective = replace(taught(ONE), captured=captured, projections=projections)
        sharded = Fsdp(model, objective)
        sharded.model(input_ids=torch.arange(6)[None])
        assert not captured and list(sharded.objective.captured) == ["embeddings", "hidden:1"]
        own, all_parameters = (set(m.parameters()) for m in (sharded.objective.projections, sharded.model))
        assert len(own) == 4 and own < all_parameters and not own & set(model.parameters())
        assert sharded.objective.logits is objective.logits, "the teacher's logits are not copied"
        with torch.no_grad():
            for part in sharded.model.parameters():
                part.add_(1.0)
        sharded.finish()
        for whole, part in zip(model.parameters(), sharded.model.parameters(), strict=True):
            torch.testing.assert_close(whole, part)


def test_quantized_weights_cannot_be_sharded(model, monkeypatch) -> None:
    assert type(trained_model(model, taught(ONE))) is TrainedModel
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    model.classifier.weight = nn.Parameter(torch.zeros(2, 16, dtype=torch.uint8), requires_grad=False)
    with pytest.raises(LaunchError, match="quantized weights") as caught:
        trained_model(model, taught(ONE))
    assert "lora.load: float32" in caught.value.hint
