"""Quantization within torch: linear layers in 8 or 4 bits, or all weights stored in 16.

torchao (weights alone, or activations too) and bitsandbytes (Dettmers et al. 2022, arXiv:2208.07339; nf4: Dettmers et
al. 2023, arXiv:2305.14314). The head stays as it is.

Knows the libraries' configurations. Knows nothing of chains.
"""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from kit.compression.aware import Rounding, learn_rounding, require_aware
from kit.compression.base import others
from kit.errors import ModelError, first_line
from kit.methods import Fitted, Job
from kit.models.kind import Kind
from kit.models.load import HEADS, load_tokenizer, quiet, rounded_on_load
from kit.models.predictor import Texts, TransformerPredictor, load_predictor
from kit.models.translator import Translator
from kit.recipe.compressing import BitsAndBytesStep, HalfStep, Int8TorchStep
from kit.record import Record


class Int8Torch:
    """Linear layers in 8 bits by torchao."""

    takes = (Kind.TORCH,)
    gives = Kind.QUANTIZED

    def require(self, step: Int8TorchStep, source: Record | None) -> None:
        """Torchao."""
        _require("torchao", "pip install 'kit[compress]'")
        require_aware(step.aware, source)

    def variants(self, step: Int8TorchStep) -> list[Int8TorchStep]:
        """Learn the rounding."""
        return others(step, [{"aware": 1.0}])

    def compress(self, step: Int8TorchStep, source: Record, job: Job) -> Fitted:
        """Round the weights."""
        from torchao.quantization import Int8DynamicActivationInt8WeightConfig, Int8WeightOnlyConfig
        from transformers import TorchAoConfig

        kind = Int8DynamicActivationInt8WeightConfig if step.activations else Int8WeightOnlyConfig
        config = TorchAoConfig(kind(), modules_to_not_convert=list(HEADS))
        folder, training = learn_rounding(source, job, Rounding(8, None, step.activations), step.aware)
        return replace(_loaded(folder, job, config), training=training)


class BitsAndBytes:
    """Linear layers in 8 or 4 bits by bitsandbytes."""

    takes = (Kind.TORCH,)
    gives = Kind.QUANTIZED

    def require(self, step: BitsAndBytesStep, source: Record | None) -> None:
        """bitsandbytes, which is one of kit's own requirements."""
        _require("bitsandbytes", "pip install bitsandbytes")

    def variants(self, step: BitsAndBytesStep) -> list[BitsAndBytesStep]:
        """None."""
        return []

    def compress(self, step: BitsAndBytesStep, source: Record, job: Job) -> Fitted:
        """Round the weights."""
        return _loaded(source.model_folder, job, rounded_on_load("int8" if step.technique == "int8-bnb" else "nf4"))


class Half:
    """Weights stored in 16 bits; they are computed with in float32."""

    takes = (Kind.TORCH, Kind.TRANSLATOR, Kind.WARM_TRANSLATOR)
    gives = Kind.HALF

    def require(self, step: HalfStep, source: Record | None) -> None:
        """Nothing beside torch."""

    def variants(self, step: HalfStep) -> list[HalfStep]:
        """None."""
        return []

    def compress(self, step: HalfStep, source: Record, job: Job) -> Fitted:
        """Round the weights. Raises ModelError if one is too large for float16."""
        dtype = torch.float16 if step.technique == "float16" else torch.bfloat16
        predictor = load_predictor(source.model_folder)
        assert isinstance(predictor, TransformerPredictor | Translator)
        model = predictor.model.cpu()
        with torch.no_grad():
            for name, tensor in model.state_dict().items():
                if tensor.is_floating_point():
                    tensor.copy_(tensor.to(dtype).to(tensor.dtype))
                    if not torch.isfinite(tensor).all():
                        raise ModelError(f"float16: a weight of {name} is too large for it", "use bfloat16")
        model.to(PartialState().device)
        return Fitted(_Halved(predictor, dtype), settings={"device": job.hardware.device})


class _Halved:
    """A model of torch that is saved in another format than it is computed in."""

    def __init__(self, model: TransformerPredictor | Translator, dtype: torch.dtype) -> None:
        self.whole, self.dtype = model, dtype

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return self.whole.parameters

    @property
    def depends_on_batch(self) -> bool:
        """As the model's."""
        return self.whole.depends_on_batch

    def outputs(self, texts: Texts) -> np.ndarray:
        """The model's."""
        return self.whole.outputs(texts)

    def save(self, folder: Path) -> None:
        """As ever, with the weights in 16 bits."""
        original = self.whole.model.dtype
        self.whole.model.to(self.dtype)  # type: ignore[arg-type]
        self.whole.save(folder)
        self.whole.model.to(original)  # type: ignore[arg-type]


def _loaded(folder: Path, job: Job, config: Any) -> Fitted:
    """The model in a folder, its linear layers rounded as a quantization config of transformers says."""
    try:
        with quiet():
            model: PreTrainedModel = AutoModelForSequenceClassification.from_pretrained(
                folder,
                quantization_config=config,
                dtype=torch.float32,
                device_map=job.hardware.device,
                trust_remote_code=False,
            )
    except Exception as error:
        raise ModelError(f"the model in {folder} cannot be quantized: {first_line(error)}") from error
    model.eval()  # type: ignore[no-untyped-call]
    tokenizer = load_tokenizer(folder)
    return Fitted(
        TransformerPredictor(model, tokenizer, job.recipe.data.max_length), settings={"device": job.hardware.device}
    )


def _require(package: str, how: str) -> None:
    if find_spec(package) is None:
        raise ModelError(f"{package} is not installed", how)
