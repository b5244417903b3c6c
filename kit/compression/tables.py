"""Embedding matrices with fewer rows, and configurations with renumbered token ids."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

# Configuration keys that hold a token id, or a (nested) list of token ids.
_TOKEN_ID_KEYS = (
    "pad_token_id", "bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id", "mask_token_id", "unk_token_id",
    "decoder_start_token_id", "forced_bos_token_id", "forced_eos_token_id", "bad_words_ids", "suppress_tokens",
    "begin_suppress_tokens",
)  # fmt: skip


def cut_source_table(model: PreTrainedModel, origin: np.ndarray) -> None:
    """Reduce the input embedding matrix of a model to some of its rows, in place.

    Args:
        model: Model to change.
        origin: (tokens,) old row of each new row.
    """
    table = model.get_input_embeddings()
    assert isinstance(table, nn.Embedding)
    smaller = copy.deepcopy(table)  # a copy, because some architectures have their own subclasses with settings
    smaller.weight = nn.Parameter(table.weight.detach()[torch.from_numpy(origin)].clone(), False)
    smaller.num_embeddings, smaller.padding_idx = len(origin), _renumbered(table.padding_idx, origin)
    for module in model.modules():
        for name, child in module.named_children():
            if child is table:
                setattr(module, name, smaller)


def cut_all_tables(model: PreTrainedModel, origin: np.ndarray) -> None:
    """Reduce all embedding matrices and the output layer of a model with one vocabulary to some rows, in place.

    The kept rows are moved to the front, and `resize_token_embeddings` of transformers removes the others, because it
    handles tied weights.

    Args:
        model: Encoder-decoder whose source and target share the vocabulary.
        origin: (tokens,) old row of each new row.
    """
    rows = torch.from_numpy(origin)
    parts: list[PreTrainedModel] = [model, model.get_encoder(), model.get_decoder()]  # type: ignore[no-untyped-call]
    output_layer = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    tables = [*(part.get_input_embeddings() for part in parts), output_layer]
    weights = {id(table.weight): table.weight for table in tables}
    embeddings = [module for module in model.modules() if isinstance(module, nn.Embedding) and module in tables]
    paddings = {embedding: embedding.padding_idx for embedding in embeddings}
    with torch.no_grad():
        for weight in weights.values():
            weight[: len(rows)] = weight[rows].clone()
        bias = getattr(model, "final_logits_bias", None)  # in Marian and BART
        if bias is not None:
            bias[:, : len(rows)] = bias[:, rows].clone()
    model.resize_token_embeddings(len(rows), mean_resizing=False)
    for embedding, padding in paddings.items():
        embedding.padding_idx = _renumbered(padding, origin)


def named_tokens(configs: Iterable[Any], size: int) -> set[int]:
    """Return the token ids below `size` that configurations refer to."""
    ids: set[int] = set()
    for config in configs:
        todo = [getattr(config, key, None) for key in _TOKEN_ID_KEYS]
        while todo:
            value = todo.pop()
            if isinstance(value, list | tuple):
                todo.extend(value)
            elif isinstance(value, int) and 0 <= value < size:
                ids.add(value)
    return ids


def renumber(configs: Iterable[Any], origin: np.ndarray, otherwise: int | None) -> None:
    """Replace token ids in configurations by the new ids, in place.

    Args:
        configs: Configurations of a model.
        origin: (tokens,) old id of each new id.
        otherwise: Id that replaces the ids of removed tokens.
    """
    new_ids = {int(old): new for new, old in enumerate(origin)}

    def new(value: Any) -> Any:
        return [new(item) for item in value] if isinstance(value, list | tuple) else new_ids.get(value, otherwise)

    for config in {id(config): config for config in configs}.values():
        if hasattr(config, "vocab_size"):
            config.vocab_size = len(origin)
        for key in _TOKEN_ID_KEYS:
            old = getattr(config, key, None)
            if isinstance(old, int | list | tuple):
                setattr(config, key, new(old))


def _renumbered(old: int | None, origin: np.ndarray) -> int | None:
    rows = [] if old is None else np.flatnonzero(origin == old).tolist()
    return rows[0] if rows else None
