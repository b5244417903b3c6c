"""Self-attention as one node of a graph: ONNX Runtime's own operator in place of the dozen that it is traced to.

A small model answers a single text in a millisecond, of which moving and reshaping small tensors takes half.

Knows how BERT and its relatives attend, and the operator `com.microsoft::MultiHeadAttention`. Knows nothing of steps.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from kit.models.architectures.layers import encoder_of, find_layers

# Architectures whose self-attention has neither relative positions nor rotations.
_PLAIN = ("bert", "roberta", "xlm-roberta", "camembert", "electra")


class Attending(nn.Module):
    """A model whose self-attention is to be one node each, with the mask that all of them read."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.mask: torch.Tensor | None = None
        self.model = model
        if encoder_of(model).config.model_type in _PLAIN:
            for block in find_layers(model).blocks:
                attention = block.get_submodule("attention")
                attention.self = _Node(attention.get_submodule("self"), self)

    def forward(self, attention_mask: torch.Tensor, **inputs: torch.Tensor) -> torch.Tensor:
        """Logits. attention_mask: (batch, length), 1 for tokens."""
        self.mask = attention_mask.to(torch.int32)
        logits: torch.Tensor = self.model(attention_mask=attention_mask, **inputs).logits
        return logits


class _Node(nn.Module):
    """Queries, keys and values by one product of matrices, and the operator; it can be traced, not run."""

    def __init__(self, inner: nn.Module, around: Attending) -> None:
        super().__init__()
        self.joint = _side_by_side([inner.get_submodule(name) for name in ("query", "key", "value")])
        self.head_size = int(inner.attention_head_size)  # type: ignore[arg-type]
        self.around = [around]  # in a list, or it would be a part of its own part

    def forward(self, hidden_states: torch.Tensor, *_: Any, **__: Any) -> tuple[torch.Tensor, None]:
        """Vectors (batch, length, width), and no probabilities."""
        query, key, value = self.joint(hidden_states).chunk(3, dim=-1)
        joined: torch.Tensor = torch.onnx.ops.symbolic(
            "com.microsoft::MultiHeadAttention",
            (query, key, value, None, self.around[0].mask),
            attrs={"num_heads": query.shape[-1] // self.head_size},
            dtype=query.dtype,
            shape=query.shape,
            version=1,
        )
        return joined, None


def _side_by_side(layers: list[Any]) -> nn.Linear:
    """One layer whose outputs are those of several, of equal shape, side by side."""
    joint = nn.Linear(layers[0].in_features, sum(layer.out_features for layer in layers))
    with torch.no_grad():
        joint.weight.copy_(torch.cat([layer.weight for layer in layers]))
        joint.bias.copy_(torch.cat([layer.bias for layer in layers]))
    return joint
