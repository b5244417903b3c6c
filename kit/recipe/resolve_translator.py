"""Resolution of recipes for translators."""

from __future__ import annotations

import math
from typing import Any

from kit.errors import RecipeError
from kit.recipe.defaults import FEW_PAIRS, RATE_WIDTH, TRANSLATION, VOCABULARY, Facts, or_default
from kit.recipe.resolved import ResolvedDistill, ResolvedTrain, TrainingRecipe
from kit.recipe.schema import Recipe
from kit.recipe.sections.study import StudySection
from kit.recipe.sections.translation import DECODER_DROPOUT, DECODER_LAYERS, ENCODER_RATE, LABEL_SMOOTHING


def resolve_translator(recipe: Recipe, facts: Facts) -> TrainingRecipe:
    """Return the resolved recipe of a translator, see `resolve`."""
    _refuse_idle_keys(recipe, facts)
    return TrainingRecipe.of(
        recipe,
        None if facts.distill is None else ResolvedDistill.of_translator(facts.distill),
        metric=recipe.main_metric,
        data=recipe.data.model_copy(update={"text": facts.text[0], "label": facts.label[0]}),
        study=StudySection(),
        model=recipe.model.model_copy(update={"pooling": "native"}),
        translation=recipe.translation.model_copy(update=_translation(recipe, facts)),
        train=ResolvedTrain.from_section(recipe.train, **_train(recipe, facts)),
    )


def _translation(recipe: Recipe, facts: Facts) -> dict[str, Any]:
    """Return the resolved values of the section `translation`."""
    assert facts.start is not None
    section, has_new_decoder = recipe.translation, facts.start == "encoder"
    # A tokenizer of a student of random weights is trained on the texts that the student is distilled on.
    pairs = max(facts.budget, facts.transfer) if facts.start == "nothing" else facts.budget
    return {
        "codes": list(facts.codes) if facts.codes else None,
        "prefix": facts.prefix,
        "vocabulary": section.vocabulary or VOCABULARY[facts.start][pairs > FEW_PAIRS],
        "decoder_dropout": or_default(section.decoder_dropout, DECODER_DROPOUT) if has_new_decoder else None,
        # Adapters are as new as the decoder and learn at the same rate.
        "encoder_rate": (
            or_default(section.encoder_rate, ENCODER_RATE) if has_new_decoder and recipe.method != "lora" else None
        ),
    }


def _train(recipe: Recipe, facts: Facts) -> dict[str, Any]:
    """Return the resolved values of the section `train`."""
    train, start = recipe.train, _training_start(recipe, facts)
    usual = TRANSLATION[start]
    low, high = usual["epochs"]
    examples = facts.transfer if recipe.method == "distill" else facts.train
    epochs = math.ceil(usual["steps"] * usual["batch_size"] / examples)
    # The mean of several weights needs as many evaluations, and cannot be selected by validation loss.
    average = 1 if train.select == "best" else min(usual["average"], train.evaluations)
    return {
        "batch_size": train.batch_size or usual["batch_size"],
        "learning_rate": train.learning_rate or _learning_rate(recipe, facts, usual),
        "epochs": train.epochs or float(min(high, max(low, epochs))),
        "contrastive": 0.0,
        "head": "random",
        "label_names": False,
        "label_smoothing": or_default(train.label_smoothing, LABEL_SMOOTHING),
        "freeze_embeddings": or_default(train.freeze_embeddings, start in ("encoder", "layers")),
        "refit": False,
        "average": train.average or average,
    }


def _learning_rate(recipe: Recipe, facts: Facts, usual: dict[str, Any]) -> float:
    """Return the usual rate; for a student of random weights it falls with the root of the width (Vaswani 2017)."""
    rate = float(usual["lora" if recipe.method == "lora" else "rate"])
    width = facts.distill.student.hidden_size if facts.start == "nothing" and facts.distill is not None else None
    return rate if width is None else float(f"{rate * (RATE_WIDTH / width) ** 0.5:.2g}")


def _training_start(recipe: Recipe, facts: Facts) -> str:
    """Return the key of `TRANSLATION` for the weights that training starts from."""
    assert facts.start is not None
    section = facts.distill if recipe.method in ("distill", "student") else None
    # A teacher that is yet to be made from an encoder will be a translation model.
    teacher = "translator" if facts.start == "encoder" and recipe.method == "distill" else facts.start
    is_cut_out = section is not None and section.student.checkpoint is None and teacher == "translator"
    return "layers" if is_cut_out else facts.start


def _refuse_idle_keys(recipe: Recipe, facts: Facts) -> None:
    """Raise RecipeError for a key that has no effect with this checkpoint.

    Keys of method distill or student are accepted, because they may be for the teacher or the control.
    """
    section, is_student = recipe.translation, recipe.method in ("distill", "student")
    is_translator, is_encoder = facts.start == "translator", facts.start == "encoder"
    has_decoder_keys = (section.decoder_dropout, section.encoder_rate) != (None, None)
    has_decoder_keys = has_decoder_keys or section.decoder_layers != DECODER_LAYERS
    if is_translator and section.vocabulary is not None and not is_student:
        raise RecipeError("this checkpoint has its own vocabulary", "leave it out", key="translation.vocabulary")
    if not is_encoder and has_decoder_keys and not is_student:
        raise RecipeError(
            "translation.decoder_layers, decoder_dropout and encoder_rate are for an encoder-only checkpoint",
            "leave them out",
        )
    if is_encoder and recipe.method == "lora" and section.encoder_rate is not None:
        raise RecipeError(
            "method lora trains adapters at the rate of the decoder", "leave it out", key="translation.encoder_rate"
        )
    if not is_translator and (section.codes or section.prefix) and not is_student:
        raise RecipeError(
            "translation.codes and translation.prefix are for a checkpoint that can translate", "leave them out"
        )
