"""Self-attention as a single node of an ONNX graph, by ONNX Runtime's operator `com.microsoft::MultiHeadAttention`.

Tracing gives a dozen nodes instead, which move and reshape small tensors: half of the millisecond that a small model
takes for one text.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from kit.models.architectures.layers import encoder_of, find_layers

# Architectures whose self-attention has neither relative nor rotary positions.
_PLAIN_ATTENTION = ("bert", "roberta", "xlm-roberta", "camembert", "electra")


class Attending(nn.Module):
    """A model to trace, whose self-attention layers become one node each and share the attention mask."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.mask: torch.Tensor | None = None
        self.model = model
        if encoder_of(model).config.model_type in _PLAIN_ATTENTION:
            for block in find_layers(model).blocks:
                attention = block.get_submodule("attention")
                attention.self = _Node(attention.get_submodule("self"), self)

    def forward(self, attention_mask: torch.Tensor, **inputs: torch.Tensor) -> torch.Tensor:
        """Return the logits (batch, labels).

        `attention_mask` is (batch, length), with 1 for tokens.
        """
        self.mask = attention_mask.to(torch.int32)
        logits: torch.Tensor = self.model(attention_mask=attention_mask, **inputs).logits
        return logits


class _Node(nn.Module):
    """Self-attention with one matrix product for queries, keys and values, and the operator.

    Only for tracing.
    """

    def __init__(self, inner: nn.Module, owner: Attending) -> None:
        super().__init__()
        self.joint = _concatenated([inner.get_submodule(name) for name in ("query", "key", "value")])
        self.head_size = int(inner.attention_head_size)  # type: ignore[arg-type]
        self.owner = [owner]  # in a list, so that torch does not register the owner as a submodule

    def forward(self, hidden_states: torch.Tensor, *_: Any, **__: Any) -> tuple[torch.Tensor, None]:
        """Return vectors (batch, length, width), and None in place of the attention probabilities."""
        query, key, value = self.joint(hidden_states).chunk(3, dim=-1)
        joined: torch.Tensor = torch.onnx.ops.symbolic(
            "com.microsoft::MultiHeadAttention",
            (query, key, value, None, self.owner[0].mask),
            attrs={"num_heads": query.shape[-1] // self.head_size},
            dtype=query.dtype,
            shape=query.shape,
            version=1,
        )
        return joined, None


def _concatenated(layers: list[Any]) -> nn.Linear:
    """Return one linear layer whose output is the concatenation of the outputs of layers of the same shape."""
    joint = nn.Linear(layers[0].in_features, sum(layer.out_features for layer in layers))
    with torch.no_grad():
        joint.weight.copy_(torch.cat([layer.weight for layer in layers]))
        joint.bias.copy_(torch.cat([layer.bias for layer in layers]))
    return joint
