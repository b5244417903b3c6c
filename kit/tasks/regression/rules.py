"""Rules that regression adds to recipes."""

from __future__ import annotations

from kit.recipe.schema import Recipe, TaskRules
from kit.recipe.sections.data import TargetKind
from kit.recipe.sections.methods import ENCODER_METHODS
from kit.tasks.encoder_rules import encoder_contradictions

METRICS = ("r2", "pearson", "spearman")


def _contradictions(recipe: Recipe) -> dict[str, bool]:
    """Return messages about keys that contradict regression, each with whether it applies."""
    data, train, distill = recipe.data, recipe.train, recipe.distill
    steps = recipe.compress.steps
    return encoder_contradictions(recipe) | {
        "data.multi_label: a number is one label per example; leave it out": data.multi_label,
        "data.labels: the label is a number, not one of some names; leave it out": data.labels is not None,
        "data.normalise_labels: a number has no spelling; leave it out": data.normalise_labels,
        "data.label_separator: a number is one label per example; leave it out": data.label_separator is not None,
        "data.sampling: numbers have no classes to balance; leave it out": data.sampling == "balanced",
        "train.calibrate: a number has no probability; leave it out": recipe.train.calibrate == "temperature",
        "train.contrastive: the contrastive loss compares labels; leave it out": bool(train.contrastive),
        "train.label_smoothing: a number has no smoothed labels; leave it out": bool(train.label_smoothing),
        "distill.losses.mse: for regression, logits is the squared error of the predictions; use logits": (
            bool(distill.losses.mse)
        ),
        "distill.temperature: a number has no temperature; leave it out": distill.temperature
        not in (None, 2.0),  # the default in resolved recipes
        "compress.gate.worst_class: numbers have no classes; leave it out": recipe.compress.gate.worst_class
        is not None,
        "compress.steps: early-exit compares probabilities of labels; leave it out": any(
            step.technique == "early-exit" for step in steps
        ),
    }


RULES = TaskRules(
    family="encoders",
    targets=TargetKind.NUMBERS,
    methods=ENCODER_METHODS,
    methods_without_checkpoint=("tfidf",),
    metrics=METRICS,
    default_metric=lambda recipe: "r2",
    contradictions=_contradictions,
)
