"""Proof: a translator in another format says what the one it was made of says, before it is rounded.

Knows predictors. Knows nothing of formats.
"""

from __future__ import annotations

from kit.data.examples import Examples
from kit.errors import ModelError
from kit.models.predictor import Predictor, Texts
from kit.runtime.quantities import percent

# The least share of texts that have the same translation in float32. What is left is for sums in another order, which
# now and then decide between two words: a conversion that is wrong shares none.
LEAST_SAME = 0.9
_TEXTS = 64


def proof_texts(examples: Examples) -> Texts:
    """Texts of the budget to compare on."""
    return examples.texts[:_TEXTS]


def require_same(made: Predictor, whole: Predictor, texts: Texts, what: str) -> float:
    """The share of texts that both translate alike. what: was made, for people.

    Raises ModelError if it is less than rounding explains.
    """
    same = float((made.outputs(texts) == whole.outputs(texts)).mean())
    if same < LEAST_SAME:
        raise ModelError(
            f"{what} translates {percent(same)} of {len(texts)} texts as the model does, in float32 too",
            "the conversion does not fit this model: keep it in torch (float16 halves the file)",
        )
    return same
