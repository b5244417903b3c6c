"""Models that write: from a checkpoint, or from nothing, to a torch model with encoder and decoder.

Three ways to start. A checkpoint that translates is taken as it is. One that only reads (any encoder) keeps its weights
and gets a small fresh decoder that writes the tokens of a tokenizer of the target language (Rothe et al. 2020,
arXiv:1907.12461). Nothing at all: a small Transformer over a tokenizer of both languages (Vaswani et al. 2017,
arXiv:1706.03762, in the shape that is known to suit 30,000 pairs).

Knows transformers' classes. Knows nothing of data, training or Records.
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
from kit.models.checkpoints.loading import DROPOUT_KEYS, load_tokenizer, quiet, refuse_missing
from kit.runtime.json_files import read_object

Start = Literal["translator", "encoder", "nothing"]

# Of a Transformer trained on nothing but some ten thousand pairs: a larger one learns them by heart.
SCRATCH_LAYERS, SCRATCH_WIDTH, SCRATCH_INNER, SCRATCH_HEADS, SCRATCH_DROPOUT = 4, 128, 256, 4, 0.3
# Shortest table of positions of a decoder that is made.
_POSITIONS = 512


@dataclass(frozen=True)
class Tongues:
    """The tokenizers of both sides, which are one object where both sides share it."""

    source: PreTrainedTokenizerBase
    target: PreTrainedTokenizerBase


def start_of(folder: Path | None) -> Start:
    """What a checkpoint's files are a start for. Raises ModelError for what only writes."""
    if folder is None:
        return "nothing"
    config = read_object(folder / "config.json", ModelError)
    if config.get("is_encoder_decoder"):
        return "translator"
    kinds = [str(name) for name in config.get("architectures") or []]
    # XLM and FlauBERT are encoders, which have called their masked language models so.
    if any(name.endswith(("ForCausalLM", "LMHeadModel")) and not name.endswith("WithLMHeadModel") for name in kinds):
        raise ModelError(
            f"{folder.name} only writes: kit translates with a checkpoint that has an encoder",
            "take a sequence-to-sequence checkpoint (opus-mt, T5, NLLB), or an encoder (BERT, MiniLM)",
            key="model.checkpoint",
        )
    return "encoder"


def pretrained_translator(checkpoint: Checkpoint, dropout: float | None) -> PreTrainedModel:
    """A checkpoint that translates, in float32 on the CPU. Raises ModelError if it cannot be loaded."""
    try:
        with quiet():
            config = AutoConfig.from_pretrained(checkpoint.folder, trust_remote_code=checkpoint.code is not None)
            set_dropout(config, dropout)
            if hasattr(config, "encoder_layerdrop"):  # layers that are left out have no gradients to share (M2M100)
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
    if model.config.model_type == "encoder-decoder":  # one that kit made of an encoder has no pooler
        drop_pooler(model.get_encoder())
    return model  # type: ignore[no-any-return]


def warm_translator(
    checkpoint: Checkpoint,
    target: PreTrainedTokenizerBase,
    layers: int,
    dropout: float | None,
    decoder_dropout: float,
) -> PreTrainedModel:
    """A checkpoint's encoder with a fresh decoder of its width, in float32 on the CPU.

    dropout: in the encoder, None for its own.
    Random weights come from torch's global generator. Raises ModelError for an encoder that cannot be loaded.
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
        max_position_embeddings=_POSITIONS,
        is_decoder=True,
        add_cross_attention=True,
        pad_token_id=target.pad_token_id,
        bos_token_id=target.bos_token_id,
        eos_token_id=target.eos_token_id,
    )
    set_dropout(decoder, decoder_dropout)
    drop_pooler(encoder)
    encoder.config.name_or_path = ""  # where it was read from is no part of the model; its config is written as it is
    whole = EncoderDecoderConfig.from_encoder_decoder_configs(encoder.config, decoder)
    model = EncoderDecoderModel(config=whole, encoder=encoder, decoder=BertLMHeadModel(decoder))
    _name_tokens(model, target, start=target.bos_token_id)
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
    """A small Transformer over a tokenizer of both languages, random, in float32 on the CPU.

    Normalised before each block: normalised after it, an encoder that learns from ten thousand pairs at a rate worth
    its time soon gives the same vector for every token (Xiong et al. 2020, arXiv:2002.04745, on why). Matrices are
    drawn as in Glorot & Bengio 2010, as the Transformer's own were.

    width: of token vectors. inner: of feed-forward layers. layers: of encoder and decoder.
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
        max_position_embeddings=max(_POSITIONS, max_length),
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
    with torch.no_grad():  # embeddings are scaled by the root of the width on the way in, and are the output layer too
        torch.nn.init.normal_(table.weight, std=width**-0.5)
        table.weight[joint.pad_token_id] = 0
    _name_tokens(model, joint, start=joint.bos_token_id)
    return model


def load_translator(folder: Path, **rounding: Any) -> tuple[PreTrainedModel, Tongues]:
    """A translator that kit saved, in evaluation mode and computing in float32.

    rounding: for transformers, to round layers as it loads them. Raises ModelError if it is damaged.
    """
    try:
        with quiet():
            model: PreTrainedModel = AutoModelForSeq2SeqLM.from_pretrained(
                folder, use_safetensors=True, dtype=torch.float32, trust_remote_code=False, **rounding
            )
    except Exception as error:
        raise ModelError(f"the model in {folder} cannot be loaded: {damage_words(error)}") from error
    if model.config.model_type == "encoder-decoder":
        drop_pooler(model.get_encoder())
    model.eval()  # type: ignore[no-untyped-call]
    return model, load_tongues(folder)


def layers_to_round(folder: Path) -> tuple[dict[str, torch.nn.Linear], list[str]]:
    """A saved translator's linear layers, without weights, that may be rounded; and names of what must not be.

    That is the output layer, and all that shares weights with others, as the table of embeddings does. And the pooler
    of an encoder, which the file does not have: transformers makes one, and nothing reads it.
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
        name: part for name, part in layers.items() if not any(f"{name}.".startswith(f"{each}.") for each in kept)
    }, kept


def load_tongues(folder: Path, trusted: bool = False) -> Tongues:
    """The tokenizers of a translator: one, or in a translator that kit saved one for each side.

    trusted: whether code that the folder brings along may run.
    """
    source = load_tokenizer(folder, trusted)
    target = load_tokenizer(folder / TARGET, trusted) if (folder / TARGET).is_dir() else source
    return Tongues(source, target)


TARGET = "target"  # folder of the target's tokenizer, inside the model's, where the two sides have one each


def set_dropout(config: Any, rate: float | None) -> None:
    """Set every dropout rate of a configuration, of both sides where each has its own; None keeps what it has."""
    if rate is None:
        return
    both = (config.encoder, config.decoder) if config.model_type == "encoder-decoder" else ()
    for part in (config, *both):
        for key in DROPOUT_KEYS:
            if isinstance(getattr(part, key, None), int | float):
                setattr(part, key, rate)


def drop_pooler(encoder: Any) -> None:
    """Take out what makes a vector of the whole text, which nothing here reads."""
    if getattr(encoder, "pooler", None) is not None:
        encoder.pooler = None


def _name_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, start: int | None) -> None:
    for config in (model.config, model.generation_config):
        assert config is not None
        config.decoder_start_token_id = start
        config.pad_token_id = tokenizer.pad_token_id
        config.eos_token_id = tokenizer.eos_token_id
        config.bos_token_id = tokenizer.bos_token_id
