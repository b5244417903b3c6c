"""A classifier on pooled token vectors, for encoders that declare how their vectors are pooled.

Sentence-embedding checkpoints are trained with mean (or first-token) pooling, often normalised. The
architecture's own classification head ignores that; on few labels it costs several points. This model
keeps the declared pooling and puts one linear layer on it.

Knows one architecture. Knows nothing of checkpoints on disk, training or recipes, nor of the rest of kit: exported
models take this file along, so that transformers can load them where kit is not installed.
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

# Linear layers of a block of BERT's kind: query, key, value, what joins the heads, the two of the feed-forward part.
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

    kept_heads, kept_neurons: how many each layer has left, where pruning took some out; else None.
    """

    model_type = "kit_pooled"

    encoder: dict[str, Any] | None = None
    pooling: str = "mean"
    normalize: bool = False
    kept_heads: list[int] | None = None
    kept_neurons: list[int] | None = None

    def encoder_config(self) -> PreTrainedConfig:
        """The encoder's own configuration."""
        fields = dict(self.encoder or {})
        return AutoConfig.for_model(fields.pop("model_type"), **fields)


@dataclass
class PooledOutput(ModelOutput):
    """logits: (batch, labels). vectors: (batch, hidden), what the logits were made from. loss: if labels were given."""

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    vectors: torch.Tensor | None = None


class PooledClassifier(PreTrainedModel):  # type: ignore[no-untyped-call]
    """encoder -> pooling -> optional L2 normalisation -> linear layer."""

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
        # A pooler that the forward pass skips has no gradient, which distributed training refuses.
        if getattr(self.encoder, "pooler", None) is not None:
            self.encoder.pooler = None
        self.num_labels = config.num_labels
        self.classifier = nn.Linear(int(self.encoder.config.hidden_size or 0), int(config.num_labels or 0))
        if encoder_is_new and config.kept_heads is not None and config.kept_neurons is not None:
            resize_blocks(self.encoder, config.kept_heads, config.kept_neurons)
        self.post_init()  # type: ignore[no-untyped-call]

    def embed(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, **inputs: Any) -> torch.Tensor:
        """Text vectors (batch, hidden) of token ids (batch, length)."""
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask, **inputs).last_hidden_state
        return self.pool(hidden, attention_mask)

    def pool(self, hidden: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Text vectors (batch, hidden) of token vectors (batch, length, hidden)."""
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
        """Logits (batch, labels); with `labels`, also the mean loss of transformers' problem type."""
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        inputs.pop("return_dict", None)
        vectors = self.embed(input_ids, attention_mask, **inputs)
        logits = self.classifier(vectors)
        return PooledOutput(loss=self.loss(logits, labels), logits=logits, vectors=vectors)

    def loss(self, logits: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor | None:
        """The mean loss of transformers' problem type, None without labels."""
        if labels is None:
            return None
        if self.config.problem_type == "multi_label_classification":
            return nn.functional.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype))
        return nn.functional.cross_entropy(logits, labels)


def resize_blocks(encoder: nn.Module, heads: list[int], neurons: list[int]) -> None:
    """Give each block of BERT's kind as many heads and neurons as the lists say; weights are loaded afterwards."""
    blocks = [module for module in encoder.modules() if BLOCK_LAYERS[0] in dict(module.named_modules())]
    blocks = [block for block in blocks if isinstance(block.get_submodule(BLOCK_LAYERS[-1]), nn.Linear)]
    for block, some, others in zip(blocks, heads, neurons, strict=True):
        features = some * int(block.get_submodule("attention.self").attention_head_size)  # type: ignore[arg-type]
        sizes = {"attention.output.dense": (features, None), "intermediate.dense": (None, others)}
        sizes |= {"output.dense": (others, None)} | dict.fromkeys(BLOCK_LAYERS[:3], (None, features))
        for name, (wide, high) in sizes.items():
            parent, _, last = name.rpartition(".")
            old = block.get_submodule(name)
            assert isinstance(old, nn.Linear)
            new = nn.Linear(wide or old.in_features, high or old.out_features, old.bias is not None)
            setattr(block.get_submodule(parent), last, new)


AutoConfig.register(PooledConfig.model_type, PooledConfig, exist_ok=True)
AutoModelForSequenceClassification.register(PooledConfig, PooledClassifier, exist_ok=True)
