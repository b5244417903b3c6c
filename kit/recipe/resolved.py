"""Resolved recipes: recipes whose defaults are filled in, by what their methods need.

`kit.recipe.resolve.resolve` makes them. A Record has a resolved recipe.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from kit.recipe.schema import MetricName, Recipe
from kit.recipe.sections.distillation import DistillSection
from kit.recipe.sections.training import TrainSection


class ResolvedTrain(TrainSection):
    """Training settings of a method that trains by gradient steps."""

    epochs: float
    learning_rate: float
    batch_size: int
    contrastive: float
    average: int
    refit: bool
    freeze_embeddings: bool


@dataclass(frozen=True)
class SoftTargets:
    """Loss of the softened predictions.

    Attributes:
        weight: Weight among the losses, above 0.
        temperature: Temperature that softens the predictions.
    """

    weight: float
    temperature: float


class ResolvedDistill(DistillSection):
    """Settings of a distillation whose losses all have their weights."""

    @classmethod
    def of_encoder(cls, section: DistillSection) -> Self:
        """Return an encoder's section with default weight and temperature filled in."""
        logits = 1.0 if section.losses.logits is None else section.losses.logits
        losses = section.losses.model_copy(update={"logits": logits})
        temperature = 2.0 if section.temperature is None else section.temperature
        return cls.from_section(section, losses=losses, temperature=temperature)

    @classmethod
    def of_translator(cls, section: DistillSection) -> Self:
        """Return a translator's section with default weights and temperature filled in.

        The loss of logits has no weight by default, because the student then needs the teacher's tokens.
        """
        losses, temperature = section.losses, section.temperature
        logits = 0.0 if losses.logits is None else losses.logits
        sequence = 1.0 if losses.sequence is None else losses.sequence
        if temperature is None and logits:
            temperature = 1.0
        losses = losses.model_copy(update={"logits": logits, "sequence": sequence})
        return cls.from_section(section, losses=losses, temperature=temperature)

    @property
    def soft_targets(self) -> SoftTargets | None:
        """Loss of the softened predictions; None if it has no weight."""
        weight, temperature = self.losses.logits, self.temperature
        return SoftTargets(weight, temperature) if weight and temperature is not None else None


class ResolvedRecipe(Recipe):
    """Recipe of a run with all defaults filled in that its method uses."""

    metric: MetricName


class TrainingRecipe(ResolvedRecipe):
    """Resolved recipe of a method that trains by gradient steps."""

    train: ResolvedTrain

    @classmethod
    def of(cls, recipe: Recipe, distill: ResolvedDistill | None, **sections: Any) -> TrainingRecipe:
        """Return a recipe with resolved sections, which is a DistillationRecipe if `distill` is one of them."""
        content = dict(recipe) | sections
        if distill is None:
            return TrainingRecipe.model_construct(**content)
        return DistillationRecipe.model_construct(**content | {"distill": distill})


class DistillationRecipe(TrainingRecipe):
    """Resolved recipe of a student, or of its control."""

    distill: ResolvedDistill
