"""Translation task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from kit.data.encode import IGNORED
from kit.data.examples import Examples
from kit.data.translation_checks import loops
from kit.measurement.intervals import Estimate, bootstrap_scores
from kit.measurement.translation import TranslationMeasure
from kit.recipe import Recipe
from kit.recipe.sections.translation import LABEL_SMOOTHING
from kit.tasks.base import CardText
from kit.tasks.translation.card import card_text
from kit.tasks.translation.untranslated import is_copy, untranslated_warning

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Translation:
    """Translation task.

    Attributes:
        name: `translation`.
        languages: Codes of the source and target language.
        main_metric: Name of the metric by which runs are compared.
        label_smoothing: Share of the target probability that is spread over all tokens.
        labels: Always empty.
        multi_label: Always False.
    """

    name: str
    languages: tuple[str, str]
    main_metric: str
    label_smoothing: float = LABEL_SMOOTHING
    labels: tuple[str, ...] = ()
    multi_label: bool = False

    def trained_on(self, examples: Examples) -> Translation:
        """Return the task unchanged."""
        return self

    @property
    def measure(self) -> TranslationMeasure:
        """Metrics of translations against references."""
        return TranslationMeasure(self.main_metric, self.languages[1])

    @property
    def targets_row(self) -> tuple[str, str]:
        """Source and target language."""
        return "languages", " to ".join(self.languages)

    def targets(self, labels: Sequence[tuple[str, ...]]) -> np.ndarray:
        """Return the references (n,)."""
        return np.asarray([reference[0] for reference in labels], object)

    def loss(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return cross-entropy summed over tokens.

        Args:
            logits: (n, length, vocabulary).
            targets: (n, length) token ids, filled with IGNORED.
        """
        import torch  # not at the top, because planning a study does not need torch

        return torch.nn.functional.cross_entropy(
            logits.flatten(0, 1).float(),
            targets.flatten(),
            reduction="sum",
            ignore_index=IGNORED,
            label_smoothing=self.label_smoothing,
        )

    def scores(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """Return only the main metric, because the other metrics take longer."""
        measure = self.measure.alone()
        sums = {name: part.sum(axis=0) for name, part in measure.tally(outputs, targets).items()}
        return {name: float(value) for name, value in measure.scores(sums, len(targets)).items()}

    def estimates(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, Estimate]:
        """Return BLEU, chrF++ and TER, as shares, with 95 % bootstrap intervals."""
        return bootstrap_scores(outputs, targets, self.measure)

    def details(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, Any]:
        """Return sacrebleu's signatures, the length ratio to the references, and counts of empty and looping outputs.

        The length is the number of words as BLEU counts them in the target language.
        """
        words = replace(self.measure, names=("bleu",)).tally(outputs, targets)["bleu"][:, :2].sum(axis=0)
        return {
            "signatures": self.measure.signatures(),
            "length_ratio": float(words[0] / words[1]) if words[1] else None,
            "empty": int(sum(not line for line in outputs)),
            "loops": int(sum(loops(line) for line in outputs)),
        }

    def align(self, outputs: np.ndarray, labels: tuple[str, ...]) -> np.ndarray:
        """Return the translations unchanged."""
        return outputs

    def average(self, outputs: Sequence[np.ndarray]) -> np.ndarray:
        """Return the translations of the first model: a translator has one teacher."""
        return outputs[0]

    def differences(self, outputs: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Return 0 for equal translations and 1 for different ones, (n,)."""
        return np.asarray(outputs != others, np.float64)

    def describe_difference(self, text_name: str, difference: float) -> str:
        """Return a sentence on a different translation."""
        return f"the translation of {text_name} is different"

    def predictions(self, texts: Sequence[tuple[str, ...]], outputs: np.ndarray) -> list[dict[str, Any]]:
        """Return the translations.

        `loops` marks a translation that repeats itself because the model did not stop, `copied` one that equals its
        source text.
        """
        predictions = []
        for row, line in zip(texts, outputs, strict=True):
            marks = {"loops": loops(line), "copied": is_copy(row[0], line)}
            predictions.append({"translation": line} | {name: True for name, holds in marks.items() if holds})
        return predictions

    def warning(self, texts: Sequence[tuple[str, ...]], outputs: np.ndarray, model: str) -> str | None:
        """Return a warning if texts appear to be in another language than the source language."""
        return untranslated_warning([row[0] for row in texts], list(outputs), self.languages, model)

    def card_text(self, columns: Sequence[str], details: Mapping[str, Any], tested: int) -> CardText:
        """Return the task's parts of a model card."""
        return card_text(self.languages, details, tested)

    @property
    def example_prediction(self) -> dict[str, Any]:
        """Prediction with every possible field."""
        return {"translation": "", "loops": False, "copied": False}


def from_recipe(recipe: Recipe, labels: tuple[str, ...]) -> Translation:
    """Return the task of a recipe."""
    smoothing = recipe.train.label_smoothing
    return Translation(
        recipe.task,
        recipe.data.language_pair,
        recipe.main_metric,
        label_smoothing=LABEL_SMOOTHING if smoothing is None else smoothing,
    )
