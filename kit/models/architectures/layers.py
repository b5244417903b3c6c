"""Access to the blocks of an encoder in transformers' architectures, and to the tensors that flow through them."""

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

# Names of the linear layers for queries, keys and values, or of one layer for all three.
_QUERY = ("query", "q_proj", "q_lin", "query_proj")
_KEY = ("key", "k_proj", "k_lin", "key_proj")
_VALUE = ("value", "v_proj", "v_lin", "value_proj")
_FUSED = ("Wqkv", "qkv_proj")

Captured = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Layers:
    """Blocks of an encoder.

    Attributes:
        path: Name of the list of blocks in the model.
        blocks: The list.
        embeddings: Module whose output is the input of the first block.
    """

    path: str
    blocks: nn.ModuleList
    embeddings: nn.Module

    def __len__(self) -> int:
        return len(self.blocks)


def spread_evenly(number: int, count: int) -> list[int]:
    """Return `number` evenly spaced integers from 0 to count - 1, both included: 3 of 6 are 0, 2 and 5."""
    return [0] if number == 1 else [index * (count - 1) // (number - 1) for index in range(number)]


def encoder_of(model: PreTrainedModel) -> PreTrainedModel:
    """Return the encoder inside a classifier, or the model itself if it is an encoder."""
    encoder: PreTrainedModel = model.base_model  # type: ignore[assignment]
    return encoder


def find_layers(model: PreTrainedModel) -> Layers:
    """Return the blocks of a classifier's encoder.

    Raises:
        ModelError: If they cannot be identified in this architecture.
    """
    encoder = encoder_of(model)
    count = getattr(encoder.config, "num_hidden_layers", None)
    prefix = next((f"{name}." for name, module in model.named_modules() if module is encoder and name), "")
    embeddings = getattr(encoder, "embeddings", None)
    for name, module in encoder.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == count and isinstance(embeddings, nn.Module):
            return Layers(prefix + name, module, embeddings)
    kind = getattr(encoder.config, "model_type", type(encoder).__name__)
    raise ModelError(
        f"distill: the layers of a {kind} model cannot be identified",
        "use a separate student (distill.student: a checkpoint, cnn or bilstm) and losses on logits",
    )


@contextmanager
def capturing(model: PreTrainedModel, names: list[str]) -> Iterator[Captured]:
    """Capture tensors of the model in every forward pass, until the context ends.

    Args:
        model: Classifier or encoder.
        names: `embeddings`, `hidden:<layer>` with layers from 0, or `query`, `key` and `value` of the last layer's
            self-attention.

    Yields:
        The tensors (batch, length, width) of the latest forward pass by name.

    Raises:
        ModelError: If the architecture does not have one of them.
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
    """Return the module for a name, and the index of the third of its output to take, or None for all of it."""
    layers = find_layers(model)
    if name == "embeddings":
        return layers.embeddings, None
    kind, _, number = name.partition(":")
    if kind == "hidden":
        return layers.blocks[int(number)], None
    index = ("query", "key", "value").index(kind)
    leaves = {path.rpartition(".")[2]: module for path, module in layers.blocks[-1].named_modules()}
    for leaf in (_QUERY, _KEY, _VALUE)[index]:
        if leaf in leaves:
            return leaves[leaf], None
    for leaf in _FUSED:
        if leaf in leaves:
            return leaves[leaf], index
    raise ModelError(
        f"{type(model).__name__} has no separate {kind} vectors in its self-attention",
        "use distill.losses.hidden or logits",
        key="distill.losses.relations",
    )
