"""Batches of encoded texts as padded arrays, for inference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kit.data.encode import Encoded

if TYPE_CHECKING:
    from kit.data.encode import AnyTokenizer


def pad_id_of(tokenizer: AnyTokenizer) -> int:
    """Return the id of the padding token; 0 if the tokenizer has none, as padded positions are masked anyway."""
    return tokenizer.pad_token_id or 0


def padded(encoded: Encoded, indices: Sequence[int], pad_id: int, left: bool = False) -> dict[str, np.ndarray]:
    """Return the texts at these positions as arrays (batch, longest) of int64.

    Args:
        encoded: Token ids of n texts.
        indices: Positions of the batch.
        pad_id: Token id that fills short rows.
        left: Pad on the left.

    Returns:
        input_ids, attention_mask and, if the tokenizer has token types, token_type_ids.
    """
    starts, stops = encoded.offsets[list(indices)], encoded.offsets[np.asarray(indices) + 1]
    width = int((stops - starts).max())
    ids = np.full((len(indices), width), pad_id, np.int64)
    mask = np.zeros_like(ids)
    types = None if encoded.token_types is None else np.zeros_like(ids)
    for row, (start, stop) in enumerate(zip(starts, stops, strict=True)):
        place = slice(width - (stop - start), width) if left else slice(0, stop - start)
        ids[row, place] = encoded.input_ids[start:stop]
        mask[row, place] = 1
        if types is not None and encoded.token_types is not None:
            types[row, place] = encoded.token_types[start:stop]
    batch = {"input_ids": ids, "attention_mask": mask}
    if types is not None:
        batch["token_type_ids"] = types
    return batch


def sorted_batches(lengths: np.ndarray, tokens: int, most: int = 512) -> list[np.ndarray]:
    """Return positions in batches of near-equal length for inference.

    The longest texts come first, so that running out of memory shows at once.

    Args:
        lengths: (n,) tokens per text.
        tokens: Most padded tokens per batch; a longer text is a batch of its own.
        most: Most examples per batch.
    """
    order = np.argsort(-np.asarray(lengths), kind="stable")
    batches: list[np.ndarray] = []
    start = 0
    while start < len(order):
        size = max(1, min(most, tokens // max(1, int(lengths[order[start]]))))
        batches.append(order[start : start + size])
        start += size
    return batches
