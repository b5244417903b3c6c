"""Parts of the model card of a regression model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kit.runtime.markdown import span
from kit.tasks.base import CardText


def card_text(label: str, columns: Sequence[str], details: Mapping[str, Any]) -> CardText:
    """Return the parts of the card, see `Task.card_text`.

    Args:
        label: Name of the column with the numbers.
        columns: Names of the text columns.
        details: Details of the results, see `Regression.details`.
    """
    subject = "a text" if len(columns) == 1 else "a pair of texts"
    texts = " and ".join(span(column) for column in columns)
    low, high = details["range"]
    half, most = (details["largest_errors"][share] for share in ("0.5", "0.9"))
    return CardText(
        pipeline="text-classification",
        summary=f"Predicts the number {span(label)} for {subject} ({texts}).",
        results=(
            f"Half of the predictions are within {half:.3g} of the true number, nine tenths within {most:.3g}. "
            f"The predictions for the test examples are from {low:.3g} to {high:.3g}.",
        ),
        limits=(
            "The model predicts a number for every text, even if none fits; numbers outside the range of its training "
            "labels are possible.",
        ),
    )
