"""Decoders of translators: how deep they are, and the same with fewer layers.

Knows transformers' models with encoder and decoder. Knows nothing of students, recipes or training.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from kit.errors import ModelError
from kit.models.translation.seq2seq import load_tongues, set_dropout, start_of
from kit.runtime.json_files import read_object

# Where architectures of transformers keep the layers of their decoders.
_DECODERS = ("decoder.bert.encoder.layer", "model.decoder.layers", "decoder.block", "decoder.layers")


def decoder_depth(folder: Path) -> int | None:
    """How many layers the decoder of a saved translator has; None for a checkpoint that has no decoder yet."""
    if start_of(folder) != "translator":
        return None
    config = read_object(folder / "config.json", ModelError)
    decoder = config.get("decoder")
    inner: dict[str, Any] = decoder if isinstance(decoder, dict) else config
    for name in ("decoder_layers", "num_decoder_layers", "num_hidden_layers", "num_layers"):
        if isinstance(inner.get(name), int):
            return int(inner[name])
    raise ModelError(f"the layers of the decoder in {folder} cannot be told from its configuration")


def tokens_of(folder: Path) -> tuple[dict[str, int], int] | None:
    """The tokens that a saved translator writes, with their numbers, and how many its output layer tells apart.

    None for a checkpoint that has no decoder yet.
    """
    if start_of(folder) != "translator":
        return None
    config = read_object(folder / "config.json", ModelError)
    decoder = config.get("decoder")
    inner: dict[str, Any] = decoder if isinstance(decoder, dict) else config
    return load_tongues(folder).target.get_vocab(), int(inner.get("decoder_vocab_size") or inner["vocab_size"])


def with_decoder_layers(model: PreTrainedModel, layers: list[int]) -> PreTrainedModel:
    """The model, which is changed, with these layers of its decoder (numbered from 0) and no others.

    Raises ModelError for an architecture whose decoder cannot be found.
    """
    path = next((path for path in _DECODERS if _has(model, path)), None)
    if path is None:
        raise ModelError(
            f"the decoder of a {model.config.model_type} model cannot be found",
            "use a student of random weights, or a checkpoint",
            key="distill.student",
        )
    parent, _, name = path.rpartition(".")
    stack = model.get_submodule(path)
    assert isinstance(stack, nn.ModuleList)
    kept = nn.ModuleList(copy.deepcopy(stack[index]) for index in layers)
    for place, layer in enumerate(kept):  # cached keys and values are found by the number of their layer
        for part in layer.modules():
            if isinstance(getattr(part, "layer_idx", None), int):
                part.layer_idx = place  # type: ignore[assignment]
    if path == "decoder.block" and hasattr(stack[0].layer[0].SelfAttention, "relative_attention_bias"):  # type: ignore[union-attr, index]
        # T5 keeps the table of relative positions of all layers in the first one.
        kept[0].layer[0].SelfAttention = copy.deepcopy(kept[0].layer[0].SelfAttention)  # type: ignore[union-attr, index]
        _take_positions(stack[0], kept[0])
    setattr(model.get_submodule(parent), name, kept)
    inner = model.config.decoder if model.config.model_type == "encoder-decoder" else model.config
    for key in ("decoder_layers", "num_decoder_layers"):
        if hasattr(inner, key):
            setattr(inner, key, len(layers))
    if model.config.model_type == "encoder-decoder":
        inner.num_hidden_layers = len(layers)
    return model


def set_all_dropout(model: PreTrainedModel, rate: float | None) -> None:
    """Set the rate of every dropout module; None keeps what the model has."""
    if rate is None:
        return
    set_dropout(model.config, rate)
    for part in model.modules():
        if isinstance(part, nn.Dropout):
            part.p = rate
        elif isinstance(getattr(part, "dropout", None), float):
            part.dropout = rate  # type: ignore[assignment]


def _take_positions(source: nn.Module, target: nn.Module) -> None:
    theirs, ours = source.layer[0].SelfAttention, target.layer[0].SelfAttention  # type: ignore[union-attr, index]
    ours.has_relative_attention_bias = True
    ours.relative_attention_bias = copy.deepcopy(theirs.relative_attention_bias)


def _has(model: nn.Module, path: str) -> bool:
    try:
        return isinstance(model.get_submodule(path), nn.ModuleList)
    except AttributeError:
        return False
