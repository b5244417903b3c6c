"""Translation: a text in one language, and what it says in another.

Knows references, losses and scores of translations. Knows nothing of models, files or training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from kit.data.encode import IGNORED
from kit.data.translation_checks import loops
from kit.measurement.intervals import Estimate, bootstrap_scores
from kit.measurement.translation import TranslationMeasure
from kit.recipe import Recipe
from kit.recipe.sections.translation import LABEL_SMOOTHING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Translation:
    """languages: of source and target."""

    name: str
    languages: tuple[str, str]
    main_metric: str
    label_smoothing: float = LABEL_SMOOTHING
    labels: tuple[str, ...] = ()
    multi_label: bool = False

    @classmethod
    def from_recipe(cls, recipe: Recipe, labels: tuple[str, ...]) -> Translation:
        """The task that a recipe asks for."""
        smoothing = recipe.train.label_smoothing
        return cls(
            recipe.task,
            recipe.data.language_pair,
            recipe.main_metric,
            LABEL_SMOOTHING if smoothing is None else smoothing,
        )

    @property
    def measure(self) -> TranslationMeasure:
        """How translations are scored."""
        return TranslationMeasure(self.main_metric, self.languages[1])

    def targets(self, labels: Sequence[tuple[str, ...]]) -> np.ndarray:
        """(n,) references."""
        return np.asarray([reference[0] for reference in labels], object)

    def loss(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Cross-entropy summed over tokens. Logits (n, length, tokens), targets (n, length) with IGNORED as filling."""
        import torch  # a study plans without it

        return torch.nn.functional.cross_entropy(
            logits.flatten(0, 1).float(),
            targets.flatten(),
            reduction="sum",
            ignore_index=IGNORED,
            label_smoothing=self.label_smoothing,
        )

    def scores(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """The main metric alone: the others take longer than it."""
        measure = self.measure.alone()
        sums = {name: part.sum(axis=0) for name, part in measure.tally(outputs, targets).items()}
        return {name: float(value) for name, value in measure.scores(sums, len(targets)).items()}

    def estimates(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, Estimate]:
        """BLEU, chrF++ and TER, as shares, with 95 % bootstrap intervals."""
        return bootstrap_scores(outputs, targets, self.measure)

    def details(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, Any]:
        """Sacrebleu's signatures; words against the references'; translations that are empty, or repeat themselves.

        Words are what BLEU takes for them in the target language.
        """
        words = replace(self.measure, names=("bleu",)).tally(outputs, targets)["bleu"][:, :2].sum(axis=0)
        return {
            "signatures": self.measure.signatures(),
            "length_ratio": float(words[0] / words[1]) if words[1] else None,
            "empty": int(sum(not line for line in outputs)),
            "loops": int(sum(loops(line) for line in outputs)),
        }

    def differences(self, outputs: np.ndarray, others: np.ndarray) -> np.ndarray:
        """(n,) 0 where two translations are the same, else 1."""
        return np.asarray(outputs != others, np.float64)

    def difference_words(self, what: str, difference: float) -> str:
        """For people."""
        return f"the translation of {what} is another one"

    def answers(self, outputs: np.ndarray) -> list[dict[str, Any]]:
        """The translation, with `loops` where it repeats itself: the model found no end."""
        return [{"translation": line, **({"loops": True} if loops(line) else {})} for line in outputs]

    @property
    def example_answer(self) -> dict[str, Any]:
        """An answer with every field that one can have."""
        return {"translation": "", "loops": False}
