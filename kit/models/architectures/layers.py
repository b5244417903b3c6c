"""Layers: where an encoder keeps its blocks, and what flows through them.

Knows how the architectures of transformers arrange their modules. Knows nothing of teachers, students or losses.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from kit.errors import ModelError

# What the architectures call the linear layers that make queries, keys and values, or all three in one.
_QUERY = ("query", "q_proj", "q_lin", "query_proj")
_KEY = ("key", "k_proj", "k_lin", "key_proj")
_VALUE = ("value", "v_proj", "v_lin", "value_proj")
_FUSED = ("Wqkv", "qkv_proj")

Captured = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Layers:
    """The blocks of an encoder and the module whose output enters the first. path: of the blocks, from the model."""

    path: str
    blocks: nn.ModuleList
    embeddings: nn.Module

    def __len__(self) -> int:
        return len(self.blocks)


def spread_evenly(number: int, count: int) -> list[int]:
    """`number` of the numbers 0 to count - 1, the first and the last among them: 3 of 6 are 0, 2 and 5."""
    return [0] if number == 1 else [index * (count - 1) // (number - 1) for index in range(number)]


def encoder_of(model: PreTrainedModel) -> PreTrainedModel:
    """The encoder inside a classifier, or the model itself where nothing is around it."""
    encoder: PreTrainedModel = model.base_model  # type: ignore[assignment]
    return encoder


def find_layers(model: PreTrainedModel) -> Layers:
    """The blocks of a classifier's encoder. Raises ModelError for an architecture in which they cannot be told."""
    encoder = encoder_of(model)
    count = getattr(encoder.config, "num_hidden_layers", None)
    prefix = next((f"{name}." for name, module in model.named_modules() if module is encoder and name), "")
    embeddings = getattr(encoder, "embeddings", None)
    for name, module in encoder.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == count and isinstance(embeddings, nn.Module):
            return Layers(prefix + name, module, embeddings)
    kind = getattr(encoder.config, "model_type", type(encoder).__name__)
    raise ModelError(
        f"distill: the layers of a {kind} model cannot be told apart",
        "take a student of its own (distill.student: a checkpoint, cnn or bilstm) and losses on logits",
    )


@contextmanager
def capturing(model: PreTrainedModel, names: list[str]) -> Iterator[Captured]:
    """Keep what flows through these places in every forward pass, under their names, until the context ends.

    names: `embeddings`, `hidden:<layer>` with layers from 0, `query`, `key` and `value` of the last layer's
    self-attention. Each is (batch, length, width). Raises ModelError if the architecture does not have one.
    """
    captured: Captured = {}
    hooks = [
        module.register_forward_hook(partial(_keep, captured, name, part))
        for name in names
        for module, part in [_place(model, name)]
    ]
    try:
        yield captured
    finally:
        for hook in hooks:
            hook.remove()


def _keep(captured: Captured, name: str, part: int | None, module: nn.Module, inputs: Any, output: Any) -> None:
    tensor = output[0] if isinstance(output, tuple) else output
    captured[name] = tensor if part is None else tensor.chunk(3, dim=-1)[part]


def _place(model: PreTrainedModel, name: str) -> tuple[nn.Module, int | None]:
    """The module whose output is meant, and which third of it, if not all."""
    layers = find_layers(model)
    if name == "embeddings":
        return layers.embeddings, None
    kind, _, number = name.partition(":")
    if kind == "hidden":
        return layers.blocks[int(number)], None
    which = ("query", "key", "value").index(kind)
    leaves = {path.rpartition(".")[2]: module for path, module in layers.blocks[-1].named_modules()}
    for known in (_QUERY, _KEY, _VALUE)[which]:
        if known in leaves:
            return leaves[known], None
    for known in _FUSED:
        if known in leaves:
            return leaves[known], which
    raise ModelError(
        f"{type(model).__name__} has no separate {kind} vectors in its self-attention",
        "use distill.losses.hidden or logits",
        key="distill.losses.relations",
    )
