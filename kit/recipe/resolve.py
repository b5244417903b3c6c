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
from kit.recipe.schema import Recipe
from kit.recipe.section import one_or_all
from kit.recipe.sections.data import VALIDATION_MOST, VALIDATION_SHARE
from kit.recipe.sections.distillation import DistillSection
from kit.recipe.sections.study import StudySection
from kit.recipe.sections.training import TrainSection
from kit.recipe.sections.translation import DECODER_DROPOUT, DECODER_LAYERS, ENCODER_RATE, LABEL_SMOOTHING

# Learning rates differ by an order of magnitude between methods, so each has its own default. So has the
# weight of the contrastive loss, which needs vectors that already mean something.
LEARNING_RATE = {"finetune": 1.0e-4, "lora": 1.0e-3, "scratch": 5.0e-4, "distill": 2.0e-4, "student": 1.0e-4}
CONTRASTIVE = {"finetune": 0.5, "lora": 0.5, "scratch": 0.0, "distill": 0.0, "student": 0.5}
# A small budget needs many passes to move the weights at all, a large one needs few: unless `epochs` is
# given, the epochs follow from a number of steps, within these bounds.
# A student's control takes as many steps as the student.
STEPS = {"finetune": 200, "lora": 200, "scratch": 600, "distill": 1000, "student": 1000}
EPOCHS = {"finetune": (3, 8), "lora": (3, 6), "scratch": (6, 8), "distill": (4, 12)}
# Keys of `train` that mean something else, or are well chosen otherwise, for another method, with their defaults.
METHOD_DEFAULTS: dict[str, Any] = {
    key: TrainSection.model_fields[key].default
    for key in ("epochs", "learning_rate", "contrastive", "dropout", "head", "freeze_embeddings", "average")
}
# Of translation, by what training starts from: rates, batches, and as many passes over the pairs as come to `steps`,
# within bounds. `layers` is a student that was cut out of its teacher, or its control: at 5e-5 half a pass taught it
# less than a quarter of one at 3e-4, which Shleifer & Rush 2020 (arXiv:2010.13002) used too, with embeddings kept.
# `nothing` takes the steps that a small Transformer is known to take: after 13,000, with 29,000 pairs, it was still
# improving, and made pretraining look twice as good as it is. Of 5,000 pairs 45 epochs are learnt by heart.
TRANSLATION: dict[str, dict[str, Any]] = {
    "translator": {"rate": 5e-5, "lora": 5e-4, "batch_size": 32, "steps": 500, "epochs": (2, 10), "average": 1},
    "layers": {"rate": 3e-4, "batch_size": 32, "steps": 1_800, "epochs": (2, 10), "average": 1},
    "encoder": {"rate": 1e-3, "lora": 1e-3, "batch_size": 32, "steps": 1_600, "epochs": (8, 40), "average": 1},
    "nothing": {"rate": 3e-3, "lora": 3e-3, "batch_size": 32, "steps": 35_000, "epochs": (15, 45), "average": 3},
}
RATE_WIDTH = 128  # width of token vectors that the rate of what starts from nothing is for
# Tokens of a tokenizer that is made, of few pairs and of many: rare tokens of few pairs would be seen once or never.
VOCABULARY = {"translator": (None, None), "encoder": (4_000, 8_000), "nothing": (3_000, 10_000)}
FEW_PAIRS = 10_000
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
    "translation": (TRANSLATION, RATE_WIDTH),
    "vocabulary": (VOCABULARY, FEW_PAIRS),
}


@dataclass(frozen=True)
class Facts:
    """What defaults depend on, beside the recipe.

    text, label: columns. labels: names in logit order. train, validation: examples of each; together they are the
    budget. pooling: the kind that text vectors are pooled by, None for a native head or no checkpoint at all. distill:
    the section with the student's shape, and transfer: texts to distil on; for distill and student. separated: whether
    spaces separate the words of the training texts. Of translation:
    start: `translator`, `encoder` or `nothing`, what the checkpoint is; codes, prefix: how it is told the languages.
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
        """Labels bought."""
        return self.train + self.validation


def resolve(recipe: Recipe, facts: Facts) -> Recipe:
    """The recipe with every default filled in that the schema leaves open.

    What stays None has a meaning of its own: all examples, a tenth of them to validate on, the checkpoint's own
    dropout, a C chosen on validation examples. `train.precision: auto` stays too, for the machine to answer.
    Raises RecipeError for keys that these data or this checkpoint give no effect.
    """
    if recipe.task == "translation":
        return _translation(recipe, facts)
    _refuse_idle_keys(recipe, facts)
    data: dict[str, Any] = {
        "text": one_or_all(facts.text),
        "label": one_or_all(facts.label),
        "labels": list(facts.labels),
        "label_separator": facts.label_separator,
    }
    filled: dict[str, Any] = {
        "metric": recipe.main_metric,
        "data": recipe.data.model_copy(update=data),
        "study": StudySection(),  # a run is the same whatever grid it belongs to
    }
    if recipe.method == "tfidf":
        usual = "word" if facts.separated else "mixed"
        analyzer = usual if recipe.tfidf.analyzer == "auto" else recipe.tfidf.analyzer
        filled["tfidf"] = recipe.tfidf.model_copy(update={"analyzer": analyzer})
    else:
        filled["model"] = recipe.model.model_copy(update={"pooling": facts.pooling or "native"})
    if facts.distill is not None:
        filled["distill"] = facts.distill.resolved(translates=False)
    if recipe.method in STEPS:
        filled["train"] = recipe.train.model_copy(update=_training(recipe, facts))
    return recipe.model_copy(update=filled)


def _translation(recipe: Recipe, facts: Facts) -> Recipe:
    """The recipe of a translation in full."""
    assert facts.start is not None
    train, section = recipe.train, recipe.translation
    start = _training_start(recipe, facts)
    usual = TRANSLATION[start]
    if train.select == "best" and not facts.validation:
        raise RecipeError(
            "train.select: best needs validation examples, and there are none", "raise data.validation or data.budget"
        )
    # Of a student made of its teacher's layers, the key is for the teacher, and for the control.
    of_student = recipe.method in ("distill", "student")
    if facts.start == "translator" and section.vocabulary is not None and not of_student:
        raise RecipeError("translation.vocabulary: this checkpoint has a vocabulary of its own", "leave it out")
    decoder = _fresh_decoder(recipe, facts)
    if facts.start != "translator" and (section.codes or section.prefix) and not of_student:
        raise RecipeError(
            "translation.codes and translation.prefix are for a checkpoint that translates", "leave them out"
        )
    batch_size = train.batch_size or int(usual["batch_size"])
    low, high = usual["epochs"]
    lessons = facts.transfer if recipe.method == "distill" else facts.train
    wanted = usual["steps"] * 32 / lessons
    fresh = facts.start == "nothing"
    pairs = max(facts.budget, facts.transfer) if fresh else facts.budget  # that a tokenizer is made of
    rate = float(usual["lora" if recipe.method == "lora" else "rate"])
    width = facts.distill.student.hidden_size if fresh and facts.distill is not None else None
    if width is not None:  # falls with the root of the width (Vaswani et al. 2017)
        rate = float(f"{rate * (RATE_WIDTH / width) ** 0.5:.2g}")
    return recipe.model_copy(
        update={
            "metric": recipe.main_metric,
            "data": recipe.data.model_copy(update={"text": facts.text[0], "label": facts.label[0]}),
            "study": StudySection(),
            **({"distill": facts.distill.resolved(translates=True)} if facts.distill is not None else {}),
            "model": recipe.model.model_copy(update={"pooling": "native"}),
            "translation": section.model_copy(
                update={
                    "codes": list(facts.codes) if facts.codes else None,
                    "prefix": facts.prefix,
                    "vocabulary": section.vocabulary or VOCABULARY[facts.start][pairs > FEW_PAIRS],
                    **decoder,
                }
            ),
            "train": train.model_copy(
                update={
                    "batch_size": batch_size,
                    "learning_rate": train.learning_rate or rate,
                    "epochs": train.epochs or float(min(high, max(low, math.ceil(wanted)))),
                    "contrastive": 0.0,
                    "head": "random",
                    "label_names": False,
                    "label_smoothing": _or(train.label_smoothing, LABEL_SMOOTHING),
                    "freeze_embeddings": _or(train.freeze_embeddings, start in ("encoder", "layers")),
                    "refit": False,
                    "average": train.average or _average(train, usual["average"]),
                }
            ),
        }
    )


def _training_start(recipe: Recipe, facts: Facts) -> str:
    """The key of `TRANSLATION`. A teacher that is still to be made of an encoder will be a translator."""
    assert facts.start is not None
    section = facts.distill if recipe.method in ("distill", "student") else None
    whole = "translator" if facts.start == "encoder" and recipe.method == "distill" else facts.start
    cut = section is not None and section.student.checkpoint is None and whole == "translator"
    return "layers" if cut else facts.start


def _average(train: TrainSection, usual: int) -> int:
    """The usual number of weights that are averaged, as far as training pauses so often and none is selected."""
    return 1 if train.select == "best" else min(usual, train.evaluations)


def _fresh_decoder(recipe: Recipe, facts: Facts) -> dict[str, float | None]:
    """How a decoder that is made is trained; nothing where none is. A student's keys are for teacher and control."""
    section = recipe.translation
    given = (section.decoder_dropout, section.encoder_rate)
    if facts.start != "encoder":
        layers = section.decoder_layers != DECODER_LAYERS
        if (given != (None, None) or layers) and recipe.method not in ("distill", "student"):
            raise RecipeError(
                "translation.decoder_layers, decoder_dropout and encoder_rate are for an encoder with a fresh decoder",
                "leave them out",
            )
        given = (None, None)
    else:
        if recipe.method == "lora" and given[1] is not None:
            raise RecipeError(
                "translation.encoder_rate: adapters are as fresh as the decoder, and learn at its rate", "leave it out"
            )
        given = (_or(given[0], DECODER_DROPOUT), None if recipe.method == "lora" else _or(given[1], ENCODER_RATE))
    return dict(zip(("decoder_dropout", "encoder_rate"), given, strict=True))


def _training(recipe: Recipe, facts: Facts) -> dict[str, Any]:
    train, method, small = recipe.train, recipe.method, facts.budget <= SMALL_BUDGET
    pretrained, pooled = method != "scratch" and _from_weights(facts.distill), facts.pooling is not None
    compared = pooled and not recipe.data.multi_label
    student = None if facts.distill is None else facts.distill.student
    if method in ("distill", "student"):
        small, dropout = facts.transfer <= SMALL_BUDGET, 0.0 if method == "distill" else None
        train = train.model_copy(update={"refit": bool(train.refit)})
    else:
        dropout = None if small or not pretrained else 0.0
    batch_size = train.batch_size or (16 if small else 32)
    head = ("probe" if pretrained and pooled else "random") if train.head == "auto" else train.head
    if method == "distill" and facts.distill is not None and facts.distill.student.checkpoint is None:
        head = "random" if train.head == "auto" else train.head  # the teacher's own, where the student is made of it
    return {
        "batch_size": batch_size,
        "learning_rate": train.learning_rate or LEARNING_RATE[method],
        "epochs": train.epochs or _epochs(method, facts, batch_size),
        "contrastive": _or(train.contrastive, CONTRASTIVE[method] if compared else 0.0),
        "dropout": _or(train.dropout, dropout),
        "head": head,
        "label_names": train.label_names and head == "probe",
        "average": train.average or 1,
        "padding_free": train.padding_free and (student is None or student.architecture == "transformer"),
        "freeze_embeddings": _or(train.freeze_embeddings, pretrained),
        # Of method distill, the key is for the teacher; a control trains as often as its student, which is once.
        "refit": bool(facts.validation) and method != "distill" and _or(train.refit, small and train.select == "last"),
    }


def _from_weights(distill: DistillSection | None) -> bool:
    """Whether a student's encoder starts from pretrained weights as they are; true where there is no student."""
    student = None if distill is None else distill.student
    return student is None or (student.architecture == "transformer" and student.init != "random")


def _epochs(method: str, facts: Facts, batch_size: int) -> float:
    """Enough passes for the method's usual steps, and on large budgets for many visits of every class."""
    if method == "student":
        steps = math.ceil(facts.transfer / batch_size) * _epochs("distill", facts, batch_size)
        return epochs_of(round(steps), facts.train, batch_size)
    low, high = EPOCHS[method]
    examples = facts.transfer if method == "distill" else facts.train
    wanted = round(STEPS[method] / math.ceil(examples / batch_size))
    if facts.budget > SMALL_BUDGET and method != "distill":
        wanted = max(wanted, round(VISITS * len(facts.labels) / facts.train))
    return float(min(high, max(low, wanted)))


def epochs_of(steps: int, examples: int, batch_size: int) -> float:
    """Epochs that come to just this many steps."""
    return (steps - 0.5) / math.ceil(examples / min(batch_size, examples))


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
    if train.contrastive and recipe.method == "distill":
        raise RecipeError("train.contrastive: a student learns from its teacher, not from labels", "drop it")
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
