"""Parity check of a converted translator: compare its translations with the original's before quantization."""

from __future__ import annotations

from kit.data.examples import Examples
from kit.errors import ModelError
from kit.models.predictor import Predictor, Texts
from kit.runtime.quantities import percent

# Minimum share of texts with the same translation in float32. Sums in another order sometimes decide between two words;
# a wrong conversion gives no text the same translation.
LEAST_SAME = 0.9
_MAX_TEXTS = 64


def proof_texts(examples: Examples) -> Texts:
    """Return the texts of the budget to compare translations of."""
    return examples.texts[:_MAX_TEXTS]


def require_same(converted: Predictor, original: Predictor, texts: Texts, what: str) -> float:
    """Return the share of texts with the same translation by both models.

    Args:
        converted: Translator in another format, in float32.
        original: Translator before the conversion.
        texts: Source texts.
        what: Name of the converted translator in the message.

    Raises:
        ModelError: The share is lower than numerical differences explain.
    """
    same = float((converted.outputs(texts) == original.outputs(texts)).mean())
    if same < LEAST_SAME:
        raise ModelError(
            f"{what} translates only {percent(same)} of {len(texts)} texts as the model does, even in float32",
            "this model cannot be converted correctly: keep it in torch (float16 halves the file)",
        )
    return same
