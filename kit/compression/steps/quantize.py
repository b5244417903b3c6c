"""Quantization in torch: linear layers in 8 or 4 bits, or all weights stored in 16 bits.

Linear layers are quantized by torchao (weights, or weights and activations) or bitsandbytes (Dettmers et al. 2022,
arXiv:2208.07339; nf4: Dettmers et al. 2023, arXiv:2305.14314). The head of a classifier is not quantized, nor are the
output layer of a translator and the embedding matrix, which often share their weights.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from torch import nn
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedModel

from kit.compression.aware import Rounding, learn_rounding, require_aware
from kit.compression.base import changed_steps
from kit.errors import ModelError, first_line
from kit.methods import Fitted, Job
from kit.models.architectures.quantization_fixes import leave_odd_layers_unpacked, packs
from kit.models.checkpoints.loading import HEADS, Bits, rounded_on_load
from kit.models.checkpoints.tokenizers import load_tokenizer, quiet
from kit.models.classifier import TransformerPredictor
from kit.models.kinds import form_of
from kit.models.kinds.form import Form
from kit.models.load import load_predictor
from kit.models.predictor import Predictor, Texts
from kit.models.translation.seq2seq import layers_to_round
from kit.models.translation.translator import Translator
from kit.recipe.sections.compression import BitsAndBytesStep, HalfStep, Int8TorchStep
from kit.records.record import Record


class Int8Torch:
    """Quantization of linear layers to 8 bits by torchao."""

    takes = (Form.TORCH, Form.TRANSLATOR, Form.WARM_TRANSLATOR)
    gives = Form.QUANTIZED

    def require(self, step: Int8TorchStep, source: Record | None) -> None:
        """Raise ModelError without torchao, or if the requested training is not possible."""
        _require("torchao", "pip install 'kit[compress]'")
        require_aware(step.aware, source)

    def variants(self, step: Int8TorchStep) -> list[Int8TorchStep]:
        """Return a variant with quantization-aware training."""
        return changed_steps(step, [{"aware": 1.0}])

    def compress(self, step: Int8TorchStep, source: Record, job: Job) -> Fitted:
        """Train if requested, and quantize."""
        from torchao.quantization import Int8DynamicActivationInt8WeightConfig, Int8WeightOnlyConfig
        from transformers import TorchAoConfig

        kind = Int8DynamicActivationInt8WeightConfig if step.activations else Int8WeightOnlyConfig
        config = TorchAoConfig(kind(), modules_to_not_convert=_unquantized_layers(source))
        folder, training = learn_rounding(source, job, Rounding(8, None, step.activations), step.aware)
        return replace(_quantized(folder, job, config), training=training)


class BitsAndBytes:
    """Quantization of linear layers to 8 or 4 bits by bitsandbytes."""

    takes = (Form.TORCH, Form.TRANSLATOR, Form.WARM_TRANSLATOR)
    gives = Form.QUANTIZED

    def require(self, step: BitsAndBytesStep, source: Record | None) -> None:
        """Raise ModelError without bitsandbytes, or for 4 bits if the shape of no layer allows it."""
        _require("bitsandbytes", "pip install bitsandbytes")
        if step.technique == "nf4-bnb" and source is not None:
            layers, _ = _layers(source)
            if not any(map(packs, layers.values())):
                raise ModelError(
                    f"nf4-bnb: no layer of {source.id} has a multiple of 32 rows and of 64 columns, which bitsandbytes "
                    "requires for 4 bits",
                    "use int8-bnb or int8-torch, which quantize layers of any shape",
                )

    def variants(self, step: BitsAndBytesStep) -> list[BitsAndBytesStep]:
        """Return no variants: the step has no settings."""
        return []

    def compress(self, step: BitsAndBytesStep, source: Record, job: Job) -> Fitted:
        """Quantize the weights."""
        bits: Bits = "int8" if step.technique == "int8-bnb" else "nf4"
        return _quantized(source.model_folder, job, rounded_on_load(bits, _unquantized_layers(source, bits)))


class Half:
    """Storage of weights in 16 bits, with computation in float32."""

    takes = (Form.TORCH, Form.TRANSLATOR, Form.WARM_TRANSLATOR)
    gives = Form.HALF

    def require(self, step: HalfStep, source: Record | None) -> None:
        """Do nothing: the step requires only torch."""

    def variants(self, step: HalfStep) -> list[HalfStep]:
        """Return no variants: the step has no settings."""
        return []

    def compress(self, step: HalfStep, source: Record, job: Job) -> Fitted:
        """Round the weights to 16 bits. Raises ModelError if a weight is too large for float16."""
        dtype = torch.float16 if step.technique == "float16" else torch.bfloat16
        predictor = load_predictor(source.model_folder, backend=source.backend)
        assert isinstance(predictor, TransformerPredictor | Translator)
        model = predictor.model.cpu()
        with torch.no_grad():
            for name, tensor in model.state_dict().items():
                if tensor.is_floating_point():
                    tensor.copy_(tensor.to(dtype).to(tensor.dtype))
                    if not torch.isfinite(tensor).all():
                        raise ModelError(f"float16: a weight of {name} is too large for float16", "use bfloat16")
        model.to(PartialState().device)
        return Fitted(_HalfPredictor(predictor, dtype), settings={"device": job.hardware.device})


class _WrappedPredictor:
    """A predictor that returns the outputs of another predictor; subclasses save it differently."""

    def __init__(self, inner: TransformerPredictor | Translator) -> None:
        self.inner = inner

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return self.inner.parameters

    @property
    def depends_on_batch(self) -> bool:
        """True if outputs depend on the other texts of a batch."""
        return self.inner.depends_on_batch

    def outputs(self, texts: Texts) -> np.ndarray:
        """Return the outputs of the inner predictor."""
        return self.inner.outputs(texts)

    def cut(self, texts: Texts) -> np.ndarray:
        """Return the texts that the inner predictor truncates, as an array of booleans."""
        return self.inner.cut(texts)


class _HalfPredictor(_WrappedPredictor):
    """A torch model that computes in float32 and is saved in 16 bits."""

    def __init__(self, inner: TransformerPredictor | Translator, dtype: torch.dtype) -> None:
        super().__init__(inner)
        self.dtype = dtype

    def save(self, folder: Path) -> None:
        """Save the model with its weights in 16 bits."""
        original = self.inner.model.dtype
        self.inner.model.to(self.dtype)  # type: ignore[arg-type]
        self.inner.save(folder)
        self.inner.model.to(original)  # type: ignore[arg-type]


class _SavedPredictor(_WrappedPredictor):
    """A quantized model that is saved to a folder before its first use, and copied from there.

    On processors with AVX512-BF16, bitsandbytes repacks 4-bit weights at their first use, and files that are saved
    afterwards are damaged.
    """

    def __init__(self, inner: TransformerPredictor | Translator, folder: Path) -> None:
        super().__init__(inner)
        self.folder = folder
        if PartialState().is_main_process:
            shutil.rmtree(folder, ignore_errors=True)  # files of a run that was killed
            inner.save(folder)

    def save(self, folder: Path) -> None:
        """Copy the saved files."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)


def _quantized(folder: Path, job: Job, config: Any) -> Fitted:
    """Load the model in a folder with a quantization config of transformers.

    Raises ModelError if that fails.
    """
    loading = {"quantization_config": config, "device_map": job.hardware.device}
    predictor: TransformerPredictor | Translator
    try:
        if form_of(folder) is Form.TORCH:
            predictor = TransformerPredictor(
                _classifier(folder, loading), load_tokenizer(folder), job.recipe.data.max_length
            )
        else:
            predictor = Translator.rounded(folder, **loading)
    except Exception as error:
        raise ModelError(f"the model in {folder} cannot be quantized: {first_line(error)}") from error
    saved: Predictor = _SavedPredictor(predictor, job.workdir / "rounded")
    return Fitted(saved, settings={"device": job.hardware.device})


def _classifier(folder: Path, loading: dict[str, Any]) -> PreTrainedModel:
    with quiet():
        model: PreTrainedModel = AutoModelForSequenceClassification.from_pretrained(
            folder, dtype=torch.float32, trust_remote_code=False, **loading
        )
    leave_odd_layers_unpacked(model)
    model.eval()  # type: ignore[no-untyped-call]
    return model


def _unquantized_layers(source: Record, bits: Bits = "int8") -> list[str]:
    """Return the names of layers to leave unquantized; in 4 bits also those that do not work on every processor."""
    layers, excluded = _layers(source)
    return excluded + [name for name, layer in layers.items() if bits == "nf4" and not packs(layer)]


def _layers(source: Record) -> tuple[dict[str, nn.Linear], list[str]]:
    """Return the linear layers to quantize, by name and without weights, and the names of excluded layers."""
    folder = source.model_folder
    if form_of(folder) is not Form.TORCH:
        return layers_to_round(folder)
    with quiet(), torch.device("meta"):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        model = AutoModelForSequenceClassification.from_config(config)  # type: ignore[no-untyped-call]
    layers = {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    return {name: layer for name, layer in layers.items() if not set(name.split(".")) & set(HEADS)}, list(HEADS)


def _require(package: str, command: str) -> None:
    if find_spec(package) is None:
        raise ModelError(f"{package} is not installed", command)
