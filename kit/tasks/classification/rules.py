"""Rules that classification adds to recipes."""

from __future__ import annotations

from kit.recipe.schema import Recipe, TaskRules
from kit.recipe.sections.data import TargetKind
from kit.recipe.sections.methods import ENCODER_METHODS
from kit.tasks.encoder_rules import encoder_contradictions


def contradictions(recipe: Recipe) -> dict[str, bool]:
    """Return messages about keys that contradict classification, each with whether it applies."""
    metric, multi_label = recipe.metric, recipe.data.multi_label
    return encoder_contradictions(recipe) | {
        "metric exact_match needs data.multi_label; for one label per example, use accuracy": (
            metric == "exact_match" and not multi_label
        ),
        f"metric {metric} needs one label per example; use macro_f1 or exact_match": (
            metric in ("accuracy", "mcc") and multi_label
        ),
    }


RULES = TaskRules(
    family="encoders",
    targets=TargetKind.LABELS,
    methods=ENCODER_METHODS,
    methods_without_checkpoint=("tfidf",),
    metrics=("accuracy", "macro_f1", "mcc", "exact_match"),
    default_metric=lambda recipe: "macro_f1" if recipe.data.multi_label else "accuracy",
    contradictions=contradictions,
)
