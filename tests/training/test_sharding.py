"""Sharding: the copy that is divided has an objective of its own, and what cannot be divided is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from transformers import BertConfig, BertForSequenceClassification

from kit.distillation.objectives import projected
from kit.errors import LaunchError
from kit.training.model_sharding import Fsdp, Whole, to_train
from tests.training.test_objective import ONE, taught


@pytest.fixture
def model() -> BertForSequenceClassification:
    config = BertConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=8, vocab_size=20)
    return BertForSequenceClassification(config)


def test_the_copy_captures_and_projects_for_itself(model) -> None:
    with projected(model, ["embeddings", "hidden:1"], width=24) as (captured, projections):
        objective = replace(taught(ONE), captured=captured, projections=projections)
        learner = Fsdp(model, objective)
        learner.model(input_ids=torch.arange(6)[None])
        assert not captured and list(learner.objective.captured) == ["embeddings", "hidden:1"]
        ours, theirs = (set(each.parameters()) for each in (learner.objective.projections, learner.model))
        assert len(ours) == 4 and ours < theirs and not ours & set(model.parameters())
        assert learner.objective.logits is objective.logits, "a teacher's answers are not copied"
        with torch.no_grad():
            for part in learner.model.parameters():
                part.add_(1.0)
        learner.finish()
        for whole, part in zip(model.parameters(), learner.model.parameters(), strict=True):
            torch.testing.assert_close(whole, part)


def test_weights_in_few_bits_are_not_divided(model, monkeypatch) -> None:
    assert type(to_train(model, taught(ONE))) is Whole
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    model.classifier.weight = nn.Parameter(torch.zeros(2, 16, dtype=torch.uint8), requires_grad=False)
    with pytest.raises(LaunchError, match="weights in few bits") as caught:
        to_train(model, taught(ONE))
    assert "lora.load: float32" in caught.value.hint
