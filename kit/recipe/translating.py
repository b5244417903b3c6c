"""The `translation` section: how languages are told to a checkpoint, what is made where it has no decoder, and search.

Knows types, ranges and defaults, and which keys of a recipe mean nothing for its task. Knows nothing of models.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from kit.recipe.section import Name, Section

if TYPE_CHECKING:
    from kit.recipe.schema import Recipe

TRANSLATING = ("finetune", "lora", "scratch", "distill", "student")  # methods
SCORES = ("bleu", "chrf")
LABEL_SMOOTHING = 0.1
# Of a fresh decoder, and of the encoder under it.
DECODER_LAYERS = 3
DECODER_DROPOUT, ENCODER_RATE = 0.3, 0.2


class TranslationSection(Section):
    """Used when `task` is translation."""

    codes: Annotated[list[Name], Field(min_length=2, max_length=2)] | None = None
    """What a multilingual checkpoint's tokenizer calls the two languages (`[en_XX, de_DE]`, `[eng_Latn, deu_Latn]`); by
    default found from `data.languages`."""
    prefix: str | None = None
    """Text before every source, as T5 wants it; by default `translate English to German: ` for T5, else nothing."""
    beams: Annotated[int, Field(ge=1, le=64)] = 4
    """Hypotheses that the search keeps; 1 takes the likeliest token each time, which is faster."""
    length_penalty: Annotated[float, Field(ge=-10, le=10)] = 1.0
    """Scores of hypotheses are divided by their length to this power: above 1 favours longer translations."""
    decoder_layers: Annotated[int, Field(ge=1, le=48)] = DECODER_LAYERS
    """Layers of the decoder that is made for a checkpoint that has only an encoder."""
    decoder_dropout: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Dropout in that decoder, which is fresh and learns a small budget by heart (0.3); `train.dropout` is the
    encoder's."""
    encoder_rate: Annotated[float, Field(gt=0, le=1)] | None = None
    """Learning rate of the encoder under that decoder, as a share of `train.learning_rate`: what is pretrained has less
    to learn (0.2)."""
    vocabulary: Annotated[int, Field(ge=300, le=250_000)] | None = None
    """Tokens of the tokenizer that is trained on the budget: of the target language for a checkpoint that has only an
    encoder (4,000; above 10,000 pairs 8,000), of both for method scratch (10,000)."""


def contradictions_of_translation(recipe: Recipe) -> dict[str, bool]:
    """What cannot be asked of a translation, and whether this recipe asks for it."""
    data, train, metric = recipe.data, recipe.train, recipe.metric
    losses = recipe.distill.losses
    untaught = (["mse"] if losses.mse else []) + losses.of_tokens
    return {
        "task: translation needs data.languages, source and target ([en, de])": data.languages is None,
        f"metric {metric} is of labels; translations have bleu and chrf": metric not in (None, *SCORES),
        f"method {recipe.method} cannot translate; {', '.join(TRANSLATING)} can": recipe.method not in TRANSLATING,
        "data.multi_label: a translation is no label": data.multi_label,
        "data.labels: a translation is no label": data.labels is not None,
        "data.sampling: translations have no classes to balance": data.sampling == "balanced",
        "train.refit: a translator is trained once; leave it out": bool(train.refit),
        "lora.load: of a translator only float32; leave it out": recipe.lora.load != "float32",
        "distill.losses: a translator learns what its teacher writes (sequence, logits) and references (labels): not "
        f"{', '.join(untaught)}": bool(untaught),
        "distill.losses: the student must learn something of the teacher's; give a weight to sequence or logits": (
            losses.sequence == 0 and not losses.logits
        ),
        "distill.temperature is for distill.losses.logits, which has no weight": (
            recipe.distill.temperature is not None and not losses.logits
        ),
        "model.pooling: a translator does not pool; leave it out": recipe.model.pooling not in ("auto", "native"),
        "train.head: probe is of classification; leave it out": train.head == "probe",
        "compress.steps: a translator cannot learn its rounding; leave aware out": any(
            getattr(step, "aware", 0.0) for step in recipe.compress.steps
        ),
        "compress.steps: calibration: static is of classifiers; leave it out": any(
            getattr(step, "calibration", "") == "static" for step in recipe.compress.steps
        ),
        "compress.gate.worst_class: a translation has no classes; leave it out": (
            recipe.compress.gate.worst_class is not None
        ),
        "train.padding_free: it is for encoders alone; leave it out": train.padding_free,
        "train.contrastive: it compares labels; leave it out": bool(train.contrastive),
    }


def contradictions_of_labels(recipe: Recipe) -> dict[str, bool]:
    """What only a translation has, and whether this recipe, which is none, asks for it."""
    return {
        "data.languages: only task translation has them": recipe.data.languages is not None,
        f"metric {recipe.metric} is for task translation": recipe.metric in SCORES,
        "distill.losses.sequence: only a translator writes; use logits": recipe.distill.losses.sequence is not None,
    }
