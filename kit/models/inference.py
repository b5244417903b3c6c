"""Prediction: one path for validation, test, `evaluate` and `predict`.

Answers that are kept are in float32 and from batches sorted by length, so that the same text gets the same answer
alone, in a batch of 64, and in a fresh process.

Knows torch models and encoded texts. Knows nothing of labels, metrics or Records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from transformers import PreTrainedTokenizerBase

from kit.data.batching import EncodedDataset, sorted_batches
from kit.data.encode import Encoded

BATCH_TOKENS = {"cpu": 1_024, "mps": 16_384, "cuda": 65_536}

Batch = dict[str, torch.Tensor]


@contextmanager
def full_float32() -> Iterator[None]:
    """Multiply float32 numbers as they are: a GPU may otherwise round them to 10 bits first (TF32)."""
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
    """`forward` on every text, (n, width) float32 in the texts' order.

    bf16: multiply matrices in bfloat16, as the steps of training do: for looks while a model is trained, and for what
    is learnt from, as a teacher's logits and a pretrained encoder's vectors are.
    Under several processes each computes a share and all get the whole result. The model's mode is restored.
    """
    state = PartialState()
    device = next(model.parameters()).device
    dataset = EncodedDataset(encoded, None, tokenizer.pad_token_id or 0, tokenizer.padding_side == "left")
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
    """Logits (n, labels), float32. bf16: see `run_batches`."""
    return run_batches(model, encoded, tokenizer, lambda network, batch: network(**batch).logits, bf16)


def embed(
    model: torch.nn.Module, encoded: Encoded, tokenizer: PreTrainedTokenizerBase, bf16: bool = False
) -> np.ndarray:
    """Text vectors (n, hidden), float32, of a model that has `embed` (see models.pooled). bf16: see `run_batches`."""
    return run_batches(model, encoded, tokenizer, lambda network, batch: network.embed(**batch), bf16)  # type: ignore[operator]
