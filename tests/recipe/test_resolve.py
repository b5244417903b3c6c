"""Defaults that depend on the method, the budget, the labels and the checkpoint."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kit.errors import RecipeError
from kit.recipe import Recipe
from kit.recipe.defaults import EPOCHS, LEARNING_RATE, RATE_WIDTH, STEPS, Facts
from kit.recipe.identity import keys_in_id
from kit.recipe.resolve import resolve
from kit.recipe.resolved import TrainingRecipe
from kit.recipe.sections.distillation import DistillSection
from kit.training.plan import make_plan

FACTS = Facts(("text",), ("label",), ("no", "yes"), train=900, validation=100, pooling="mean", transfer=900)
LARGE = replace(FACTS, train=9_500, validation=500)


def recipe(method: str = "finetune", **train: Any) -> Recipe:
    data = {"source": "x.csv"}
    return Recipe(task="classification", method=method, data=data, model={"checkpoint": "x"}, train=train)


def test_guesses_are_in_the_resolved_recipe() -> None:
    done = resolve(recipe(), FACTS)
    assert (done.metric, done.data.text, done.data.label, done.data.labels) == (
        "accuracy", "text", "label", ["no", "yes"],
    )  # fmt: skip
    assert done.model.pooling == "mean"
    pair = resolve(recipe(), replace(FACTS, text=("premise", "hypothesis"), pooling=None))
    assert pair.data.text == ["premise", "hypothesis"]
    assert (pair.model.pooling, pair.train.head, pair.train.contrastive) == ("native", "random", 0.0)


def test_padding_free_changes_only_ids_of_transformers() -> None:
    for shape, left_out in (("cnn", False), ("transformer", True)):
        section = DistillSection(student={"architecture": shape} if shape == "cnn" else {"layers": [0]})
        facts = replace(FACTS, distill=section)
        free, usual = (resolve(recipe("distill", padding_free=wanted), facts) for wanted in (True, False))
        assert free.train.padding_free is left_out
        assert (keys_in_id(free, ()) == keys_in_id(usual, ())) is not left_out


def test_explicit_defaults_give_the_same_id() -> None:
    asked = Recipe(
        task="classification",
        metric="accuracy",
        data={"source": "x.csv", "text": ["text"], "label": "label"},
        model={"checkpoint": "x", "pooling": "mean"},
        train={"learning_rate": 1e-4, "epochs": 4, "batch_size": 16, "head": "probe", "refit": True},
    )
    asked_keys, usual_keys, other_keys = (
        keys_in_id(resolve(one, FACTS), ()) for one in (asked, recipe(), recipe(learning_rate=2e-4))
    )
    assert asked_keys == usual_keys != other_keys


@pytest.mark.parametrize("method", sorted(STEPS))
def test_resolving_twice_changes_nothing(method: str) -> None:
    once = resolve(recipe(method), FACTS)
    assert resolve(once, FACTS) == once
    assert TrainingRecipe.model_validate(once.model_dump()) == once
    assert once.train.learning_rate == LEARNING_RATE[method]
    assert resolve(recipe(method, learning_rate=0.5), FACTS).train.learning_rate == 0.5


@pytest.mark.parametrize("method", sorted(EPOCHS))
def test_epochs_follow_from_steps_within_bounds(method: str) -> None:
    low, high = EPOCHS[method]
    between = (low + high) // 2
    some_examples = 16 * round(STEPS[method] / between)
    few = replace(FACTS, train=10, validation=0, transfer=10)
    some = replace(FACTS, train=some_examples, validation=0, transfer=some_examples)
    many = replace(FACTS, train=10_000_000, transfer=10_000_000)
    assert resolve(recipe(method), few).train.epochs == high
    assert resolve(recipe(method, batch_size=16), many).train.epochs == low
    if some_examples <= 1000:
        assert resolve(recipe(method), some).train.epochs == between
    assert resolve(recipe(method, epochs=2.5), few).train.epochs == 2.5


@pytest.mark.parametrize(("train", "transfer"), [(10, 700), (900, 900), (1_800, 7_330), (13, 1_000)])
def test_a_control_takes_as_many_steps_as_its_student(train: int, transfer: int) -> None:
    facts = replace(FACTS, train=train, validation=0, transfer=transfer)
    student, control = (resolve(recipe(method), facts).train for method in ("distill", "student"))
    assert student.batch_size == control.batch_size
    assert make_plan(control, train).steps == make_plan(student, transfer).steps


def test_many_classes_get_more_passes_on_a_large_budget() -> None:
    names = tuple(f"class {k}" for k in range(77))
    assert resolve(recipe(), LARGE).train.epochs == 3
    assert resolve(recipe(), replace(LARGE, labels=names)).train.epochs == 8
    assert resolve(recipe(), replace(LARGE, labels=names, train=20_000)).train.epochs == 4


def test_small_budgets_trade_time_for_accuracy() -> None:
    small, large = resolve(recipe(), FACTS).train, resolve(recipe(), LARGE).train
    assert (small.batch_size, small.dropout, small.refit) == (16, None, True)
    assert (large.batch_size, large.dropout, large.refit) == (32, 0.0, False)
    assert resolve(recipe("scratch"), LARGE).train.dropout is None
    assert not resolve(recipe(select="best"), FACTS).train.refit
    assert not resolve(recipe(), replace(FACTS, validation=0)).train.refit
    explicit = resolve(recipe(batch_size=7, dropout=0.2), LARGE).train
    assert (explicit.batch_size, explicit.dropout) == (7, 0.2)


def test_pretrained_embeddings_are_frozen() -> None:
    assert resolve(recipe(), FACTS).train.freeze_embeddings is True
    assert resolve(recipe("scratch"), FACTS).train.freeze_embeddings is False
    assert resolve(recipe(freeze_embeddings=False), FACTS).train.freeze_embeddings is False


@pytest.mark.parametrize(
    ("train", "facts", "message"),
    [
        ({"head": "probe"}, replace(FACTS, pooling=None), "train.head: probe needs text vectors"),
        ({"contrastive": 0.5}, replace(FACTS, pooling=None), "train.contrastive: it needs text vectors"),
        ({"refit": True}, replace(FACTS, validation=0), "train.refit: true needs validation examples"),
        ({"select": "best"}, replace(FACTS, validation=0), "train.select: best needs validation examples"),
    ],
)
def test_keys_without_effect_are_refused(train: dict[str, Any], facts: Facts, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        resolve(recipe(**train), facts)


def translator(method: str = "scratch", **train: Any) -> Recipe:
    data = {"source": "x.tsv", "languages": ["en", "de"]}
    return Recipe(task="translation", method=method, data=data, model={"checkpoint": "x"}, train=train)


def test_translation_from_random_weights_averages_weights() -> None:
    nothing, encoder = (replace(FACTS, pooling=None, start=start) for start in ("nothing", "encoder"))
    assert resolve(translator(), nothing).train.average == 3
    assert resolve(translator("finetune"), encoder).train.average == resolve(recipe(), FACTS).train.average == 1
    assert resolve(translator("finetune", average=4), encoder).train.average == 4
    assert resolve(translator(average=1), nothing).train.average == 1
    assert resolve(translator(select="best"), nothing).train.average == 1
    assert resolve(translator(evaluations=2), nothing).train.average == 2
    done = resolve(translator(), nothing)
    assert resolve(done, nothing) == done == TrainingRecipe.model_validate(done.model_dump())


def test_width_and_texts_set_rate_and_vocabulary_of_random_students() -> None:
    from kit.models.translation.seq2seq import SCRATCH_WIDTH

    of = translator("distill")
    few = replace(FACTS, pooling=None, start="nothing", transfer=900)
    by_width = {}
    assert RATE_WIDTH == SCRATCH_WIDTH, "the rate is for the models of method scratch"
    for width in (128, 512):
        student = DistillSection(student={"init": "random", "hidden_size": width, "layers": 1})
        by_width[width] = resolve(of, replace(few, distill=student))
    assert by_width[128].train.learning_rate == 2 * by_width[512].train.learning_rate
    assert by_width[128].translation.vocabulary == by_width[512].translation.vocabulary == 3_000
    many = resolve(of, replace(few, distill=student, transfer=25_000))
    assert many.translation.vocabulary == 10_000
    kept = resolve(of, replace(few, distill=student, start="encoder", transfer=25_000))
    assert kept.translation.vocabulary == 4_000, "a student with the tokens of its teacher ignores the transfer set"


def test_students_cut_out_of_teachers_have_a_higher_rate() -> None:
    facts = replace(FACTS, pooling=None, start="translator", transfer=28_000)
    cut, other = DistillSection(student="layers:1"), DistillSection(student="org/other")
    sections = [resolve(translator("distill"), replace(facts, distill=student)).train for student in (cut, other)]
    assert [(train.learning_rate, train.freeze_embeddings, train.epochs) for train in sections] == [
        (3e-4, True, 3), (5e-5, False, 2)
    ]  # fmt: skip
    control = resolve(translator("student"), replace(facts, distill=cut)).train
    assert (control.learning_rate, control.freeze_embeddings) == (3e-4, True), "a control differs only in the teacher"
    whole = resolve(translator(), facts).train
    assert (whole.learning_rate, whole.freeze_embeddings) == (5e-5, False)


def test_losses_and_temperature_depend_on_the_task() -> None:
    facts = replace(FACTS, pooling=None, start="translator")
    for content, losses, temperature in (
        ({}, (1.0, 0.0), None),
        ({"losses": {"logits": 0.5}}, (1.0, 0.5), 1.0),
        ({"losses": {"logits": 2, "sequence": 0}, "temperature": 3}, (0.0, 2.0), 3.0),
    ):
        section = DistillSection.model_validate(content)
        done = resolve(translator("distill"), replace(facts, distill=section)).distill
        assert (done.losses.sequence, done.losses.logits) == losses and done.temperature == temperature
    labels = resolve(recipe("distill"), replace(FACTS, distill=DistillSection())).distill
    assert (labels.losses.logits, labels.losses.sequence, labels.temperature) == (1.0, None, 2.0)
