"""Resolution of recipes for encoders, and for TF-IDF."""

from __future__ import annotations

import math
from typing import Any

from kit.errors import RecipeError
from kit.recipe.defaults import (
    CONTRASTIVE,
    EPOCHS,
    LEARNING_RATE,
    SMALL_BUDGET,
    STEPS,
    VISITS,
    Facts,
    epochs_of,
    or_default,
)
from kit.recipe.resolved import ResolvedDistill, ResolvedTrain, TrainingRecipe
from kit.recipe.schema import Recipe
from kit.recipe.section import one_or_all
from kit.recipe.sections.data import TargetKind
from kit.recipe.sections.distillation import DistillSection
from kit.recipe.sections.study import StudySection


def resolve_encoder(recipe: Recipe, facts: Facts) -> TrainingRecipe:
    """Return the resolved recipe of an encoder that is trained, see `resolve`."""
    _refuse_idle_keys(recipe, facts)
    distill = None if facts.distill is None else ResolvedDistill.of_encoder(facts.distill)
    train = ResolvedTrain.from_section(recipe.train, **_train(recipe, facts))
    return TrainingRecipe.of(recipe, distill, train=train, **resolved_sections(recipe, facts))


def resolved_sections(recipe: Recipe, facts: Facts) -> dict[str, Any]:
    """Return the resolved values of the sections that all methods have."""
    data: dict[str, Any] = {"text": one_or_all(facts.text), "label": one_or_all(facts.label)}
    if _has_names(recipe):
        data |= {"labels": list(facts.labels), "label_separator": facts.label_separator}
    update: dict[str, Any] = {
        "metric": recipe.main_metric,
        "data": recipe.data.model_copy(update=data),
        "study": StudySection(),  # a run has the same id in every study
    }
    if recipe.method not in STEPS:
        update["train"] = recipe.train.model_copy(update={"calibrate": _calibrate(recipe)})
    if recipe.method != "tfidf":
        return update | {"model": recipe.model.model_copy(update={"pooling": facts.pooling or "native"})}
    analyzer = recipe.tfidf.analyzer
    if analyzer == "auto":
        analyzer = "word" if facts.separated else "mixed"
    return update | {"tfidf": recipe.tfidf.model_copy(update={"analyzer": analyzer})}


def _train(recipe: Recipe, facts: Facts) -> dict[str, Any]:
    """Return the resolved values of the section `train`."""
    train, method, is_small = recipe.train, recipe.method, facts.budget <= SMALL_BUDGET
    is_pretrained, is_pooled = method != "scratch" and _is_pretrained(facts.distill), facts.pooling is not None
    has_contrastive_loss = is_pooled and _has_names(recipe) and not recipe.data.multi_label
    student = None if facts.distill is None else facts.distill.student
    if method in ("distill", "student"):
        is_small, dropout = facts.transfer <= SMALL_BUDGET, 0.0 if method == "distill" else None
        train = train.model_copy(update={"refit": bool(train.refit)})
    else:
        dropout = None if is_small or not is_pretrained else 0.0
    batch_size = train.batch_size or (16 if is_small else 32)
    head = ("probe" if is_pretrained and is_pooled else "random") if train.head == "auto" else train.head
    if method == "distill" and student is not None and student.checkpoint is None:
        head = "random" if train.head == "auto" else train.head  # replaced by the teacher's head
    return {
        "batch_size": batch_size,
        "learning_rate": train.learning_rate or LEARNING_RATE[method],
        "epochs": train.epochs or _epochs(method, facts, batch_size),
        "contrastive": or_default(train.contrastive, CONTRASTIVE[method] if has_contrastive_loss else 0.0),
        "dropout": or_default(train.dropout, dropout),
        "head": head,
        "label_names": train.label_names and head == "probe" and _has_names(recipe),
        "average": train.average or 1,
        "calibrate": _calibrate(recipe),
        "padding_free": train.padding_free and (student is None or student.architecture == "transformer"),
        "freeze_embeddings": or_default(train.freeze_embeddings, is_pretrained),
        # For method distill, `refit` is for the teacher. A control is trained once, as its student is.
        "refit": bool(facts.validation)
        and method != "distill"
        and or_default(train.refit, is_small and train.select == "last"),
    }


def _calibrate(recipe: Recipe) -> str | None:
    return recipe.train.calibrate or ("temperature" if _has_names(recipe) else None)


def _has_names(recipe: Recipe) -> bool:
    """Return whether labels have names, unlike numbers and translations."""
    return recipe.data.targets is TargetKind.LABELS


def _is_pretrained(distill: DistillSection | None) -> bool:
    """Return True unless a student starts from random weights or is not a transformer."""
    student = None if distill is None else distill.student
    return student is None or (student.architecture == "transformer" and student.init != "random")


def _epochs(method: str, facts: Facts, batch_size: int) -> float:
    """Return enough epochs for the method's steps, and on large budgets for enough visits of every class."""
    if method == "student":
        steps = math.ceil(facts.transfer / batch_size) * _epochs("distill", facts, batch_size)
        return epochs_of(round(steps), facts.train, batch_size)
    low, high = EPOCHS[method]
    examples = facts.transfer if method == "distill" else facts.train
    epochs = round(STEPS[method] / math.ceil(examples / batch_size))
    if facts.budget > SMALL_BUDGET and method != "distill":
        epochs = max(epochs, round(VISITS * len(facts.labels) / facts.train))
    return float(min(high, max(low, epochs)))


def _refuse_idle_keys(recipe: Recipe, facts: Facts) -> None:
    """Raise RecipeError for a key that has no effect with these data or this checkpoint."""
    train = recipe.train
    if facts.pooling is None and recipe.method in STEPS:
        need = "needs text vectors, and this checkpoint declares no pooling"
        if train.head == "probe":
            raise RecipeError(
                f"probe {need}", "set model.pooling to mean or cls, or leave train.head out", key="train.head"
            )
        if train.contrastive:
            raise RecipeError(
                f"it {need}",
                "set model.pooling to mean or cls, or leave train.contrastive out",
                key="train.contrastive",
            )
    if train.contrastive and recipe.method == "distill":
        raise RecipeError("a student learns from its teacher, not from labels", "leave it out", key="train.contrastive")
    if train.contrastive and recipe.data.multi_label and recipe.method in STEPS:
        raise RecipeError("it needs one label per example", "leave it out", key="train.contrastive")
    if recipe.method == "lora" and train.freeze_embeddings is False:
        raise RecipeError(
            "LoRA trains only adapters and the head",
            "leave it out, or use method finetune",
            key="train.freeze_embeddings",
        )
