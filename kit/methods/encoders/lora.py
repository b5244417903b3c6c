"""LoRA: low-rank updates of frozen weights (Hu et al. 2021, arXiv:2106.09685), by peft.

The Record contains the merged model, which loads like any other, and the adapter in a folder beside it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from accelerate import PartialState
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel

from kit.errors import ModelError, VerificationError
from kit.measurement.logits import largest_change
from kit.methods.base import FinetuneJob, Fitted
from kit.methods.encoders.encoder import new_predictor
from kit.methods.encoders.finetune import pretrained_classifier, train_on_budget
from kit.models.checkpoints.loading import resolve_pooling
from kit.models.checkpoints.tokenizers import quiet
from kit.models.classifier import TransformerPredictor
from kit.models.inference import predict_logits
from kit.recipe.sections.methods import LoraSection
from kit.runtime.quiet_libraries import without_warnings

ADAPTER = "adapter"
_ADAPTER_FILE, _ADAPTER_PREFIX = "adapter_model.safetensors", "base_model.model."
_MERGE_SAMPLE = 64  # training examples to compare logits on before and after merging
MERGE_TOLERANCE = 1e-3  # maximum change of a logit by merging; float32 rounding gives about 1e-5


class Lora:
    """Training of adapters on the encoder's linear layers, and of the whole head."""

    name = "lora"
    needs_checkpoint = True

    def pooling(self, folder: Path, wanted: str) -> str | None:
        """Return the pooling that the recipe or the checkpoint specifies."""
        return resolve_pooling(folder, wanted)

    def fit(self, job: FinetuneJob) -> Fitted:
        """Train adapters and head, merge the adapters, and check that merging does not change the logits.

        Raises VerificationError if it does.
        """
        lora = job.recipe.lora
        bits = None if lora.load == "float32" else lora.load
        trained = train_on_budget(
            job, lambda: pretrained_classifier(job, bits=bits), lambda model: add_adapters(model, lora)
        )
        wrapped, budget, settings = trained.model, trained.budget, dict(trained.settings)
        sample = budget.train.encoded.take(np.arange(min(_MERGE_SAMPLE, len(budget.train.targets))))
        before = predict_logits(wrapped, sample, budget.tokenizer)
        adapter = job.workdir / ADAPTER
        if PartialState().is_main_process:
            with quiet():
                wrapped.save_pretrained(adapter)
        PartialState().wait_for_everyone()
        if bits is not None:
            quantized, wrapped = before, _with_float32_weights(job, adapter)
            before = predict_logits(wrapped, sample, budget.tokenizer)
            settings["change_without_rounding"] = float(np.abs(before - quantized).max())
        merged = wrapped.merge_and_unload()  # type: ignore[operator]
        after = predict_logits(merged, sample, budget.tokenizer)
        change = largest_change(after, before)
        if not change <= MERGE_TOLERANCE:
            raise VerificationError(
                f"merging the LoRA adapter changed a logit by {change:.2g}",
                "train with `train.precision: fp32`",
            )
        plain = new_predictor(job, merged, budget.tokenizer)
        predictor = LoraPredictor(plain, adapter)
        return Fitted(predictor, trained.training, settings, budget.truncation, held_out=trained.held_out)


def _with_float32_weights(job: FinetuneJob, adapter: Path) -> PreTrainedModel:
    """Load the checkpoint in float32 with adapters and head that were trained on its quantized weights."""
    model = pretrained_classifier(job)
    model.to(PartialState().device)
    with quiet():
        from peft import PeftModel

        wrapped: PreTrainedModel = PeftModel.from_pretrained(model, str(adapter))  # type: ignore[assignment]
    return wrapped


class LoraPredictor(TransformerPredictor):
    """The merged model, which also saves the adapter."""

    def __init__(self, merged: TransformerPredictor, adapter: Path) -> None:
        super().__init__(merged.model, merged.tokenizer, merged.max_length, merged.tokenizer_key)
        self.adapter = adapter

    def divide_logits(self, temperature: np.ndarray) -> bool:
        """Divide the logits of the merged model, and of the adapter."""
        divided = super().divide_logits(temperature)
        if divided and PartialState().is_main_process:
            _copy_head(self.model, self.adapter / _ADAPTER_FILE)
        return divided

    def save(self, folder: Path) -> None:
        """Save the merged model, and move the adapter to a folder inside."""
        super().save(folder)
        self.adapter.rename(folder / ADAPTER)


def _copy_head(model: PreTrainedModel, file: Path) -> None:
    """Replace the head in the file of an adapter by that of a model."""
    weights = model.state_dict()
    tensors = load_file(file)
    for name in tensors:
        inner = name.removeprefix(_ADAPTER_PREFIX)
        if inner in weights:
            tensors[name] = weights[inner].detach().cpu().to(tensors[name].dtype).contiguous()
    save_file(tensors, file, metadata={"format": "pt"})


def add_adapters(model: PreTrainedModel, lora: LoraSection) -> PreTrainedModel:
    """Wrap a classifier to train only adapters and the head. Raises ModelError for unknown targets."""
    targets = lora.targets if isinstance(lora.targets, str) else list(lora.targets)
    return with_adapters(model, lora, targets, task_type="SEQ_CLS", modules_to_save=["classifier"])


def with_adapters(
    model: PreTrainedModel, lora: LoraSection, targets: str | list[str], **settings: Any
) -> PreTrainedModel:
    """Wrap a model to train only adapters of the target modules.

    Args:
        model: Model to wrap.
        lora: Rank, scale and dropout of the adapters.
        targets: Names of the modules to adapt, in the form of peft.
        **settings: Further settings of peft's LoraConfig.

    Raises:
        ModelError: The model does not have the target modules.
    """
    from peft import LoraConfig, get_peft_model  # takes seconds to import

    config = LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]
        lora_dropout=lora.dropout,
        target_modules=targets,
        **settings,
    )
    try:
        with without_warnings():  # peft uses deprecated names of transformers
            return get_peft_model(model, config)  # type: ignore[return-value]
    except ValueError as error:
        names = sorted(
            {name.rpartition(".")[2] for name, module in model.named_modules() if hasattr(module, "in_features")}
        )
        raise ModelError(
            f"{lora.targets} are not modules of this model",
            f"its linear modules: {', '.join(names)}",
            key="lora.targets",
        ) from error
