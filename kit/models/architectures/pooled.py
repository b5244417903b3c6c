"""A classifier on pooled token vectors, for encoders that declare how their vectors are pooled.

Sentence-embedding checkpoints are trained with mean (or first-token) pooling, often normalized. The architecture's own
classification head ignores that, which costs several points with few labels. This model keeps the declared pooling and
adds one linear layer.

This file does not import kit: exported models contain a copy of it, so that transformers can load them where kit is
not installed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.utils.generic import ModelOutput

# Linear layers of a BERT-like block: query, key, value, output of attention, and the two of the feed-forward part.
BLOCK_LAYERS = (
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "intermediate.dense",
    "output.dense",
)


class PooledConfig(PreTrainedConfig):  # type: ignore[no-untyped-call]
    """Configuration of `PooledClassifier`: an encoder's configuration and how its vectors are pooled.

    Attributes:
        encoder: Configuration of the encoder.
        pooling: `mean` or `cls`.
        normalize: True to scale text vectors to unit length.
        kept_heads: Attention heads per layer after pruning; None without pruning.
        kept_neurons: Feed-forward neurons per layer after pruning; None without pruning.
    """

    model_type = "kit_pooled"

    encoder: dict[str, Any] | None = None
    pooling: str = "mean"
    normalize: bool = False
    kept_heads: list[int] | None = None
    kept_neurons: list[int] | None = None

    def encoder_config(self) -> PreTrainedConfig:
        """Return the encoder's configuration as an object of its class."""
        fields = dict(self.encoder or {})
        return AutoConfig.for_model(fields.pop("model_type"), **fields)


@dataclass
class PooledOutput(ModelOutput):
    """Output of `PooledClassifier`.

    Attributes:
        loss: Mean loss; None without labels.
        logits: (batch, labels).
        vectors: (batch, hidden) text vectors, the input of the linear layer.
    """

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    vectors: torch.Tensor | None = None


class PooledClassifier(PreTrainedModel):  # type: ignore[no-untyped-call]
    """Encoder, pooling, optional L2 normalization, linear layer."""

    config_class = PooledConfig
    base_model_prefix = "encoder"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True

    def __init__(self, config: PooledConfig, encoder: PreTrainedModel | None = None) -> None:
        super().__init__(config)
        encoder_is_new = encoder is None
        if encoder is None:
            encoder = AutoModel.from_config(config.encoder_config())  # type: ignore[no-untyped-call]
        self.encoder: PreTrainedModel = encoder
        # An unused pooler has no gradient, which is an error in distributed training.
        if getattr(self.encoder, "pooler", None) is not None:
            self.encoder.pooler = None
        self.num_labels = config.num_labels
        self.classifier = nn.Linear(int(self.encoder.config.hidden_size or 0), int(config.num_labels or 0))
        if encoder_is_new and config.kept_heads is not None and config.kept_neurons is not None:
            resize_blocks(self.encoder, config.kept_heads, config.kept_neurons)
        self.post_init()  # type: ignore[no-untyped-call]

    def embed(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, **inputs: Any) -> torch.Tensor:
        """Return text vectors (batch, hidden) for token ids (batch, length)."""
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask, **inputs).last_hidden_state
        return self.pool(hidden, attention_mask)

    def pool(self, hidden: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Return text vectors (batch, hidden) for token vectors (batch, length, hidden)."""
        if self.config.pooling == "cls":
            pooled = hidden[:, 0]
        else:
            mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
            pooled = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1)
        return nn.functional.normalize(pooled, dim=-1) if self.config.normalize else pooled

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        **inputs: Any,
    ) -> PooledOutput:
        """Return logits (batch, labels) and, with `labels`, the mean loss of the configured problem type."""
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        inputs.pop("return_dict", None)
        vectors = self.embed(input_ids, attention_mask, **inputs)
        logits = self.classifier(vectors)
        return PooledOutput(loss=self.loss(logits, labels), logits=logits, vectors=vectors)

    def loss(self, logits: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor | None:
        """Return the mean loss of the configured problem type, or None without labels."""
        if labels is None:
            return None
        if self.config.problem_type == "multi_label_classification":
            return nn.functional.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype))
        return nn.functional.cross_entropy(logits, labels)


def resize_blocks(encoder: nn.Module, heads: list[int], neurons: list[int]) -> None:
    """Resize the blocks of a BERT-like encoder; their weights have to be loaded afterwards.

    Args:
        encoder: The encoder.
        heads: Attention heads of each block.
        neurons: Feed-forward neurons of each block.
    """
    blocks = [module for module in encoder.modules() if BLOCK_LAYERS[0] in dict(module.named_modules())]
    blocks = [block for block in blocks if isinstance(block.get_submodule(BLOCK_LAYERS[-1]), nn.Linear)]
    for block, head_count, neuron_count in zip(blocks, heads, neurons, strict=True):
        features = head_count * int(block.get_submodule("attention.self").attention_head_size)  # type: ignore[arg-type]
        sizes = {"attention.output.dense": (features, None), "intermediate.dense": (None, neuron_count)}
        sizes |= {"output.dense": (neuron_count, None)} | dict.fromkeys(BLOCK_LAYERS[:3], (None, features))
        for name, (inputs, outputs) in sizes.items():
            parent, _, last = name.rpartition(".")
            old = block.get_submodule(name)
            assert isinstance(old, nn.Linear)
            new = nn.Linear(inputs or old.in_features, outputs or old.out_features, old.bias is not None)
            setattr(block.get_submodule(parent), last, new)


AutoConfig.register(PooledConfig.model_type, PooledConfig, exist_ok=True)
AutoModelForSequenceClassification.register(PooledConfig, PooledClassifier, exist_ok=True)
