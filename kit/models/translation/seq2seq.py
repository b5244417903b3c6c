"""Translation models as torch models: from a translation checkpoint, from an encoder, or without a checkpoint.

A translation checkpoint is used as it is. An encoder keeps its weights and gets a small new decoder over a tokenizer of
the target language (Rothe et al. 2020, arXiv:1907.12461). Without a checkpoint, the model is a small Transformer over a
tokenizer of both languages (Vaswani et al. 2017, arXiv:1706.03762, in a shape that suits 30,000 pairs).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSeq2SeqLM,
    BertConfig,
    BertLMHeadModel,
    EncoderDecoderConfig,
    EncoderDecoderModel,
    M2M100Config,
    M2M100ForConditionalGeneration,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from kit.errors import KitError, ModelError, damage_words
from kit.models.checkpoints.checkpoint import Checkpoint
from kit.models.checkpoints.config_file import read_config
from kit.models.checkpoints.loading import DROPOUT_KEYS, refuse_missing
from kit.models.checkpoints.tokenizers import TARGET, load_tokenizer, quiet
from kit.models.translation.generation_settings import settings_of

Start = Literal["translator", "encoder", "nothing"]

# Shape of a Transformer trained from scratch on some ten thousand pairs: a larger one memorizes them.
SCRATCH_LAYERS, SCRATCH_WIDTH, SCRATCH_INNER, SCRATCH_HEADS, SCRATCH_DROPOUT = 4, 128, 256, 4, 0.3
_MIN_POSITIONS = 512  # of a new decoder


@dataclass(frozen=True)
class TokenizerPair:
    """Tokenizers of source and target, which are the same object if both sides share one."""

    source: PreTrainedTokenizerBase
    target: PreTrainedTokenizerBase


def start_of(folder: Path | None) -> Start:
    """Return the kind of model to start from.

    Args:
        folder: The checkpoint's folder; None without a checkpoint.

    Raises:
        ModelError: If the checkpoint is a decoder without an encoder.
    """
    if folder is None:
        return "nothing"
    config = read_config(folder)
    if config.is_translator:
        return "translator"
    kinds = config.architectures
    # XLM and FlauBERT are encoders; their masked language models have names that end in WithLMHeadModel.
    if any(name.endswith(("ForCausalLM", "LMHeadModel")) and not name.endswith("WithLMHeadModel") for name in kinds):
        raise ModelError(
            f"{folder.name} is a decoder-only model; translation needs an encoder",
            "use a sequence-to-sequence checkpoint (opus-mt, T5, NLLB), or an encoder (BERT, MiniLM)",
            key="model.checkpoint",
        )
    return "encoder"


def pretrained_translator(checkpoint: Checkpoint, dropout: float | None) -> PreTrainedModel:
    """Load a translation checkpoint, in float32 on the CPU.

    Args:
        checkpoint: The checkpoint.
        dropout: Rate for every dropout; None keeps the checkpoint's rates.

    Raises:
        ModelError: If it cannot be loaded or lacks weights.
    """
    try:
        with quiet():
            config = AutoConfig.from_pretrained(checkpoint.folder, trust_remote_code=checkpoint.code is not None)
            set_dropout(config, dropout)
            if hasattr(config, "encoder_layerdrop"):  # dropped layers have no gradients to share (M2M100)
                config.encoder_layerdrop = config.decoder_layerdrop = 0.0
            model, report = AutoModelForSeq2SeqLM.from_pretrained(
                checkpoint.folder,
                config=config,
                dtype=torch.float32,
                output_loading_info=True,
                trust_remote_code=checkpoint.code is not None,
            )
    except KitError:
        raise
    except Exception as error:
        raise ModelError(
            f"{checkpoint.name} cannot be loaded for translation: {damage_words(error)}", key="model.checkpoint"
        ) from error
    missing = sorted(name for name in report["missing_keys"] if not name.startswith("encoder.pooler."))
    if missing:
        raise ModelError(
            f"{checkpoint.name} lacks {len(missing)} weights, e.g. {missing[0]}",
            "the folder's config.json and weights do not belong together",
            key="model.checkpoint",
        )
    if model.config.model_type == "encoder-decoder":  # kit saves these models without a pooler
        drop_pooler(model.get_encoder())
    return model  # type: ignore[no-any-return]


def warm_translator(
    checkpoint: Checkpoint,
    target: PreTrainedTokenizerBase,
    layers: int,
    dropout: float | None,
    decoder_dropout: float,
) -> PreTrainedModel:
    """Return a checkpoint's encoder with a new decoder of the same width, in float32 on the CPU.

    Random weights come from torch's global generator.

    Args:
        checkpoint: Checkpoint of the encoder.
        target: Tokenizer of the target language.
        layers: Number of decoder layers.
        dropout: Rate for every dropout of the encoder; None keeps the checkpoint's rates.
        decoder_dropout: Rate for every dropout of the decoder.

    Raises:
        ModelError: If the encoder cannot be loaded or lacks weights.
    """
    try:
        with quiet():
            config = AutoConfig.from_pretrained(checkpoint.folder, trust_remote_code=False)
            set_dropout(config, dropout)
            encoder, report = AutoModel.from_pretrained(
                checkpoint.folder,
                config=config,
                dtype=torch.float32,
                output_loading_info=True,
                trust_remote_code=False,
            )
    except Exception as error:
        raise ModelError(
            f"{checkpoint.name} cannot be loaded as an encoder: {damage_words(error)}", key="model.checkpoint"
        ) from error
    refuse_missing([name for name in report["missing_keys"] if not name.startswith("pooler.")], checkpoint)
    width, heads = config.hidden_size, config.num_attention_heads
    decoder = BertConfig(
        vocab_size=len(target),
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=int(getattr(config, "intermediate_size", 4 * width)),
        max_position_embeddings=_MIN_POSITIONS,
        is_decoder=True,
        add_cross_attention=True,
        pad_token_id=target.pad_token_id,
        bos_token_id=target.bos_token_id,
        eos_token_id=target.eos_token_id,
    )
    set_dropout(decoder, decoder_dropout)
    drop_pooler(encoder)
    encoder.config.name_or_path = ""  # the configuration is saved as it is, but must not contain a local path
    whole = EncoderDecoderConfig.from_encoder_decoder_configs(encoder.config, decoder)
    model = EncoderDecoderModel(config=whole, encoder=encoder, decoder=BertLMHeadModel(decoder))
    _set_special_tokens(model, target, start=target.bos_token_id)
    return model


def scratch_translator(
    joint: PreTrainedTokenizerBase,
    max_length: int,
    dropout: float | None,
    *,
    width: int = SCRATCH_WIDTH,
    heads: int = SCRATCH_HEADS,
    inner: int = SCRATCH_INNER,
    layers: tuple[int, int] = (SCRATCH_LAYERS, SCRATCH_LAYERS),
) -> PreTrainedModel:
    """Return a small Transformer over a tokenizer of both languages, with random weights, in float32 on the CPU.

    It normalizes before each block. With normalization after the block, an encoder trained on ten thousand pairs at a
    practical learning rate soon has the same vector for every token (see Xiong et al. 2020, arXiv:2002.04745).
    Matrices are initialized as in Glorot & Bengio 2010, like those of the original Transformer.

    Args:
        joint: Tokenizer of both languages.
        max_length: Maximum number of tokens of a text.
        dropout: Dropout rate; None for the default.
        width: Width of token vectors.
        heads: Attention heads per layer.
        inner: Width of feed-forward layers.
        layers: Numbers of encoder and decoder layers.
    """
    rate = SCRATCH_DROPOUT if dropout is None else dropout
    config = M2M100Config(
        vocab_size=len(joint),
        d_model=width,
        encoder_layers=layers[0],
        decoder_layers=layers[1],
        encoder_attention_heads=heads,
        decoder_attention_heads=heads,
        encoder_ffn_dim=inner,
        decoder_ffn_dim=inner,
        encoder_layerdrop=0.0,
        decoder_layerdrop=0.0,
        max_position_embeddings=max(_MIN_POSITIONS, max_length),
        activation_function="relu",
        dropout=rate,
        attention_dropout=0.0,
        activation_dropout=0.0,
        scale_embedding=True,
        pad_token_id=joint.pad_token_id,
        eos_token_id=joint.eos_token_id,
        bos_token_id=joint.bos_token_id,
        decoder_start_token_id=joint.bos_token_id,
    )
    model = M2M100ForConditionalGeneration(config)
    for name, part in model.named_modules():
        if isinstance(part, torch.nn.Linear) and name != "lm_head":
            torch.nn.init.xavier_uniform_(part.weight)
    table = model.model.shared
    with torch.no_grad():  # embeddings are scaled by the root of the width at the input, and are the output layer too
        torch.nn.init.normal_(table.weight, std=width**-0.5)
        table.weight[joint.pad_token_id] = 0
    _set_special_tokens(model, joint, start=joint.bos_token_id)
    return model


def load_translator(folder: Path, **quantization: Any) -> tuple[PreTrainedModel, TokenizerPair]:
    """Load a translator that kit saved, in evaluation mode, which computes in float32.

    Args:
        folder: The model's folder.
        **quantization: Arguments of `from_pretrained` that quantize layers while they are loaded.

    Raises:
        ModelError: If it is damaged.
    """
    try:
        with quiet():
            model: PreTrainedModel = AutoModelForSeq2SeqLM.from_pretrained(
                folder, use_safetensors=True, dtype=torch.float32, trust_remote_code=False, **quantization
            )
    except Exception as error:
        raise ModelError(f"the model in {folder} cannot be loaded: {damage_words(error)}") from error
    if model.config.model_type == "encoder-decoder":
        drop_pooler(model.get_encoder())
    model.eval()  # type: ignore[no-untyped-call]
    return model, load_tokenizer_pair(folder)


def layers_to_round(folder: Path) -> tuple[dict[str, torch.nn.Linear], list[str]]:
    """Return the linear layers of a saved translator that can be quantized, and the names of modules that cannot.

    The layers have no weights. Excluded are the output layer, every module that shares weights with another, such as
    the embedding table, and the pooler of an encoder, which is not in the file: transformers creates an unused one.
    """
    with quiet(), torch.device("meta"):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        model = AutoModelForSeq2SeqLM.from_config(config)  # type: ignore[no-untyped-call]
    head = model.get_output_embeddings()
    shared = {*model.all_tied_weights_keys, *model.all_tied_weights_keys.values()}
    names = {key.rpartition(".")[0] for key in shared} | {name for name, part in model.named_modules() if part is head}
    kept = sorted({*names, "encoder.pooler"} - {""})
    layers = {name: part for name, part in model.named_modules() if isinstance(part, torch.nn.Linear)}
    return {
        name: part for name, part in layers.items() if not any(f"{name}.".startswith(f"{prefix}.") for prefix in kept)
    }, kept


def load_tokenizer_pair(folder: Path, trusted: bool = False) -> TokenizerPair:
    """Load the tokenizers of a translator: one for both sides, or one for each.

    Args:
        folder: The model's folder.
        trusted: Allow the folder's own code to run.
    """
    source = load_tokenizer(folder, trusted)
    target = load_tokenizer(folder / TARGET, trusted) if (folder / TARGET).is_dir() else source
    return TokenizerPair(source, target)


def set_dropout(config: Any, rate: float | None) -> None:
    """Set every dropout rate of a configuration and of its encoder and decoder; None keeps the rates."""
    if rate is None:
        return
    both = (config.encoder, config.decoder) if config.model_type == "encoder-decoder" else ()
    for part in (config, *both):
        for key in DROPOUT_KEYS:
            if isinstance(getattr(part, key, None), int | float):
                setattr(part, key, rate)


def drop_pooler(encoder: Any) -> None:
    """Remove the pooler of an encoder, which translation does not use."""
    if getattr(encoder, "pooler", None) is not None:
        encoder.pooler = None


def _set_special_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, start: int | None) -> None:
    for config in (model.config, settings_of(model)):
        config.decoder_start_token_id = start
        config.pad_token_id = tokenizer.pad_token_id
        config.eos_token_id = tokenizer.eos_token_id
        config.bos_token_id = tokenizer.bos_token_id
