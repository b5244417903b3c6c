"""Time of a forward pass on this machine, estimated from a few training steps."""

from __future__ import annotations

import time
from collections.abc import Sequence
from statistics import mean, median

import numpy as np
import torch
from accelerate import PartialState
from transformers import PreTrainedModel

from kit.data.batching import LengthSampler
from kit.measurement.durations import Span
from kit.measurement.load import LoadMeter
from kit.training.cpu_kernels import fast_training
from kit.training.hardware import coarse_float32
from kit.training.interfaces import Lessons

_BATCHES = 3  # short, medium and long
_MAX_ROUNDS, _MAX_SECONDS = 8, 1.0  # over these batches
_OPTIMIZER_FACTOR = 1.1  # time of a step in multiples of its forward and backward pass


def seconds_a_pass(model: PreTrainedModel, lessons: Lessons, batch_size: int, bf16: bool) -> Span:
    """Return the time of one example's forward pass: a third of its share of a training step.

    An unmeasured step comes first, for one-off costs. The weights do not change.

    Args:
        model: Model as it would be trained, with frozen weights and adapters.
        lessons: Training examples.
        batch_size: Examples per pass.
        bf16: Compute in bfloat16.
    """
    model.to(PartialState().device)
    model.train()
    batches = _typical_batches(lessons, batch_size)
    meter = LoadMeter(torch.get_num_threads())
    _step(model, lessons, batches[-1], bf16=bf16)
    rounds: list[list[float]] = []
    began = time.perf_counter()
    while not rounds or (len(rounds) < _MAX_ROUNDS and time.perf_counter() - began < _MAX_SECONDS):
        rounds.append([_step(model, lessons, batch, bf16=bf16) / len(batch) for batch in batches])
    others = meter.lap()
    warning = ""
    if others is not None and meter.is_busy(others):
        warning = f"the machine is busy (other processes use {others:.1f} of {meter.cores} cores): it may be far less"
    return pass_span(rounds, warning)


def pass_span(rounds: Sequence[Sequence[float]], warning: str = "") -> Span:
    """Return the time of one example's forward pass.

    Args:
        rounds: Per round, the seconds per example of a step on each batch.
        warning: Shown with the time.
    """
    batch_times = list(zip(*rounds, strict=True))
    share = _OPTIMIZER_FACTOR / 3
    middle, low, high = (share * mean(statistic(times) for times in batch_times) for statistic in (median, min, max))
    return Span.around(middle, low, high, warning=warning)


def _typical_batches(lessons: Lessons, batch_size: int) -> list[np.ndarray]:
    """Return one short, one medium and one long batch, whose mean length is about that of all batches."""
    order = np.fromiter(LengthSampler(lessons.sizes, batch_size), np.int64)
    batches = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
    by_length = sorted(batches, key=lambda batch: int(lessons.sizes[batch].max()))
    return [by_length[len(by_length) * k // (_BATCHES + 1)] for k in range(1, _BATCHES + 1)]


def _step(model: PreTrainedModel, lessons: Lessons, indices: np.ndarray, bf16: bool) -> float:
    """Return the seconds of one forward and backward pass of a batch."""
    device = PartialState().device
    batch = {name: tensor.to(device) for name, tensor in lessons.collate(indices.tolist()).items()}
    batch.pop("labels", None)
    began = time.perf_counter()
    with coarse_float32(device.type), torch.autocast(device.type, torch.bfloat16, enabled=bf16), fast_training(device):
        model(**batch).logits.float().sum().backward()
    if device.type == "cuda":
        torch.cuda.synchronize()
    seconds = time.perf_counter() - began
    model.zero_grad()
    return seconds
