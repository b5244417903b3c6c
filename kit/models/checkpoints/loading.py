"""Classifiers as torch models: built from a checkpoint with a head for the task's labels, or loaded from a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from accelerate import PartialState
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    BitsAndBytesConfig,
    PreTrainedConfig,
    PreTrainedModel,
)

from kit.errors import KitError, ModelError, RecipeError, damage_words
from kit.models.architectures import cnn_bilstm as small  # noqa: F401 (saved models of these architectures can be loaded)
from kit.models.architectures import early_exit  # noqa: F401 (saved models of these architectures can be loaded)
from kit.models.architectures.pooled import PooledClassifier, PooledConfig
from kit.models.architectures.quantization_fixes import leave_odd_layers_unpacked, leave_unpacked
from kit.models.checkpoints.checkpoint import Checkpoint, declared_pooling
from kit.models.checkpoints.code import code_of, require_trusted
from kit.models.checkpoints.config_file import read_config
from kit.models.checkpoints.head import Head
from kit.models.checkpoints.head_scale import to_units
from kit.models.checkpoints.sizes import require_memory
from kit.models.checkpoints.tokenizers import quiet

Init = Literal["pretrained", "scratch"]
Bits = Literal["int8", "nf4"]
# Keys of dropout rates in the configurations of transformers' architectures.
DROPOUT_KEYS = (
    "hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout", "dropout", "attention_dropout",
    "embedding_dropout", "mlp_dropout", "seq_classif_dropout", "activation_dropout", "pooler_dropout",
    "hidden_dropout", "summary_last_dropout", "dropout_rate",
)  # fmt: skip

# Names of the layers in their classification heads, which are never quantized.
HEADS = ("classifier", "score", "out_proj", "pre_classifier")

# Names of their tables of position embeddings.
_POSITIONS = ("position_embeddings", "embed_positions", "wpe")


def build_classifier(
    checkpoint: Checkpoint,
    head: Head,
    init: Init,
    pooling: str = "auto",
    dropout: float | None = None,
    bits: Bits | None = None,
) -> PreTrainedModel:
    """Build a classifier on a checkpoint's encoder, with a random head, in float32 on the CPU.

    Random weights (the head, or everything for `scratch`) come from torch's global generator.

    Args:
        checkpoint: Checkpoint of the encoder.
        head: Labels to predict.
        init: `pretrained` for the checkpoint's weights, `scratch` for random ones. A checkpoint without weights gets
            random ones.
        pooling: Value in the recipe; `auto` is the pooling that the checkpoint declares, or else the native head.
        dropout: Rate for every dropout in the encoder; None keeps the checkpoint's rates.
        bits: Format to quantize linear layers to, as a base for adapters; these layers are on the device in use.

    Raises:
        ModelError: If the architecture is unknown or encoder weights are missing.
    """
    try:
        with quiet():
            own_code = checkpoint.code is not None
            config = AutoConfig.from_pretrained(checkpoint.folder, trust_remote_code=own_code)
            if dropout is not None:
                for key in DROPOUT_KEYS:
                    if isinstance(getattr(config, key, None), int | float):
                        setattr(config, key, dropout)
            init = init if checkpoint.has_weights else "scratch"
            kind = resolve_pooling(checkpoint.folder, pooling)
            if kind is None:
                native = _native(checkpoint, config, head, init=init, quantization=_quantization(bits))
                to_units(native, head.scale)
                return native
            if own_code:
                raise ModelError(
                    f"{checkpoint.name} runs its own code, which cannot be saved with a model with {kind} pooling",
                    "use its native head: method finetune, lora or scratch, and model.pooling native",
                    key="model.checkpoint",
                )
            encoder = _encoder(checkpoint, config, init, quantization=_quantization(bits))
            declared = declared_pooling(checkpoint.folder)
            # Normalized vectors keep only angles, which carry meaning in pretrained encoders alone.
            normalize = declared is not None and declared[1] and init == "pretrained"
            settings: dict[str, Any] = {"pooling": kind, "normalize": normalize}
            model = PooledClassifier(
                PooledConfig(encoder=encoder.config.to_dict(), **settings, **head.config()), encoder
            )
            to_units(model, head.scale)
            return model
    except KitError:
        raise
    except Exception as error:  # a damaged configuration or pickle can raise anything in the libraries
        raise ModelError(
            f"{checkpoint.name} cannot be loaded for classification: {damage_words(error)}", key="model.checkpoint"
        ) from error


def resolve_pooling(folder: Path, pooling: str) -> str | None:
    """Return the kind of pooling for a recipe's `model.pooling`; None for the native head."""
    if pooling == "auto":
        declared = None if code_of(folder) else declared_pooling(folder)
        return declared[0] if declared else None
    return None if pooling == "native" else pooling


def require_positions(model: PreTrainedModel, max_length: int) -> None:
    """Raise RecipeError if `max_length` exceeds the model's number of position embeddings."""
    for name, module in model.named_modules():
        if name.endswith(_POSITIONS) and isinstance(module, torch.nn.Embedding):
            # Positions start after the padding row (RoBERTa) or after an offset (BART).
            first = getattr(module, "offset", 0 if module.padding_idx is None else module.padding_idx + 1)
            usable = module.num_embeddings - first
            if max_length > usable:
                raise RecipeError(
                    f"{max_length} tokens are more than the {usable} that the checkpoint has positions for",
                    f"set data.max_length to {usable} or less",
                    key="data.max_length",
                )


def freeze_embeddings(model: PreTrainedModel) -> None:
    """Exclude the encoder's embedding layer (its tables and their layer normalization) from training."""
    layer = getattr(model.base_model, "embeddings", None) or model.get_input_embeddings()
    layer.requires_grad_(False)


def rounded_on_load(bits: Bits, kept: Sequence[str] = HEADS) -> BitsAndBytesConfig:
    """Return the settings with which transformers quantizes linear layers as it loads them, by bitsandbytes.

    int8: Dettmers et al. 2022, arXiv:2208.07339. nf4: Dettmers et al. 2023, arXiv:2305.14314.

    Args:
        bits: Format of the weights.
        kept: Names of layers that are not quantized.
    """
    kind: dict[str, Any] = {"load_in_8bit": True}
    if bits == "nf4":
        kind = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": torch.float32}
    return BitsAndBytesConfig(llm_int8_skip_modules=list(kept), **kind)  # type: ignore[no-untyped-call]


def load_classifier(folder: Path, trusted: bool = False) -> PreTrainedModel:
    """Load a classifier that kit saved, in evaluation mode, which computes in float32.

    It is on the CPU; a quantized one is on the device in use, because it cannot be moved.

    Raises:
        ModelError: If it is damaged, or needs its own code and is not trusted.
    """
    own_code = require_trusted(folder, trusted)
    try:
        quantized = read_config(folder).quantized
        with quiet():
            model: PreTrainedModel = AutoModelForSequenceClassification.from_pretrained(
                folder,
                use_safetensors=True,
                dtype=torch.float32,
                trust_remote_code=own_code,
                device_map=PartialState().device if quantized else None,
            )
    except Exception as error:
        raise ModelError(f"the model in {folder} cannot be loaded: {damage_words(error)}") from error
    leave_odd_layers_unpacked(model)
    model.eval()  # type: ignore[no-untyped-call]
    return model


def _quantization(bits: Bits | None) -> dict[str, Any]:
    if bits is None:
        return {}
    return {"quantization_config": rounded_on_load(bits), "dtype": torch.float32, "device_map": PartialState().device}


def _encoder(
    checkpoint: Checkpoint, config: PreTrainedConfig, init: Init, quantization: dict[str, Any]
) -> PreTrainedModel:
    if init == "scratch":
        return _scratch(lambda: AutoModel.from_config(config), checkpoint)  # type: ignore[no-untyped-call]
    encoder, report = AutoModel.from_pretrained(
        checkpoint.folder, config=config, output_loading_info=True, trust_remote_code=False, **quantization
    )
    leave_unpacked(encoder)
    refuse_missing([key for key in report["missing_keys"] if not key.startswith("pooler.")], checkpoint)
    return encoder  # type: ignore[no-any-return]


def _scratch(build: Callable[[], PreTrainedModel], checkpoint: Checkpoint) -> PreTrainedModel:
    """Build a model with random weights. Raises ModelError if it does not fit in memory."""
    if checkpoint.code is None:  # a checkpoint's own code may not build without allocating
        require_memory(build, checkpoint.name)
    return build()


def _native(
    checkpoint: Checkpoint, config: PreTrainedConfig, head: Head, init: Init, quantization: dict[str, Any]
) -> PreTrainedModel:
    for key, value in head.config().items():
        setattr(config, key, value)
    if init == "scratch":
        classes, own_code = AutoModelForSequenceClassification, checkpoint.code is not None
        return _scratch(
            lambda: classes.from_config(config, trust_remote_code=own_code),  # type: ignore[no-untyped-call]
            checkpoint,
        )
    model, report = AutoModelForSequenceClassification.from_pretrained(
        checkpoint.folder,
        config=config,
        output_loading_info=True,
        ignore_mismatched_sizes=True,
        trust_remote_code=checkpoint.code is not None,
        **quantization,
    )
    leave_unpacked(model)
    prefix = model.base_model_prefix + "."
    encoder_keys = [key for key in report["missing_keys"] if key.startswith(prefix) and "pooler" not in key]
    refuse_missing(encoder_keys, checkpoint)
    return model  # type: ignore[no-any-return]


def refuse_missing(missing: list[str], checkpoint: Checkpoint) -> None:
    """Raise ModelError if weights of an encoder are missing, which would be random."""
    if missing:
        raise ModelError(
            f"{checkpoint.name} lacks {len(missing)} encoder weights, e.g. {sorted(missing)[0]}",
            "the folder's config.json and weights do not belong together",
            key="model.checkpoint",
        )
