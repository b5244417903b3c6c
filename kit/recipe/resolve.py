"""Resolution: a recipe in which nothing is left to a default that depends on the data, the method or the checkpoint.

What is resolved here is what a Record's id is made from and what its record.json holds: the same run asked for in two
ways is one run, and a default that changes in a later version of kit does not pass for the old one.

Knows the defaults that depend on something. Knows nothing of texts, files or models.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from kit.errors import RecipeError
from kit.recipe.schema import VALIDATION_MOST, VALIDATION_SHARE, Recipe, StudySection

# Learning rates differ by an order of magnitude between methods, so each has its own default. So has the
# weight of the contrastive loss, which needs vectors that already mean something.
LEARNING_RATE = {"finetune": 1.0e-4, "lora": 1.0e-3, "scratch": 5.0e-4}
CONTRASTIVE = {"finetune": 0.5, "lora": 0.5, "scratch": 0.0}
# A small budget needs many passes to move the weights at all, a large one needs few: unless `epochs` is
# given, the epochs follow from a number of steps, within these bounds.
STEPS = {"finetune": 200, "lora": 200, "scratch": 600}
EPOCHS = {"finetune": (3, 8), "lora": (3, 6), "scratch": (6, 8)}
# Keys of `train` that mean something else, or are well chosen otherwise, for another method.
METHOD_KEYS = ("epochs", "learning_rate", "contrastive", "dropout", "head", "freeze_embeddings")
# On a large budget with many classes, each class is to be seen about this often.
VISITS = 1_000
# Up to this many labels, accuracy is worth more than time: dropout, small batches, and training a second time
# with the validation examples.
SMALL_BUDGET = 1_000


# All of the above, and what is held out: results that were made under other defaults are not these.
DEFAULTS = {
    "learning_rate": LEARNING_RATE,
    "contrastive": CONTRASTIVE,
    "steps": STEPS,
    "epochs": EPOCHS,
    "visits": VISITS,
    "small_budget": SMALL_BUDGET,
    "validation": (VALIDATION_SHARE, VALIDATION_MOST),
}


@dataclass(frozen=True)
class Facts:
    """What defaults depend on, beside the recipe.

    text, label: columns. labels: names in logit order. train, validation: examples of each; together they are the
    budget. pooling: the kind that text vectors are pooled by, None for a native head or no checkpoint at all.
    """

    text: tuple[str, ...]
    label: str
    labels: tuple[str, ...]
    train: int
    validation: int
    pooling: str | None

    @property
    def budget(self) -> int:
        """Labels bought."""
        return self.train + self.validation


def resolve(recipe: Recipe, facts: Facts) -> Recipe:
    """The recipe with every default filled in that the schema leaves open.

    What stays None has a meaning of its own: all examples, a tenth of them to validate on, the checkpoint's own
    dropout, a C chosen on validation examples. `train.precision: auto` stays too, for the machine to answer.
    Raises RecipeError for keys that these data or this checkpoint give no effect.
    """
    _refuse_idle_keys(recipe, facts)
    data: dict[str, Any] = {
        "text": facts.text[0] if len(facts.text) == 1 else list(facts.text),
        "label": facts.label,
        "labels": list(facts.labels),
    }
    filled: dict[str, Any] = {
        "metric": recipe.main_metric,
        "data": recipe.data.model_copy(update=data),
        "study": StudySection(),  # a run is the same whatever grid it belongs to
    }
    if recipe.method != "tfidf":
        filled["model"] = recipe.model.model_copy(update={"pooling": facts.pooling or "native"})
    if recipe.method in STEPS:
        filled["train"] = recipe.train.model_copy(update=_training(recipe, facts))
    return recipe.model_copy(update=filled)


def _training(recipe: Recipe, facts: Facts) -> dict[str, Any]:
    train, method, small = recipe.train, recipe.method, facts.budget <= SMALL_BUDGET
    pretrained, pooled = method != "scratch", facts.pooling is not None
    compared = pooled and not recipe.data.multi_label
    batch_size = train.batch_size or (16 if small else 32)
    head = ("probe" if pretrained and pooled else "random") if train.head == "auto" else train.head
    return {
        "batch_size": batch_size,
        "learning_rate": train.learning_rate or LEARNING_RATE[method],
        "epochs": train.epochs or _epochs(method, facts, batch_size),
        "contrastive": _or(train.contrastive, CONTRASTIVE[method] if compared else 0.0),
        "dropout": _or(train.dropout, None if small or not pretrained else 0.0),
        "head": head,
        "label_names": train.label_names and head == "probe",
        "freeze_embeddings": _or(train.freeze_embeddings, pretrained),
        "refit": bool(facts.validation) and _or(train.refit, small and train.select == "last"),
    }


def _epochs(method: str, facts: Facts, batch_size: int) -> float:
    """Enough passes for the method's usual steps, and on large budgets for many visits of every class."""
    low, high = EPOCHS[method]
    wanted = round(STEPS[method] / math.ceil(facts.train / batch_size))
    if facts.budget > SMALL_BUDGET:
        wanted = max(wanted, round(VISITS * len(facts.labels) / facts.train))
    return float(min(high, max(low, wanted)))


def _refuse_idle_keys(recipe: Recipe, facts: Facts) -> None:
    train = recipe.train
    if facts.pooling is None and recipe.method in STEPS:
        need = "needs text vectors, and this checkpoint declares no pooling"
        if train.head == "probe":
            raise RecipeError(f"train.head: probe {need}", "set model.pooling to mean or cls, or drop train.head")
        if train.contrastive:
            raise RecipeError(
                f"train.contrastive: it {need}", "set model.pooling to mean or cls, or drop train.contrastive"
            )
    if train.contrastive and recipe.data.multi_label and recipe.method in STEPS:
        raise RecipeError("train.contrastive: it needs one label an example", "drop train.contrastive")
    if recipe.method == "lora" and train.freeze_embeddings is False:
        raise RecipeError("train.freeze_embeddings: LoRA trains adapters and the head only", "drop it, or finetune")
    idle = {"train.select: best": train.select == "best", "train.refit: true": bool(train.refit)}
    for key, given in idle.items():
        if given and recipe.method in STEPS and not facts.validation:
            raise RecipeError(
                f"{key} needs validation examples, and there are none", "raise data.validation or data.budget"
            )


def _or(given: Any, otherwise: Any) -> Any:
    return otherwise if given is None else given
