"""Training without padding: same logits and gradients as with padding, or a refusal with the reason."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import (
    AttentionInterface,
    AutoModelForSequenceClassification,
    BertConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    ModernBertConfig,
    MPNetConfig,
    RobertaConfig,
)

from kit.errors import RecipeError
from kit.training import padding_free
from kit.training.padding_free import PaddingFree, keeping_mask, rows_of

SHAPE = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "vocab_size": 100,
}
SUPPORTED = {
    "bert": BertConfig(**SHAPE),
    "roberta": RobertaConfig(**SHAPE),
    "electra": ElectraConfig(**SHAPE, embedding_size=32),
    "distilbert": DistilBertConfig(dim=64, n_layers=2, n_heads=4, hidden_dim=128, vocab_size=100),
}
UNSUPPORTED = {
    "do not get the boundaries of texts": (MPNetConfig(**SHAPE), DebertaV2Config(**SHAPE)),
    "are not a separate module": (
        ModernBertConfig(**SHAPE, **dict.fromkeys(("pad_token_id", "cls_token_id", "sep_token_id"), 0)),
    ),
}
LENGTHS = (11, 4, 7, 1)


def classifier(config):
    torch.manual_seed(0)
    return AutoModelForSequenceClassification.from_config(config)


def texts(config) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    ids = torch.randint(5, 100, (len(LENGTHS), max(LENGTHS)))
    mask = (torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]).long()
    return {"input_ids": ids.masked_fill(mask == 0, config.pad_token_id or 0), "attention_mask": mask}


def gradients(model, **batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    model.zero_grad()
    logits = model(**batch).logits
    logits.square().sum().backward()
    gradients_by_name = {
        name: weights.grad.clone() for name, weights in model.named_parameters() if weights.grad is not None
    }
    return logits.detach(), gradients_by_name


@pytest.mark.parametrize("kind", SUPPORTED)
def test_logits_and_gradients_equal_those_with_padding(kind) -> None:
    model = classifier(SUPPORTED[kind]).eval()
    batch = texts(model.config)
    logits, padded = gradients(model, **batch)
    padding_free_model = PaddingFree(model)
    shapes: list[torch.Size] = []
    linear = next(module for module in model.base_model.modules() if type(module) is torch.nn.Linear)
    linear.register_forward_pre_hook(lambda _, inputs: shapes.append(inputs[0].shape[:2]))
    with padding_free_model.steps():
        ours, alone = gradients(model, **batch, **rows_of(batch["attention_mask"].numpy(), model.device))
    if kind != "electra":  # its first linear layer widens the embeddings
        assert shapes == [(1, sum(LENGTHS))]
    torch.testing.assert_close(ours, logits, rtol=1e-4, atol=1e-6)
    assert padded.keys() == alone.keys()
    for name, gradient in padded.items():
        torch.testing.assert_close(alone[name], gradient, rtol=1e-3, atol=1e-6)
    again, _ = gradients(model, **batch)
    assert torch.equal(again, logits)  # unchanged outside training steps
    padding_free_model.end()
    assert not any(module._forward_hooks for module in model.modules())


def test_logits_of_a_text_do_not_depend_on_the_batch() -> None:
    model = classifier(SUPPORTED["bert"]).eval()
    batch = texts(model.config)
    padding_free_model = PaddingFree(model)
    with padding_free_model.steps():
        all_four = model(**batch, **rows_of(batch["attention_mask"].numpy(), model.device)).logits
        short = {name: tensor[1:2, : LENGTHS[1]] for name, tensor in batch.items()}
        alone = model(**short, **rows_of(short["attention_mask"].numpy(), model.device)).logits
    torch.testing.assert_close(all_four[1:2], alone, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("reason", "config"), [(reason, config) for reason, configs in UNSUPPORTED.items() for config in configs]
)
def test_unsupported_architectures_are_refused_with_the_reason(reason, config) -> None:
    model = classifier(config)
    with pytest.raises(RecipeError, match=rf"train\.padding_free: a {config.model_type} model .*{reason}"):
        PaddingFree(model)
    assert model.training


def test_attention_across_texts_is_refused(monkeypatch) -> None:
    def mixed(module, query, key, value, mask, dropout=0.0, scaling=None, **options):
        return torch.nn.functional.scaled_dot_product_attention(query, key, value, scale=scaling).transpose(1, 2), None

    AttentionInterface.register(padding_free._ATTENTION, mixed)
    try:
        with pytest.raises(RecipeError, match="texts would attend to each other"):
            PaddingFree(classifier(SUPPORTED["bert"]))
    finally:
        AttentionInterface.register(padding_free._ATTENTION, padding_free._attend)


def test_batches_keep_their_mask_in_host_memory() -> None:
    batch = texts(SUPPORTED["bert"])
    kept = keeping_mask(lambda indices: {name: tensor[list(indices)] for name, tensor in batch.items()})([2, 0])
    mask = kept.pop(padding_free.HOST_MASK)
    assert isinstance(mask, np.ndarray)
    assert mask.sum(1).tolist() == [7, 11]
    assert kept.keys() == batch.keys()
