"""Quantization within torch: linear layers in 8 or 4 bits, or all weights stored in 16.

torchao (weights alone, or activations too) and bitsandbytes (Dettmers et al. 2022, arXiv:2208.07339; nf4: Dettmers et
al. 2023, arXiv:2305.14314). A classifier's head stays as it is; so do a translator's output layer and the table of
embeddings, whose weights it often shares.

Knows the libraries' configurations. Knows nothing of chains.
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
from kit.compression.base import others
from kit.errors import ModelError, first_line
from kit.methods import Fitted, Job
from kit.models.architectures.quantization_fixes import leave_odd_layers_unpacked, packs
from kit.models.checkpoints.loading import HEADS, Bits, load_tokenizer, quiet, rounded_on_load
from kit.models.predictor import Predictor, Texts, TransformerPredictor, load_predictor
from kit.models.saved_kind import Kind, kind_of
from kit.models.translation.seq2seq import layers_to_round
from kit.models.translation.translator import Translator
from kit.recipe.sections.compression import BitsAndBytesStep, HalfStep, Int8TorchStep
from kit.records.record import Record


class Int8Torch:
    """Linear layers in 8 bits by torchao."""

    takes = (Kind.TORCH, Kind.TRANSLATOR, Kind.WARM_TRANSLATOR)
    gives = Kind.QUANTIZED

    def require(self, step: Int8TorchStep, source: Record | None) -> None:
        """Torchao; to learn the rounding, a classifier."""
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
        config = TorchAoConfig(kind(), modules_to_not_convert=_kept(source))
        folder, training = learn_rounding(source, job, Rounding(8, None, step.activations), step.aware)
        return replace(_rounded(folder, job, config), training=training)


class BitsAndBytes:
    """Linear layers in 8 or 4 bits by bitsandbytes."""

    takes = (Kind.TORCH, Kind.TRANSLATOR, Kind.WARM_TRANSLATOR)
    gives = Kind.QUANTIZED

    def require(self, step: BitsAndBytesStep, source: Record | None) -> None:
        """bitsandbytes, which is one of kit's own requirements; for 4 bits, layers that divide."""
        _require("bitsandbytes", "pip install bitsandbytes")
        if step.technique == "nf4-bnb" and source is not None:
            layers, _ = _layers(source)
            if not any(map(packs, layers.values())):
                raise ModelError(
                    f"nf4-bnb: no layer of {source.id} has rows by 32 and columns by 64, in which bitsandbytes packs 4 "
                    "bits",
                    "take int8-bnb or int8-torch, which round layers of any shape",
                )

    def variants(self, step: BitsAndBytesStep) -> list[BitsAndBytesStep]:
        """None."""
        return []

    def compress(self, step: BitsAndBytesStep, source: Record, job: Job) -> Fitted:
        """Round the weights."""
        bits: Bits = "int8" if step.technique == "int8-bnb" else "nf4"
        return _rounded(source.model_folder, job, rounded_on_load(bits, _kept(source, bits)))


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
        predictor = load_predictor(source.model_folder, backend=source.backend)
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


class _Same:
    """Answers as another does."""

    def __init__(self, whole: TransformerPredictor | Translator) -> None:
        self.whole = whole

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

    def cut(self, texts: Texts) -> np.ndarray:
        """The model's."""
        return self.whole.cut(texts)


class _Halved(_Same):
    """A model of torch that is saved in another format than it is computed in."""

    def __init__(self, whole: TransformerPredictor | Translator, dtype: torch.dtype) -> None:
        super().__init__(whole)
        self.dtype = dtype

    def save(self, folder: Path) -> None:
        """As ever, with the weights in 16 bits."""
        original = self.whole.model.dtype
        self.whole.model.to(self.dtype)  # type: ignore[arg-type]
        self.whole.save(folder)
        self.whole.model.to(original)  # type: ignore[arg-type]


class _Written(_Same):
    """A model whose files are those that were written before it answered anything.

    bitsandbytes packs 4-bit weights anew when they are first used, on processors with AVX512-BF16, and what it saves
    after that is damaged.
    """

    def __init__(self, whole: TransformerPredictor | Translator, folder: Path) -> None:
        super().__init__(whole)
        self.folder = folder
        if PartialState().is_main_process:
            shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
            whole.save(folder)

    def save(self, folder: Path) -> None:
        """A copy of them."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)


def _rounded(folder: Path, job: Job, config: Any) -> Fitted:
    """The model in a folder, its linear layers rounded as a quantization config of transformers says."""
    rounding = {"quantization_config": config, "device_map": job.hardware.device}
    whole: TransformerPredictor | Translator
    try:
        if kind_of(folder) is Kind.TORCH:
            whole = TransformerPredictor(
                _classifier(folder, rounding), load_tokenizer(folder), job.recipe.data.max_length
            )
        else:
            whole = Translator.rounded(folder, **rounding)
    except Exception as error:
        raise ModelError(f"the model in {folder} cannot be quantized: {first_line(error)}") from error
    written: Predictor = _Written(whole, job.workdir / "rounded")
    return Fitted(written, settings={"device": job.hardware.device})


def _classifier(folder: Path, rounding: dict[str, Any]) -> PreTrainedModel:
    with quiet():
        model: PreTrainedModel = AutoModelForSequenceClassification.from_pretrained(
            folder, dtype=torch.float32, trust_remote_code=False, **rounding
        )
    leave_odd_layers_unpacked(model)
    model.eval()  # type: ignore[no-untyped-call]
    return model


def _kept(source: Record, bits: Bits = "int8") -> list[str]:
    """Layers that are not rounded: in 4 bits also those that could not be used on every processor."""
    layers, kept = _layers(source)
    return kept + [name for name, layer in layers.items() if bits == "nf4" and not packs(layer)]


def _layers(source: Record) -> tuple[dict[str, nn.Linear], list[str]]:
    """Linear layers, without weights, that may be rounded; and names of what must not be."""
    folder = source.model_folder
    if kind_of(folder) is not Kind.TORCH:
        return layers_to_round(folder)
    with quiet(), torch.device("meta"):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        model = AutoModelForSequenceClassification.from_config(config)  # type: ignore[no-untyped-call]
    layers = {name: part for name, part in model.named_modules() if isinstance(part, nn.Linear)}
    return {name: part for name, part in layers.items() if not set(name.split(".")) & set(HEADS)}, list(HEADS)


def _require(package: str, how: str) -> None:
    if find_spec(package) is None:
        raise ModelError(f"{package} is not installed", how)
