"""Parts of the model card of a classifier."""

from __future__ import annotations

from collections.abc import Sequence

from kit.runtime.markdown import span
from kit.tasks.base import CardText

_MAX_LABELS = 40


def card_text(labels: Sequence[str], multi_label: bool, columns: Sequence[str]) -> CardText:
    """Return the parts of the card of a classifier, see `Task.card_text`.

    Args:
        labels: Label names.
        multi_label: Whether a text can have several labels.
        columns: Names of the text columns.
    """
    listed = ", ".join(span(label) for label in labels[:_MAX_LABELS])
    if len(labels) > _MAX_LABELS:
        listed += f" and {len(labels) - _MAX_LABELS} more (kit.json lists all of them)"
    number = "any number of" if multi_label else "one of"
    subject = "a text" if len(columns) == 1 else "a pair of texts"
    texts = " and ".join(span(column) for column in columns)
    limits = () if multi_label else ("The model assigns one of its labels to every text, even if none of them fits.",)
    return CardText(
        pipeline="text-classification",
        summary=f"Assigns {number} {len(labels)} labels to {subject} ({texts}): {listed}.",
        limits=limits,
    )
