"""Batched inference with torch models, the same for validation, test, `evaluate` and `predict`.

Stored predictions are computed in float32 from batches sorted by length, so that a text gets the same prediction
alone, in a batch of 64 and in a new process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from transformers import PreTrainedTokenizerBase

from kit.data.batching import EncodedDataset
from kit.data.encode import Encoded
from kit.data.padding import sorted_batches

BATCH_TOKENS = {"cpu": 1_024, "mps": 16_384, "cuda": 65_536}

Batch = dict[str, torch.Tensor]


@contextmanager
def full_float32() -> Iterator[None]:
    """Disable TF32, which rounds the factors of float32 products to 10 bits on GPUs."""
    matrices, convolutions = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(matrices)
        torch.backends.cudnn.allow_tf32 = convolutions


def run_batches(
    model: torch.nn.Module,
    encoded: Encoded,
    tokenizer: PreTrainedTokenizerBase,
    forward: Callable[[torch.nn.Module, Batch], torch.Tensor],
    bf16: bool = False,
) -> np.ndarray:
    """Apply `forward` to all texts in batches and return the results in the order of the texts.

    Under several processes each computes a share and all return the whole result. The model's mode is restored.

    Args:
        model: Model on the device to use.
        encoded: The texts.
        tokenizer: Tokenizer of the model, for its padding.
        forward: Function of the model and a batch that returns a tensor (batch, width).
        bf16: Multiply matrices in bfloat16, as training steps do. Used for evaluations during training and for training
            targets and inputs, such as the logits of a teacher and the vectors of a pretrained encoder.

    Returns:
        (n, width) float32; (0, 0) without texts.
    """
    state = PartialState()
    device = next(model.parameters()).device
    dataset = EncodedDataset.for_tokenizer(encoded, tokenizer)
    batches = sorted_batches(encoded.lengths, BATCH_TOKENS[device.type])
    mine = batches[state.process_index :: state.num_processes]
    was_training = model.training
    model.eval()
    try:
        with full_float32(), torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            parts = []
            for indices in mine:
                batch = {name: tensor.to(device) for name, tensor in dataset.collate(indices.tolist()).items()}
                parts.append((indices, forward(model, batch).float().cpu().numpy()))
    finally:
        model.train(was_training)
    if state.num_processes > 1:
        parts = gather_object(parts)
    if not parts:
        return np.zeros((0, 0), np.float32)
    result = np.zeros((len(encoded), parts[0][1].shape[1]), np.float32)
    for indices, values in parts:
        result[indices] = values
    return result


def predict_logits(
    model: torch.nn.Module, encoded: Encoded, tokenizer: PreTrainedTokenizerBase, bf16: bool = False
) -> np.ndarray:
    """Return logits (n, labels) in float32; see `run_batches` for `bf16`."""
    return run_batches(model, encoded, tokenizer, forward=lambda network, batch: network(**batch).logits, bf16=bf16)


def embed(
    model: torch.nn.Module, encoded: Encoded, tokenizer: PreTrainedTokenizerBase, bf16: bool = False
) -> np.ndarray:
    """Return text vectors (n, hidden) in float32; see `run_batches` for `bf16`.

    The model needs a method `embed`, see `PooledClassifier`.
    """
    return run_batches(model, encoded, tokenizer, forward=lambda network, batch: network.embed(**batch), bf16=bf16)  # type: ignore[operator]
