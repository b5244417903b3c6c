"""Rules that translation adds to recipes."""

from __future__ import annotations

from kit.recipe.schema import Recipe, TaskRules
from kit.recipe.sections.data import TargetKind
from kit.recipe.sections.translation import TRANSLATION_METHODS, TRANSLATION_METRICS
from kit.recipe.task_registry import tasks_with_metric


def _contradictions_of_translation(recipe: Recipe) -> dict[str, bool]:
    """Return messages about keys that contradict translation, each with whether it applies."""
    data, train, method, metric = recipe.data, recipe.train, recipe.method, recipe.metric
    losses, steps = recipe.distill.losses, recipe.compress.steps
    tasks = [] if metric is None else tasks_with_metric(metric)
    unsupported = (["mse"] if losses.mse else []) + losses.of_tokens
    return {
        "task: translation needs data.languages, source and target language ([en, de])": data.languages is None,
        f"metric {metric} is for task {' or '.join(tasks)}": metric not in (None, *TRANSLATION_METRICS),
        f"method {method} cannot translate; {', '.join(TRANSLATION_METHODS)} can": method not in TRANSLATION_METHODS,
        "data.multi_label: translation has no labels; leave it out": data.multi_label,
        "data.labels: translation has no labels; leave it out": data.labels is not None,
        "data.sampling: translation has no classes to balance": data.sampling == "balanced",
        "train.refit: not available for translation; leave it out": bool(train.refit),
        "lora.load: translation supports only float32; leave it out": recipe.lora.load != "float32",
        f"distill.losses: translation supports sequence, logits and labels, not {', '.join(unsupported)}": (
            bool(unsupported)
        ),
        "distill.losses: the student must learn from its teacher; give sequence or logits a weight": (
            losses.sequence == 0 and not losses.logits
        ),
        "distill.temperature has no effect: distill.losses.logits has no weight": (
            recipe.distill.temperature is not None and not losses.logits
        ),
        "model.pooling: not available for translation; leave it out": (recipe.model.pooling not in ("auto", "native")),
        "train.head: probe is only for encoders; leave it out": train.head == "probe",
        "compress.steps: aware is for classifiers; leave it out": (any(getattr(step, "aware", 0.0) for step in steps)),
        "compress.steps: calibration: static is for classifiers; leave it out": (
            any(getattr(step, "calibration", "") == "static" for step in steps)
        ),
        "compress.steps: greedy has no effect with translation.beams: 1; leave it out": (
            recipe.translation.beams == 1 and any(step.technique == "greedy" for step in steps)
        ),
        "compress.gate.worst_class: translation has no classes; leave it out": (
            recipe.compress.gate.worst_class is not None
        ),
        "train.padding_free: only for encoders; leave it out": train.padding_free,
        "train.calibrate: a translation has no probabilities of labels; leave it out": (
            recipe.train.calibrate == "temperature"
        ),
        "train.contrastive: the contrastive loss compares labels; leave it out": bool(train.contrastive),
    }


RULES = TaskRules(
    family="translators",
    targets=TargetKind.REFERENCES,
    methods=TRANSLATION_METHODS,
    methods_without_checkpoint=("scratch",),
    metrics=TRANSLATION_METRICS,
    default_metric=lambda recipe: "bleu",
    contradictions=_contradictions_of_translation,
    writes_text=True,
    output_column="translation",
    student=None,
)
