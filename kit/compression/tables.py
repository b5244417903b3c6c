"""Tables of embeddings with fewer rows, and what configurations say of tokens, numbered anew.

Knows models of transformers. Knows nothing of tokenizers or texts.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

# Names that configurations give to ids of tokens: to one, or to lists of them.
_IDS = (
    "pad_token_id", "bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id", "mask_token_id", "unk_token_id",
    "decoder_start_token_id", "forced_bos_token_id", "forced_eos_token_id", "bad_words_ids", "suppress_tokens",
    "begin_suppress_tokens",
)  # fmt: skip


def cut_source_table(model: PreTrainedModel, origin: np.ndarray) -> None:
    """Keep rows of the table that a model reads its input by. origin: (tokens,) row before of each row after."""
    table = model.get_input_embeddings()
    assert isinstance(table, nn.Embedding)
    smaller = copy.deepcopy(table)  # architectures have their own kinds of table, with settings
    smaller.weight = nn.Parameter(table.weight.detach()[torch.from_numpy(origin)].clone(), False)
    smaller.num_embeddings, smaller.padding_idx = len(origin), _renumbered(table.padding_idx, origin)
    for module in model.modules():
        for name, child in module.named_children():
            if child is table:
                setattr(module, name, smaller)


def cut_all_tables(model: PreTrainedModel, origin: np.ndarray) -> None:
    """Keep rows of all tables of a model that reads and writes by one vocabulary, the output layer's among them.

    Rows that stay are put in front and transformers cuts off what is behind them, for it knows what belongs together.
    """
    rows = torch.from_numpy(origin)
    readers: list[PreTrainedModel] = [model, model.get_encoder(), model.get_decoder()]  # type: ignore[no-untyped-call]
    writer = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    tables = [*(reader.get_input_embeddings() for reader in readers), writer]
    weights = {id(table.weight): table.weight for table in tables}
    paddings = {part: part.padding_idx for part in model.modules() if isinstance(part, nn.Embedding) and part in tables}
    with torch.no_grad():
        for weight in weights.values():
            weight[: len(rows)] = weight[rows].clone()
        bias = getattr(model, "final_logits_bias", None)  # of Marian and BART
        if bias is not None:
            bias[:, : len(rows)] = bias[:, rows].clone()
    model.resize_token_embeddings(len(rows), mean_resizing=False)
    for part, padding in paddings.items():
        part.padding_idx = _renumbered(padding, origin)


def named_tokens(configs: Iterable[Any], size: int) -> set[int]:
    """Ids of tokens, below a size, that configurations name."""
    found: set[int] = set()
    for config in configs:
        todo = [getattr(config, key, None) for key in _IDS]
        while todo:
            value = todo.pop()
            if isinstance(value, list | tuple):
                todo.extend(value)
            elif isinstance(value, int) and 0 <= value < size:
                found.add(value)
    return found


def renumber(configs: Iterable[Any], origin: np.ndarray, otherwise: int | None) -> None:
    """Let configurations name tokens by their new ids. otherwise: the id in place of those of tokens that are gone."""
    number = {int(old): new for new, old in enumerate(origin)}

    def new(value: Any) -> Any:
        return [new(each) for each in value] if isinstance(value, list | tuple) else number.get(value, otherwise)

    for config in {id(each): each for each in configs}.values():
        if hasattr(config, "vocab_size"):
            config.vocab_size = len(origin)
        for key in _IDS:
            old = getattr(config, key, None)
            if isinstance(old, int | list | tuple):
                setattr(config, key, new(old))


def _renumbered(old: int | None, origin: np.ndarray) -> int | None:
    found = [] if old is None else np.flatnonzero(origin == old).tolist()
    return found[0] if found else None
