"""How long an example takes here, from a few training steps that are measured.

Knows models and batches. Knows nothing of recipes.
"""

from __future__ import annotations

import time

import numpy as np
import torch
from accelerate import PartialState
from transformers import PreTrainedModel

from kit.data.batching import LengthSampler
from kit.training.fitting import Lessons
from kit.training.hardware import coarse_float32
from kit.training.quick import quick_on

_TIMED_STEPS = 2  # after one to warm up
_OPTIMIZER = 1.1  # a step takes this many times its forward and backward passes


def seconds_a_pass(model: PreTrainedModel, lessons: Lessons, batch_size: int, bf16: bool) -> float:
    """Seconds of one example's forward pass: a third of its share in a training step. The weights do not change.

    model: as it would be trained, with its frozen weights and adapters. batch_size: examples in one pass.
    """
    device = PartialState().device
    model.to(device)
    model.train()
    order = np.fromiter(LengthSampler(lessons.sizes, batch_size), np.int64)
    batches = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
    by_length = sorted(batches, key=lambda batch: int(lessons.sizes[batch].max()))
    typical = [by_length[len(by_length) * k // (_TIMED_STEPS + 2)] for k in range(1, _TIMED_STEPS + 2)]
    each = []
    for indices in typical:
        batch = {name: tensor.to(device) for name, tensor in lessons.collate(indices.tolist()).items()}
        batch.pop("labels", None)
        began = time.perf_counter()
        fast = coarse_float32(device.type)
        with fast, torch.autocast(device.type, torch.bfloat16, enabled=bf16), quick_on(device):
            model(**batch).logits.float().sum().backward()
        if device.type == "cuda":
            torch.cuda.synchronize()
        each.append((time.perf_counter() - began) / len(indices))
        model.zero_grad()
    return float(np.mean(each[1:])) * _OPTIMIZER / 3
