"""The `translation` section: language codes, a new decoder and its vocabulary, and beam search."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from kit.recipe.section import Name, Section
from kit.recipe.sections.methods import MethodName

TRANSLATION_METHODS: tuple[MethodName, ...] = ("finetune", "lora", "scratch", "distill", "student")
TRANSLATION_METRICS = ("bleu", "chrf")
LABEL_SMOOTHING = 0.1
# Defaults of a new decoder, and of the encoder below it.
DECODER_LAYERS = 3
DECODER_DROPOUT, ENCODER_RATE = 0.3, 0.2


class TranslationSection(Section):
    """Language codes, a new decoder and its vocabulary, and beam search, for task translation."""

    codes: Annotated[list[Name], Field(min_length=2, max_length=2)] | None = None
    """Codes of the two languages in the tokenizer of a multilingual checkpoint (`[en_XX, de_DE]`,
    `[eng_Latn, deu_Latn]`); by default derived from `data.languages`."""
    prefix: str | None = None
    """Text before every source text; by default `translate English to German: ` (with the names of the languages) for
    T5, otherwise empty."""
    beams: Annotated[int, Field(ge=1, le=64)] = 4
    """Number of beams in the search; 1 is greedy decoding, which is faster."""
    length_penalty: Annotated[float, Field(ge=-10, le=10)] = 1.0
    """Exponent of the length by which the score of a hypothesis is divided; values above 1 favour longer
    translations."""
    decoder_layers: Annotated[int, Field(ge=1, le=48)] = DECODER_LAYERS
    """Number of layers of the new decoder that an encoder-only checkpoint gets."""
    decoder_dropout: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Dropout in that decoder; by default 0.3, because a new decoder overfits a small budget. `train.dropout` is for
    the encoder."""
    encoder_rate: Annotated[float, Field(gt=0, le=1)] | None = None
    """Learning rate of the encoder below that decoder, as a share of `train.learning_rate`; by default 0.2, because
    pretrained weights have less to learn."""
    vocabulary: Annotated[int, Field(ge=300, le=250_000)] | None = None
    """Number of tokens of the tokenizer that is trained on the budget: of the target language for an encoder-only
    checkpoint (by default 4,000, and 8,000 above 10,000 pairs), of both languages for method scratch (3,000, and 10,000
    above 10,000 pairs)."""
