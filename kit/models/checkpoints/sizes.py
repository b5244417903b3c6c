"""Checks that a checkpoint fits the memory of this machine, before anything is allocated."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from kit.errors import ModelError
from kit.runtime.quantities import megabytes
from kit.runtime.versions import memory_bytes

if TYPE_CHECKING:
    from torch import nn

_FLOAT32_BYTES = 4
_MAX_LAYERS = 10_000
_WIDTHS = ("hidden_size", "d_model", "n_embd", "dim")
_LAYERS = (
    "num_hidden_layers", "num_layers", "n_layer", "n_layers", "encoder_layers", "decoder_layers", "num_decoder_layers",
)  # fmt: skip
_HEIGHTS = (  # numbers of rows of tables and matrices that are as wide as the model
    "vocab_size", "max_position_embeddings", "n_positions", "type_vocab_size", "intermediate_size", "d_ff",
    "encoder_ffn_dim", "decoder_ffn_dim", "n_inner", *_WIDTHS,
)  # fmt: skip
_EMBEDDING_WIDTH = "embedding_size"  # width of the tables if it differs from the model's (ALBERT, ELECTRA)


def require_possible_sizes(config: dict[str, Any], name: str) -> None:
    """Raise ModelError if one matrix exceeds the machine's memory, or for an impossible number of layers.

    Args:
        config: Content of config.json, which may contain configurations of an encoder and a decoder.
        name: Name of the checkpoint in messages.
    """
    memory = memory_bytes()
    for part in _parts(config):
        for key in _LAYERS:
            if (layers := _size(part, key)) > _MAX_LAYERS:
                raise ModelError(
                    f"{name}/config.json: {key} {layers} is more than any model has", key="model.checkpoint"
                )
        width = max(_size(part, key) for key in _WIDTHS)
        for key in _HEIGHTS:
            row_width = min(width, _size(part, _EMBEDDING_WIDTH) or width) if key == "vocab_size" else width
            needed = _FLOAT32_BYTES * max(1, row_width) * _size(part, key)
            if needed > memory:
                raise ModelError(
                    f"{name}/config.json: {key} {_size(part, key)} needs {megabytes(needed)} for one "
                    f"matrix, this machine has {megabytes(memory)}",
                    "download or copy the checkpoint again, or use a smaller one",
                    key="model.checkpoint",
                )


def require_memory(build: Callable[[], nn.Module], name: str) -> None:
    """Raise ModelError if the parameters of a model exceed the machine's memory.

    Args:
        build: Function that builds the model; it is called without allocating memory or changing the random state.
        name: Name of the checkpoint in messages.
    """
    import torch

    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        needed = _FLOAT32_BYTES * sum(parameter.numel() for parameter in build().parameters())
    if needed > memory_bytes():
        raise ModelError(
            f"the model of {name} takes {megabytes(needed)}, this machine has {megabytes(memory_bytes())}",
            "use a smaller checkpoint",
            key="model.checkpoint",
        )


def _parts(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield config
    yield from (value for value in config.values() if isinstance(value, dict))


def _size(part: dict[str, Any], key: str) -> int:
    value = part.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
