"""Parts of the model card of a translator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kit.runtime.markdown import span
from kit.tasks.base import CardText


def card_text(languages: tuple[str, str], details: Mapping[str, Any], tested: int) -> CardText:
    """Return the parts of the card of a translator, see `Task.card_text`.

    Args:
        languages: Source and target language.
        details: Signatures of sacrebleu, and numbers of failed translations.
        tested: Number of test examples.
    """
    source, target = languages
    signatures = "\n".join(f"- {name}: `{signature}`" for name, signature in details["signatures"].items())
    limits = ["The model translates one or a few sentences at a time, without the sentences before them."]
    for key, words in (("loops", "repeat themselves without end"), ("empty", "are empty")):
        if details.get(key):
            limits.append(f"{details[key]:,} of {tested:,} translations of the test texts {words}.")
    return CardText(
        pipeline="translation",
        summary=f"Translates a text from {span(source)} to {span(target)}.",
        examples="pairs of texts",
        results=("Signatures of sacrebleu:", signatures),
        limits=tuple(limits),
    )
