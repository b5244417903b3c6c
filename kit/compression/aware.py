"""Quantization-aware learning: a model learns with its rounding simulated, so that rounding costs less afterwards.

Weights and activations are rounded and put back into float32 in every forward pass; gradients pass as if they were not
(Jacob et al. 2018, arXiv:1712.05877), by torchao. The model as it was is the teacher.

Knows torchao's simulation. Knows nothing of the formats that the model is rounded to afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from torch import nn
from transformers import PreTrainedModel

from kit.compression.recover import recover
from kit.distillation.teacher import resolve_teacher
from kit.errors import ModelError
from kit.methods import Job
from kit.methods.classification.encoder import encode_budget
from kit.models.checkpoints.loading import HEADS, load_classifier
from kit.models.predictor import TransformerPredictor
from kit.models.saved_kind import Kind, kind_of
from kit.records.record import Record
from kit.training.interfaces import Training

_RATE = 5.0e-5  # peak; weights only have to move by about the width of a rounding step


@dataclass(frozen=True)
class Rounding:
    """What is simulated. block: weights of a row that share a scale, None for all of it.

    activations: in 8 bits, each token by its own range. table: bits of the table of embeddings, whose rows have a scale
    each; None leaves it alone.
    """

    bits: int
    block: int | None
    activations: bool
    table: int | None = None


def learn_rounding(source: Record, job: Job, rounding: Rounding, epochs: float) -> tuple[Path, Training | None]:
    """A folder with the source's model after learning with its rounding simulated, still in float32; and how that went.

    The folder goes when the run is finished. Raises ModelError, see `require_aware`.
    """
    if not epochs:
        return source.model_folder, None
    require_aware(epochs, source)
    folder = job.workdir / "aware"
    teacher = resolve_teacher(str(source.folder))
    assert teacher.checkpoint is not None
    job = replace(job, checkpoint=teacher.checkpoint)
    model = load_classifier(source.model_folder)
    budget = encode_budget(job)
    with _simulated(model, rounding):
        training = recover(model, teacher, budget, job, epochs, _RATE)
    model.cpu().eval()  # type: ignore[no-untyped-call]
    state = PartialState()
    if state.is_main_process:
        TransformerPredictor(model, budget.tokenizer, job.recipe.data.max_length).save(folder)
    state.wait_for_everyone()
    return folder, training


def require_aware(epochs: float, source: Record | None) -> None:
    """Raise ModelError where rounding is to be learnt and cannot be: no torchao, or the source is a graph or writes."""
    if not epochs:
        return
    if find_spec("torchao") is None:
        raise ModelError("aware: torchao is not installed", "pip install 'kit[compress]'")
    kind = None if source is None else kind_of(source.model_folder, source.backend)
    if kind is Kind.ONNX:
        raise ModelError("aware: a graph cannot learn", "take this step on the model that the graph was made of")
    if kind in (Kind.TRANSLATOR, Kind.WARM_TRANSLATOR):
        raise ModelError(
            "aware: what it learns from is a classifier's answers; a translator is rounded as it is",
            "leave `aware` out; where rounding costs too much, float16 costs next to nothing",
        )


@contextmanager
def _simulated(model: PreTrainedModel, rounding: Rounding) -> Iterator[None]:
    """Round weights, activations and rows of the table in every forward pass, until the context ends."""
    from torchao.quantization import quantize_
    from torchao.quantization.qat import IntxFakeQuantizeConfig, IntxFakeQuantizer, QATConfig
    from torchao.quantization.qat.linear import FakeQuantizedLinear

    activations = IntxFakeQuantizeConfig(torch.int8, "per_token", is_symmetric=False) if rounding.activations else None
    for width in {module.in_features for module in model.modules() if isinstance(module, nn.Linear)}:
        weights = _weights(rounding.bits, rounding.block, width)
        config = QATConfig(activation_config=activations, weight_config=weights, step="prepare")
        quantize_(model, config, partial(_is_inner, width))
    table = model.get_input_embeddings()
    hook = None
    if rounding.table is not None and isinstance(table, nn.Embedding):
        rows = IntxFakeQuantizer(_weights(rounding.table, None, table.embedding_dim))
        # Each row has its scale: rounding the rows that a batch asks for is rounding the table.
        hook = table.register_forward_hook(lambda _, __, found: rows(found.flatten(0, 1)).view_as(found))
    try:
        yield
    finally:
        if hook is not None:
            hook.remove()
        for module in list(model.modules()):
            for name, child in list(module.named_children()):
                if isinstance(child, FakeQuantizedLinear):
                    setattr(module, name, child.to_linear())


def _weights(bits: int, block: int | None, width: int) -> Any:
    from torchao.quantization.qat import IntxFakeQuantizeConfig

    kind = {8: torch.int8, 4: torch.int4}[bits]  # type: ignore[attr-defined]
    if block is None or width % block:
        return IntxFakeQuantizeConfig(kind, "per_channel", is_symmetric=True)
    return IntxFakeQuantizeConfig(kind, group_size=block, is_symmetric=True)


def _is_inner(width: int, module: nn.Module, name: str) -> bool:
    """Whether a module is a linear layer of this width that is rounded: any but the head's."""
    return isinstance(module, nn.Linear) and module.in_features == width and name.rpartition(".")[2] not in HEADS
