"""Check: everything a run would do, without doing it.

Knows requests and plans. Trains nothing and writes nothing but caches.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kit.files import require_writable
from kit.recipe import Recipe
from kit.request import understand

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from kit.data import Prepared
    from kit.data.encode import Encoded
    from kit.models.checkpoint import Checkpoint
    from kit.training.plan import Plan

_TIMED_STEPS = 2  # after one to warm up


@dataclass(frozen=True)
class Preview:
    """rows: (name, value) for people. warnings: what the audit found worth saying. finished: the run exists already."""

    run_id: str
    rows: list[tuple[str, str]]
    warnings: list[str]
    finished: bool


def check(recipe: Recipe) -> Preview:
    """Load and audit the data, draw the budget, check the checkpoint, time a few steps.

    Raises KitError like a run would.
    """
    from kit.record import RECORD_FILE

    require_writable(Path(recipe.runs))
    request = understand(recipe)
    run_id, data = request.id, request.data
    rows = [("run", run_id), *_data_rows(data)]
    if request.checkpoint is not None:
        rows += _model_rows(request.recipe, data, request.checkpoint)
    finished = (Path(recipe.runs) / run_id / RECORD_FILE).is_file()
    rows.append(
        (
            "Record",
            f"{recipe.runs}/{run_id} " + ("(finished: a run would return it)" if finished else "(new)"),
        )
    )
    return Preview(run_id, rows, data.audit.warnings(), finished)


def _data_rows(data: Prepared) -> list[tuple[str, str]]:
    shown = ", ".join(data.labels[:6]) + (f", ... ({len(data.labels)} in all)" if len(data.labels) > 6 else "")
    budget = len(data.train) + len(data.validation)
    return [
        ("data", data.splits.description),
        ("columns", f"text: {' + '.join(data.splits.text_columns)}; label: {data.splits.label_column}"),
        ("labels", shown),
        ("budget", f"{budget} labelled examples: {len(data.train)} train, {len(data.validation)} validation"),
        ("pool", f"{len(data.pool)} examples outside the budget"),
        ("test", f"{len(data.test)} examples"),
    ]


def _model_rows(recipe: Recipe, data: Prepared, checkpoint: Checkpoint) -> list[tuple[str, str]]:
    from kit.data.encode import encode
    from kit.models.load import Head, Init, build_classifier, freeze_embeddings, load_tokenizer, require_positions
    from kit.training.hardware import set_up_hardware
    from kit.training.plan import make_plan
    from kit.training.trainer import TRAIN_SAMPLE

    hardware = set_up_hardware(recipe.train.precision)
    init: Init = "scratch" if recipe.method == "scratch" else "pretrained"
    head = Head(data.labels, data.multi_label)
    model = build_classifier(checkpoint, head, init, recipe.model.pooling, recipe.train.dropout)
    require_positions(model, recipe.data.max_length)
    tokenizer = load_tokenizer(checkpoint.folder)
    encoded = encode(data.train.texts, tokenizer, recipe.data.max_length, checkpoint.tokenizer_sha256)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    rows = [
        ("checkpoint", f"{checkpoint.name} ({parameters / 1e6:.1f} M parameters)"),
        ("pooling", "native head" if recipe.model.pooling == "native" else recipe.model.pooling),
        ("tokens", f"mean {encoded.lengths.mean():.0f}, longest {encoded.lengths.max()}; "
                   f"{encoded.truncated.mean():.1%} of the texts are cut at {recipe.data.max_length}"),
        ("hardware", f"{hardware.device}, {hardware.precision}, {hardware.threads} threads"),
    ]  # fmt: skip
    if recipe.method == "probe":
        return rows
    if recipe.train.freeze_embeddings:
        freeze_embeddings(model)
    plan = make_plan(recipe.train, len(encoded))
    step_seconds = _seconds_a_step(recipe, model, encoded, tokenizer, plan, hardware.bf16)
    steps = f"{plan.steps} steps of {plan.batch_size} examples: {plan.epochs:g} epochs"
    rows.append(("training", f"{steps}, learning rate {plan.learning_rate:g}"))
    training_seconds = plan.steps * step_seconds
    if recipe.train.refit:
        rows.append(("then", "once more on the whole budget, validation examples included"))
        training_seconds *= 2
    pauses = 1 + math.ceil(plan.steps / plan.evaluate_every) if len(data.validation) else 0
    answered = len(data.test) + pauses * (len(data.validation) + min(len(data.train), TRAIN_SAMPLE))
    # A forward pass is a third of a step's arithmetic.
    seconds = training_seconds + answered * step_seconds / plan.batch_size / 3
    rows.append(("estimated time", _duration(seconds)))
    return rows


def _seconds_a_step(
    recipe: Recipe,
    model: PreTrainedModel,
    encoded: Encoded,
    tokenizer: PreTrainedTokenizerBase,
    plan: Plan,
    bf16: bool,
) -> float:
    """Forward, backward and a tenth more (the optimizer) on typical batches; the weights do not change."""
    import torch
    from accelerate import PartialState

    from kit.data.batching import EncodedDataset, LengthSampler
    from kit.methods.lora import add_adapters

    if recipe.method == "lora":
        model = add_adapters(model, recipe.lora)
    device = PartialState().device
    model.to(device)
    model.train()
    dataset = EncodedDataset(encoded, None, tokenizer.pad_token_id or 0, tokenizer.padding_side == "left")
    order = np.fromiter(LengthSampler(encoded.lengths, plan.device_batch), np.int64)
    batches = [order[i : i + plan.device_batch] for i in range(0, len(order), plan.device_batch)]
    by_length = sorted(batches, key=lambda batch: int(encoded.lengths[batch].max()))
    typical = [by_length[len(by_length) * k // (_TIMED_STEPS + 2)] for k in range(1, _TIMED_STEPS + 2)]
    times = []
    for indices in typical:
        batch = {name: tensor.to(device) for name, tensor in dataset.collate(indices.tolist()).items()}
        began = time.perf_counter()
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            model(**batch).logits.float().sum().backward()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
        model.zero_grad()
    return float(np.mean(times[1:])) * plan.accumulation * 1.1


def _duration(seconds: float) -> str:
    return f"about {seconds:.0f} s" if seconds < 90 else f"about {seconds / 60:.0f} min"
