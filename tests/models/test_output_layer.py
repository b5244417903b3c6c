"""Temperatures that are folded into the weights of classifiers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    DistilBertConfig,
    ModernBertConfig,
    PreTrainedModel,
    RobertaConfig,
)

from kit.models.checkpoints.output_layer import divide_logits

SIZES = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "vocab_size": 40}
CONFIGS = {
    "bert": BertConfig(**SIZES, num_labels=16),  # as many labels as hidden units
    "roberta": RobertaConfig(**SIZES, num_labels=3, pad_token_id=1),
    "distilbert": DistilBertConfig(vocab_size=40, dim=16, n_layers=1, n_heads=2, hidden_dim=16, num_labels=16),
    "modernbert": ModernBertConfig(**SIZES, num_labels=3, pad_token_id=0),
}
TOKENS = {"input_ids": torch.tensor([[2, 5, 7, 3]]), "attention_mask": torch.ones(1, 4, dtype=torch.long)}


def classifier(name: str) -> PreTrainedModel:
    torch.manual_seed(0)
    return AutoModelForSequenceClassification.from_config(CONFIGS[name]).eval()


@pytest.mark.parametrize("name", list(CONFIGS))
def test_logits_of_native_heads_are_divided(name: str) -> None:
    model = classifier(name)
    with torch.inference_mode():
        before = model(**TOKENS).logits.numpy().copy()
    temperature = np.linspace(0.5, 2.0, model.config.num_labels) if name == "roberta" else np.array([2.5])
    assert divide_logits(model, temperature, TOKENS)
    with torch.inference_mode():
        after = model(**TOKENS).logits.numpy()
    np.testing.assert_allclose(after, before / temperature, rtol=1e-5, atol=1e-7)


def test_a_model_in_half_precision_is_unchanged(tmp_path: Path) -> None:
    model = classifier("bert").to(torch.bfloat16)
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert not divide_logits(model, np.array([2.0]), TOKENS)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())
