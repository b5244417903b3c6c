"""Decoders of translators: depth, vocabulary, and selection of layers."""

from __future__ import annotations

import copy
from pathlib import Path

from torch import nn
from transformers import PreTrainedModel

from kit.errors import ModelError
from kit.models.checkpoints.config_file import read_config
from kit.models.translation.seq2seq import load_tokenizer_pair, set_dropout, start_of

# Paths of the decoder layers in transformers' architectures.
_DECODER_PATHS = ("decoder.bert.encoder.layer", "model.decoder.layers", "decoder.block", "decoder.layers")


def decoder_depth(folder: Path) -> int | None:
    """Return the number of decoder layers of a saved translator.

    The result is None for a checkpoint without a decoder.
    """
    if start_of(folder) != "translator":
        return None
    decoder_config = read_config(folder).decoder
    for name in ("decoder_layers", "num_decoder_layers", "num_hidden_layers", "num_layers"):
        if isinstance(decoder_config.get(name), int):
            return int(decoder_config[name])
    raise ModelError(f"the configuration in {folder} does not have the number of decoder layers")


def tokens_of(folder: Path) -> tuple[dict[str, int], int] | None:
    """Return the target tokens of a saved translator with their ids, and the size of its output layer.

    Returns None for a checkpoint without a decoder.
    """
    if start_of(folder) != "translator":
        return None
    decoder_config = read_config(folder).decoder
    size = int(decoder_config.get("decoder_vocab_size") or decoder_config["vocab_size"])
    return load_tokenizer_pair(folder).target.get_vocab(), size


def with_decoder_layers(model: PreTrainedModel, layers: list[int]) -> PreTrainedModel:
    """Keep only some decoder layers of a model, which is changed in place.

    Args:
        model: A translator.
        layers: Numbers of the layers to keep, from 0.

    Raises:
        ModelError: The decoder of this architecture cannot be found.
    """
    path = next((path for path in _DECODER_PATHS if _is_module_list(model, path)), None)
    if path is None:
        raise ModelError(
            f"the decoder of a {model.config.model_type} model cannot be found",
            "use a student with random weights, or a checkpoint",
            key="distill.student",
        )
    parent, _, name = path.rpartition(".")
    stack = model.get_submodule(path)
    assert isinstance(stack, nn.ModuleList)
    kept = nn.ModuleList(copy.deepcopy(stack[index]) for index in layers)
    for number, layer in enumerate(kept):  # the cache of keys and values is indexed by layer number
        for module in layer.modules():
            if isinstance(getattr(module, "layer_idx", None), int):
                module.layer_idx = number  # type: ignore[assignment]
    if path == "decoder.block" and hasattr(stack[0].layer[0].SelfAttention, "relative_attention_bias"):  # type: ignore[union-attr, index]
        # T5 has the table of relative positions for all layers in the first one.
        kept[0].layer[0].SelfAttention = copy.deepcopy(kept[0].layer[0].SelfAttention)  # type: ignore[union-attr, index]
        _copy_positions(stack[0], kept[0])
    setattr(model.get_submodule(parent), name, kept)
    decoder_config = model.config.decoder if model.config.model_type == "encoder-decoder" else model.config
    for key in ("decoder_layers", "num_decoder_layers"):
        if hasattr(decoder_config, key):
            setattr(decoder_config, key, len(layers))
    if model.config.model_type == "encoder-decoder":
        decoder_config.num_hidden_layers = len(layers)
    return model


def set_all_dropout(model: PreTrainedModel, rate: float | None) -> None:
    """Set the rate of every dropout module; None keeps the model's rates."""
    if rate is None:
        return
    set_dropout(model.config, rate)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = rate
        elif isinstance(getattr(module, "dropout", None), float):
            module.dropout = rate  # type: ignore[assignment]


def _copy_positions(source: nn.Module, target: nn.Module) -> None:
    """Copy the table of relative positions from one T5 block to another."""
    source_attention = source.layer[0].SelfAttention  # type: ignore[union-attr, index]
    target_attention = target.layer[0].SelfAttention  # type: ignore[union-attr, index]
    target_attention.has_relative_attention_bias = True
    target_attention.relative_attention_bias = copy.deepcopy(source_attention.relative_attention_bias)


def _is_module_list(model: nn.Module, path: str) -> bool:
    try:
        return isinstance(model.get_submodule(path), nn.ModuleList)
    except AttributeError:
        return False
