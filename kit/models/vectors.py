"""Text vectors of a pretrained encoder, cached by content.

A probe, the initial weights of a fine-tuned head and the next seed of a study use the vectors of the same texts.
"""

from __future__ import annotations

import hashlib
from io import BytesIO

import numpy as np
from accelerate import PartialState
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kit.data.encode import Encoded
from kit.errors import OutputError
from kit.models.inference import embed
from kit.runtime.cache_folders import cache_root
from kit.runtime.files import write_atomically

_FORMAT = "1"  # part of every cache key: increase it when the computed vectors change


def text_vectors(
    model: PreTrainedModel, encoded: Encoded, tokenizer: PreTrainedTokenizerBase, weights_key: str, bf16: bool = False
) -> np.ndarray:
    """Return the vectors (n, hidden) of encoded texts in float32, from the cache if it has them.

    A set of texts is cached as a whole: the last bits of a vector depend on the batch that it is computed in, and the
    result of a run must not depend on earlier runs.

    Args:
        model: Model with a method `embed` and the unchanged weights of a checkpoint.
        encoded: The texts.
        tokenizer: Tokenizer of the model.
        weights_key: Identifier of the weights.
        bf16: See `inference.run_batches`.
    """
    if PartialState().num_processes > 1:  # `embed` needs all processes, but only some may find the vectors cached
        return embed(model, encoded, tokenizer, bf16=bf16)
    path = cache_root() / "vectors" / f"{_key(model, encoded, weights_key, bf16=bf16)}.npy"
    try:
        cached: np.ndarray = np.load(path, allow_pickle=False)
        if len(cached) == len(encoded):
            return cached
    except (OSError, ValueError, EOFError):
        pass  # missing or damaged: computed below
    vectors = embed(model, encoded, tokenizer, bf16=bf16)
    buffer = BytesIO()
    np.save(buffer, vectors)
    try:
        write_atomically(path, buffer.getvalue())
    except OutputError:
        return vectors  # the cache only saves time: if it cannot be written, the next run computes the vectors again
    return vectors


def _key(model: PreTrainedModel, encoded: Encoded, weights_key: str, bf16: bool) -> str:
    config = model.config
    pooling = (getattr(config, "pooling", ""), getattr(config, "normalize", ""))
    digest = hashlib.sha256(repr((_FORMAT, weights_key, *pooling, model.device.type, bf16)).encode())
    for array in (encoded.input_ids, encoded.offsets, encoded.token_types):
        digest.update(b"-" if array is None else array.tobytes())
    return digest.hexdigest()
