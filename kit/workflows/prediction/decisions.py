"""Undecided predictions: confidences below which a classifier predicts no label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kit.errors import RecipeError, RecordError
from kit.measurement.selective import Threshold, fewest_examples, threshold_for
from kit.publishing.saved_model import Served
from kit.recipe.sections.data import TargetKind
from kit.runtime.quantities import percent


@dataclass(frozen=True)
class Decisions:
    """Least confidence of a decided prediction.

    Attributes:
        confidence: The least confidence.
        threshold: Held-out predictions that it was chosen on; None if it was given.
    """

    confidence: float
    threshold: Threshold | None = None

    def decided(self, prediction: dict[str, Any]) -> dict[str, Any]:
        """Return a prediction, without its label if its score is too low."""
        if prediction["score"] >= self.confidence:
            return prediction
        return {**prediction, "label": None, "undecided": True}

    @property
    def note(self) -> str:
        """Choice of the confidence in a sentence; empty if it was given."""
        chosen = self.threshold
        if chosen is None:
            return ""
        return (
            f"decided from a confidence of {percent(self.confidence, 1)}: of {chosen.examples:,} held-out examples, "
            f"{percent(chosen.decided)} are decided and {percent(chosen.right, 1)} of these are right"
        )


def decisions_of(served: Served, min_confidence: float | None, coverage: float | None) -> Decisions | None:
    """Return the least confidence of decided predictions; None if all are decided.

    Args:
        served: The model.
        min_confidence: The least confidence itself.
        coverage: Share of the decided predictions that must be right, with 95 % certainty.

    Raises:
        RecipeError: Both are given, one is no share, or the model does not predict one label per text.
        RecordError: The model has no held-out examples, or they cannot show this share.
    """
    if min_confidence is None and coverage is None:
        return None
    if min_confidence is not None and coverage is not None:
        raise RecipeError("--min-confidence and --coverage exclude each other", "use one of them")
    option, value = ("--coverage", coverage) if min_confidence is None else ("--min-confidence", min_confidence)
    if value is None or not 0 < value < 1:
        raise RecipeError(f"{option} {value:g}: not a share", "it is above 0 and below 1: 95 % is 0.95")
    if served.recipe.data.multi_label or served.recipe.rules.targets is not TargetKind.LABELS:
        raise RecipeError(f"{option}: {served.name} does not predict one label per text", "leave it out")
    if coverage is None:
        return Decisions(value)
    return _chosen(served, value)


def _chosen(served: Served, share: float) -> Decisions:
    """Return the least confidence above which this share of predictions is right."""
    option = f"--coverage {share:g}"
    if served.held_out is None:
        raise RecordError(
            f"{option}: {served.name} has no held-out examples to choose a confidence on",
            "train it again with validation examples (data.validation), a compressed model from a run with "
            "train.refit: false; or pass --min-confidence",
        )
    examples, fewest = len(served.held_out.right), fewest_examples(share)
    if examples < fewest:
        raise RecordError(
            f"{option}: the {examples:,} held-out examples of {served.name} are too few; {fewest:,} that are all right "
            "would be the least",
            "raise data.budget or data.validation and train again, or pass --min-confidence",
        )
    threshold = threshold_for(served.held_out, share)
    if threshold is None:
        raise RecordError(
            f"{option}: the {examples:,} held-out examples of {served.name} do not show that {percent(share, 1)} of "
            "its more confident half is right",
            "pass a lower share, or --min-confidence",
        )
    return Decisions(threshold.confidence, threshold)
