"""Quantization-aware training: train a classifier with simulated quantization before it is quantized.

Weights and activations are quantized and dequantized in every forward pass, and gradients ignore the rounding (Jacob et
al. 2018, arXiv:1712.05877), by torchao. The model before the training is the teacher.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from torch import nn
from transformers import PreTrainedModel

from kit.compression.recover import recover
from kit.distillation.teacher import checkpoint_of, resolve_teacher
from kit.errors import ModelError
from kit.methods import Job
from kit.methods.base import CheckpointJob
from kit.methods.encoders.encoder import encode_budget
from kit.models.checkpoints.loading import HEADS, load_classifier
from kit.models.classifier import TransformerPredictor
from kit.models.kinds import form_of
from kit.models.kinds.form import Form
from kit.records.record import Record
from kit.training.interfaces import Training

_LEARNING_RATE = 5.0e-5  # peak; weights only have to move by about one quantization step


@dataclass(frozen=True)
class Rounding:
    """Quantization to simulate.

    Args:
        bits: Bits of the weights of linear layers, 4 or 8.
        block: Number of weights of a row that share a scale; None for one scale per row.
        activations: Quantize activations to 8 bits, with one range per token.
        table: Bits of the embedding matrix, with one scale per row; None leaves the matrix unchanged.
    """

    bits: int
    block: int | None
    activations: bool
    table: int | None = None


def learn_rounding(source: Record, job: Job, rounding: Rounding, epochs: float) -> tuple[Path, Training | None]:
    """Train the source's model with simulated quantization.

    Args:
        source: Record of the classifier.
        job: Recipe, task and data of the source.
        rounding: Quantization to simulate.
        epochs: Passes over the texts of budget and pool; 0 skips the training.

    Returns:
        Folder of the trained model, in float32, which exists until the run is finished, and the result of the training.
        With 0 epochs the source's own folder, and None.

    Raises:
        ModelError: The model cannot be trained so, see `require_aware`.
    """
    if not epochs:
        return source.model_folder, None
    require_aware(epochs, source)
    folder = job.workdir / "aware"
    start = CheckpointJob.starting_from(checkpoint_of(source), job)
    model = load_classifier(source.model_folder)
    budget = encode_budget(start)
    with _simulated(model, rounding):
        training = recover(model, resolve_teacher(str(source.folder)), budget, start, epochs, _LEARNING_RATE)
    model.cpu().eval()  # type: ignore[no-untyped-call]
    state = PartialState()
    if state.is_main_process:
        TransformerPredictor(model, budget.tokenizer, job.recipe.data.max_length).save(folder)
    state.wait_for_everyone()
    return folder, training


def require_aware(epochs: float, source: Record | None) -> None:
    """Raise ModelError if training is requested (`epochs` > 0) without torchao, or for a graph or a translator."""
    if not epochs:
        return
    if find_spec("torchao") is None:
        raise ModelError("aware: torchao is not installed", "pip install 'kit[compress]'")
    kind = None if source is None else form_of(source.model_folder, source.backend)
    if kind is Form.ONNX:
        raise ModelError("aware: a graph cannot be trained", "apply this step to the model that the graph was made of")
    if kind in (Form.TRANSLATOR, Form.WARM_TRANSLATOR):
        raise ModelError(
            "aware: quantization-aware training is for classifiers; a translator is quantized as it is",
            "leave `aware` out; if quantization loses too much, float16 loses next to nothing",
        )


@contextmanager
def _simulated(model: PreTrainedModel, rounding: Rounding) -> Iterator[None]:
    """Quantize weights, activations and embeddings in every forward pass until the context ends."""
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
        # Each row has its own scale, so quantizing the rows of a batch is the same as quantizing the whole matrix.
        hook = table.register_forward_hook(lambda _, __, vectors: rows(vectors.flatten(0, 1)).view_as(vectors))
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
    """Return True for linear layers with this number of inputs, except the head."""
    return isinstance(module, nn.Linear) and module.in_features == width and name.rpartition(".")[2] not in HEADS
