"""The `translation` section: how languages are told to a checkpoint, what is made where it has no decoder, and search.

Knows types, ranges and defaults. Knows nothing of models.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from kit.recipe.section import Name, Section


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
    decoder_layers: Annotated[int, Field(ge=1, le=48)] = 3
    """Layers of the decoder that is made for a checkpoint that has only an encoder."""
    vocabulary: Annotated[int, Field(ge=300, le=250_000)] | None = None
    """Tokens of the tokenizer that is trained on the budget: of the target language for a checkpoint that has only an
    encoder (8,000), of both for method scratch (10,000)."""
