"""Text vectors of a pretrained encoder: computed once, kept by content.

A probe, the start of a fine-tuned head and the next seed of a study ask for the vectors of the same texts.

Knows encoders, encoded texts and the cache. Knows nothing of labels or recipes.
"""

from __future__ import annotations

import hashlib
from io import BytesIO

import numpy as np
from accelerate import PartialState
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kit.data.encode import Encoded, cache_folder
from kit.errors import OutputError
from kit.models.inference import embed
from kit.runtime.files import write_atomically

_FORMAT = "1"  # part of every cache key: raise it when the vectors would be others


def text_vectors(
    model: PreTrainedModel, encoded: Encoded, tokenizer: PreTrainedTokenizerBase, weights_key: str, bf16: bool = False
) -> np.ndarray:
    """Vectors (n, hidden) float32 of encoded texts, from the cache if they are there.

    model: with `embed`, its weights as the checkpoint has them. weights_key: identifies those weights. bf16: see
    `inference.run_batches`.
    The vectors of a set of texts are kept together: a text's vector differs in its last bits with the batch it is in,
    and a run must not depend on what was run before it.
    """
    if PartialState().num_processes > 1:  # all processes must take part in `embed`, or none
        return embed(model, encoded, tokenizer, bf16)
    path = cache_folder().with_name("vectors") / f"{_key(model, encoded, weights_key, bf16)}.npy"
    try:
        found: np.ndarray = np.load(path, allow_pickle=False)
        if len(found) == len(encoded):
            return found
    except (OSError, ValueError, EOFError):
        pass  # absent or damaged: made again below
    vectors = embed(model, encoded, tokenizer, bf16)
    buffer = BytesIO()
    np.save(buffer, vectors)
    try:
        write_atomically(path, buffer.getvalue())
    except OutputError:
        return vectors  # the cache only saves time: where it cannot be written, the next run computes again
    return vectors


def _key(model: PreTrainedModel, encoded: Encoded, weights_key: str, bf16: bool) -> str:
    config = model.config
    pooling = (getattr(config, "pooling", ""), getattr(config, "normalize", ""))
    digest = hashlib.sha256(repr((_FORMAT, weights_key, *pooling, model.device.type, bf16)).encode())
    for array in (encoded.input_ids, encoded.offsets, encoded.token_types):
        digest.update(b"-" if array is None else array.tobytes())
    return digest.hexdigest()
