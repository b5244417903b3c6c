"""The `translation` section: how languages are told to a checkpoint, what is made where it has no decoder, and search.

Knows types, ranges and defaults, and which keys of a recipe mean nothing for its task. Knows nothing of models.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from kit.recipe.section import Name, Section

TRANSLATING = ("finetune", "lora", "scratch", "distill", "student")  # methods
SCORES = ("bleu", "chrf")
LABEL_SMOOTHING = 0.1
# Of a fresh decoder, and of the encoder under it.
DECODER_LAYERS = 3
DECODER_DROPOUT, ENCODER_RATE = 0.3, 0.2


class TranslationSection(Section):
    """Used when `task` is translation."""

    codes: Annotated[list[Name], Field(min_length=2, max_length=2)] | None = None
    """What a multilingual checkpoint's tokenizer calls the two languages (`[en_XX, de_DE]`, `[eng_Latn, deu_Latn]`); by
    default found from `data.languages`."""
    prefix: str | None = None
    """Text before every source, as T5 wants it; by default `translate English to German: ` for T5, else nothing."""
    beams: Annotated[int, Field(ge=1, le=64)] = 4
    """Hypotheses that the search keeps; 1 takes the likeliest token each time, which is faster."""
    length_penalty: Annotated[float, Field(ge=-10, le=10)] = 1.0
    """Scores of hypotheses are divided by their length to this power: above 1 favours longer translations."""
    decoder_layers: Annotated[int, Field(ge=1, le=48)] = DECODER_LAYERS
    """Layers of the decoder that is made for a checkpoint that has only an encoder."""
    decoder_dropout: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Dropout in that decoder, which is fresh and learns a small budget by heart (0.3); `train.dropout` is the
    encoder's."""
    encoder_rate: Annotated[float, Field(gt=0, le=1)] | None = None
    """Learning rate of the encoder under that decoder, as a share of `train.learning_rate`: what is pretrained has less
    to learn (0.2)."""
    vocabulary: Annotated[int, Field(ge=300, le=250_000)] | None = None
    """Tokens of the tokenizer that is trained on the budget: of the target language for a checkpoint that has only an
    encoder (4,000; above 10,000 pairs 8,000), of both for method scratch (10,000)."""
