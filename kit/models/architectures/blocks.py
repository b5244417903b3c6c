"""Blocks of BERT-like encoders, from which attention heads and neurons can be removed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from transformers import PreTrainedModel

from kit.errors import ModelError
from kit.models.architectures.layers import encoder_of, find_layers
from kit.models.architectures.pooled import BLOCK_LAYERS


@dataclass(frozen=True)
class Block:
    """Linear layers of one block.

    Attributes:
        query, key, value: Projections of self-attention.
        joined: Projection of the joined outputs of all heads.
        inner, outer: First and second layer of the feed-forward part.
        head_size: Features of one attention head.
    """

    query: nn.Linear
    key: nn.Linear
    value: nn.Linear
    joined: nn.Linear
    inner: nn.Linear
    outer: nn.Linear
    head_size: int

    @property
    def heads(self) -> int:
        """Number of attention heads."""
        return self.query.out_features // self.head_size

    @property
    def neurons(self) -> int:
        """Number of feed-forward neurons."""
        return self.inner.out_features

    def keep(self, heads: torch.Tensor, neurons: torch.Tensor) -> None:
        """Remove all heads and neurons except those with these indices."""
        features = (heads[:, None] * self.head_size + torch.arange(self.head_size)).flatten()
        for layer in (self.query, self.key, self.value):
            _keep_outputs(layer, features)
        _keep_inputs(self.joined, features)
        _keep_outputs(self.inner, neurons)
        _keep_inputs(self.outer, neurons)


def find_blocks(model: PreTrainedModel) -> list[Block]:
    """Return the blocks of a classifier's encoder.

    Raises:
        ModelError: If its blocks are not like BERT's.
    """
    blocks = []
    for block in find_layers(model).blocks:
        modules = dict(block.named_modules())
        layers = [layer for name in BLOCK_LAYERS if isinstance(layer := modules.get(name), nn.Linear)]
        head_size = getattr(modules.get("attention.self"), "attention_head_size", None)
        if len(layers) < len(BLOCK_LAYERS) or not isinstance(head_size, int):
            raise ModelError(
                f"prune: the blocks of a {encoder_of(model).config.model_type} model are not like BERT's",
                "use distillation instead: kit distill with fewer layers or a smaller width",
            )
        query, key, value, joined, inner, outer = layers
        blocks.append(Block(query, key, value, joined=joined, inner=inner, outer=outer, head_size=head_size))
    return blocks


def _keep_outputs(layer: nn.Linear, kept: torch.Tensor) -> None:
    layer.weight = nn.Parameter(layer.weight.detach()[kept].clone(), layer.weight.requires_grad)
    if layer.bias is not None:
        layer.bias = nn.Parameter(layer.bias.detach()[kept].clone(), layer.bias.requires_grad)
    layer.out_features = len(kept)


def _keep_inputs(layer: nn.Linear, kept: torch.Tensor) -> None:
    layer.weight = nn.Parameter(layer.weight.detach()[:, kept].clone(), layer.weight.requires_grad)
    layer.in_features = len(kept)
