"""Defaults that depend on the method, the data and the checkpoint, and the facts that decide them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from kit.recipe.sections.data import MAX_VALIDATION_EXAMPLES, VALIDATION_SHARE
from kit.recipe.sections.distillation import DistillSection
from kit.recipe.sections.training import TrainSection

# Good learning rates differ by an order of magnitude between methods. The contrastive loss needs text vectors that are
# already meaningful, which random weights do not give.
LEARNING_RATE = {"finetune": 1.0e-4, "lora": 1.0e-3, "scratch": 5.0e-4, "distill": 2.0e-4, "student": 1.0e-4}
CONTRASTIVE = {"finetune": 0.5, "lora": 0.5, "scratch": 0.0, "distill": 0.0, "student": 0.5}
# A small budget needs many epochs to move the weights at all, a large one needs few: the epochs follow from a number of
# steps, within bounds. A student's control (method student) takes as many steps as the student.
STEPS = {"finetune": 200, "lora": 200, "scratch": 600, "distill": 1000, "student": 1000}
EPOCHS = {"finetune": (3, 8), "lora": (3, 6), "scratch": (6, 8), "distill": (4, 12)}
# Keys of `train` whose good values depend on the method, reset when a recipe is used for another method.
METHOD_DEFAULTS: dict[str, Any] = {
    key: TrainSection.model_fields[key].default
    for key in ("epochs", "learning_rate", "contrastive", "dropout", "head", "freeze_embeddings", "average")
}
# Defaults for translation by the weights that training starts from.
# `layers` is a student that was cut out of its teacher, or its control. At 5e-5, half an epoch taught it less than a
# quarter of one at 3e-4, the rate of Shleifer & Rush 2020 (arXiv:2010.13002), with frozen embeddings.
# `nothing` takes the steps that a small Transformer needs: after 13,000 steps on 29,000 pairs it was still improving,
# and made pretraining look twice as good as it is. Above 45 epochs, 5,000 pairs are memorized.
TRANSLATION: dict[str, dict[str, Any]] = {
    "translator": {"rate": 5e-5, "lora": 5e-4, "batch_size": 32, "steps": 500, "epochs": (2, 10), "average": 1},
    "layers": {"rate": 3e-4, "batch_size": 32, "steps": 1_800, "epochs": (2, 10), "average": 1},
    "encoder": {"rate": 1e-3, "lora": 1e-3, "batch_size": 32, "steps": 1_600, "epochs": (8, 40), "average": 1},
    "nothing": {"rate": 3e-3, "lora": 3e-3, "batch_size": 32, "steps": 35_000, "epochs": (15, 45), "average": 3},
}
RATE_WIDTH = 128  # width of the token vectors that the rate of `nothing` is for
# Tokens of a new tokenizer, for few pairs and for many: with few pairs, rare tokens would occur once or never.
VOCABULARY = {"translator": (None, None), "encoder": (4_000, 8_000), "nothing": (3_000, 10_000)}
FEW_PAIRS = 10_000
VISITS = 1_000  # examples per class to train on with a large budget, repetitions included
# Budgets up to this size trade time for accuracy: dropout, small batches, and a second training that includes the
# validation examples.
SMALL_BUDGET = 1_000

# A result is reused only if all of these defaults are the same.
DEFAULTS = {
    "learning_rate": LEARNING_RATE,
    "contrastive": CONTRASTIVE,
    "steps": STEPS,
    "epochs": EPOCHS,
    "visits": VISITS,
    "small_budget": SMALL_BUDGET,
    "validation": (VALIDATION_SHARE, MAX_VALIDATION_EXAMPLES),
    "translation": (TRANSLATION, RATE_WIDTH),
    "vocabulary": (VOCABULARY, FEW_PAIRS),
}


@dataclass(frozen=True)
class Facts:
    """Facts about the data and the checkpoint that defaults depend on.

    Attributes:
        text: Names of the text columns.
        label: Names of the label columns, or of the column with translations.
        labels: Label names in the order of the logits; empty for translation.
        train: Number of training examples.
        validation: Number of validation examples.
        pooling: Pooling of token vectors into a text vector; None for a native head and without a checkpoint.
        distill: Section with the complete shape of the student, for methods distill and student.
        transfer: Number of texts to distil on, for methods distill and student.
        start: Weights that a translation starts from: `translator`, `encoder` or `nothing`; None for labels.
        separated: Whether spaces separate the words of the training texts.
        codes: Language codes of the checkpoint's tokenizer, for translation.
        prefix: Text before every source text, for translation.
        label_separator: Separator of several labels in one cell.
    """

    text: tuple[str, ...]
    label: tuple[str, ...]
    labels: tuple[str, ...]
    train: int
    validation: int
    pooling: str | None
    distill: DistillSection | None = None
    transfer: int = 0
    start: str | None = None
    separated: bool = True
    codes: tuple[str, str] | None = None
    prefix: str = ""
    label_separator: str = ","

    @property
    def budget(self) -> int:
        """Number of labelled examples, validation included."""
        return self.train + self.validation


def epochs_of(steps: int, examples: int, batch_size: int) -> float:
    """Return the epochs that amount to exactly this many steps."""
    return (steps - 0.5) / math.ceil(examples / min(batch_size, examples))


def or_default(value: Any, default: Any) -> Any:
    """Return a value, or the default if it is None."""
    return default if value is None else value
