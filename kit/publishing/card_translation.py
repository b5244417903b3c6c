"""Parts of a model card for translation: summary, code examples, sacrebleu signatures and limits."""

from __future__ import annotations

from kit.records.record import Record
from kit.runtime.markdown import span


def summary(record: Record) -> str:
    """Return the first sentence of the card."""
    source, target = record.recipe.data.language_pair
    return f"Translates a text from {span(source)} to {span(target)}."


def signature_lines(record: Record) -> list[str]:
    """Return the signatures of sacrebleu, without which scores cannot be compared."""
    signatures = record.content["details"]["signatures"]
    return [f"- {name}: `{signature}`" for name, signature in signatures.items()]


def limits(record: Record) -> list[str]:
    """Return the limits of a translation model, with the number of failed translations of test texts."""
    details, count = record.content["details"], record.content["data"]["sizes"]["test"]
    lines = ["The model translates one or a few sentences at a time, without the sentences before them."]
    for key, words in (("loops", "repeat themselves without end"), ("empty", "are empty")):
        if details.get(key):
            lines.append(f"{details[key]:,} of {count:,} translations of the test texts {words}.")
    return lines
