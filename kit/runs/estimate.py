"""Estimates of a run before it starts: model, plan and time, from a few measured training steps."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kit.measurement.durations import Span, spread_of
from kit.recipe import Recipe
from kit.runs.request import Request

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from kit.data.encode import Encoded
    from kit.training.hardware import Hardware
    from kit.training.plan import Plan


# Time of a teacher's prediction, in forward passes of a student half its size.
TEACHER_PASSES = 2.0
_MAX_TFIDF_TRIALS, _MAX_TFIDF_SECONDS = 3, 1.0
# Time of a translation without the beams, in forward passes of a pair.
WRITING_PASSES = 1.0


@dataclass(frozen=True)
class Trial:
    """The model that a request would train, with its encoded texts, plan and measured time.

    Attributes:
        model: Model as it would be trained.
        encoded: Training texts as tokens.
        plan: Plan of the training; None for a probe.
        seconds_a_pass: Time of one example's forward pass, a third of its share of a training step.
        references: Reference translations as tokens; None for classification.
    """

    model: PreTrainedModel
    encoded: Encoded
    plan: Plan | None
    seconds_a_pass: Span
    references: Encoded | None = None


def make_trial(request: Request, hardware: Hardware) -> Trial:
    """Build the model of a request and time it on the request's training texts.

    Args:
        request: Request of a method that has a checkpoint.
        hardware: Hardware to train on.
    """
    if request.recipe.task == "translation":
        return _translation_trial(request, hardware)
    from kit.data.batching import EncodedDataset
    from kit.data.encode import encode
    from kit.methods.encoders.distill import shaped
    from kit.methods.encoders.lora import add_adapters
    from kit.models.checkpoints.loading import (
        Head,
        Init,
        build_classifier,
        freeze_embeddings,
        load_classifier,
        require_positions,
    )
    from kit.models.checkpoints.tokenizers import load_tokenizer
    from kit.recipe.defaults import STEPS
    from kit.training.padding_free import PaddingFree
    from kit.training.plan import make_plan
    from kit.training.timing import seconds_a_pass

    recipe, data, checkpoint = request.recipe, request.data, request.checkpoint
    assert checkpoint is not None
    init: Init = "scratch" if recipe.method == "scratch" else "pretrained"
    head = Head(data.labels, data.multi_label)
    student = recipe.distill.student if recipe.method in ("distill", "student") else None
    if request.teachers and student is not None and student.checkpoint is None:
        model = load_classifier(checkpoint.folder)
    else:
        model = build_classifier(checkpoint, head, init, recipe.model.pooling, recipe.train.dropout)
    if student is not None:
        model = shaped(student, head, model)
    require_positions(model, recipe.data.max_length)
    tokenizer: PreTrainedTokenizerBase = load_tokenizer(checkpoint.folder, checkpoint.trusted)
    texts = request.transfer.texts if request.transfer and recipe.method == "distill" else data.train.texts
    encoded = encode(texts, tokenizer, recipe.data.max_length, checkpoint.tokenizer_sha256)
    lessons = EncodedDataset.for_tokenizer(encoded, tokenizer)
    if recipe.method not in STEPS:
        return Trial(model, encoded, None, seconds_a_pass(model, lessons, 32, False))
    if recipe.train.padding_free:
        PaddingFree(model).end()
    plan = make_plan(recipe.train, len(encoded))
    if recipe.train.freeze_embeddings:
        freeze_embeddings(model)
    timed = add_adapters(model, recipe.lora) if recipe.method == "lora" else model
    return Trial(model, encoded, plan, seconds_a_pass(timed, lessons, plan.device_batch, hardware.bf16))


def _translation_trial(request: Request, hardware: Hardware) -> Trial:
    """Build the translator of a request and time it on the budget's pairs.

    For method distill, the references take the place of the teacher's translations.
    """
    from kit.methods import Job
    from kit.methods.translators.distill import student_of
    from kit.methods.translators.methods import freeze_source_embeddings, writer_of
    from kit.methods.translators.writing import dataset_of, encode_pairs
    from kit.training.plan import make_plan
    from kit.training.progress import Progress
    from kit.training.timing import seconds_a_pass

    recipe, examples = request.recipe, request.data.train
    job = Job(recipe, request.task, request.data, hardware, request.checkpoint, Progress(quiet=True), request.teachers)
    writer = (student_of if recipe.method in ("distill", "student") else writer_of)(job, examples)
    if recipe.train.freeze_embeddings:
        freeze_source_embeddings(writer.model)
    pairs = encode_pairs(examples, writer, recipe.data.max_length)
    lessons = request.transfer if recipe.method == "distill" and request.transfer else pairs
    plan = make_plan(recipe.train, len(lessons))
    seconds = seconds_a_pass(writer.model, dataset_of(pairs, writer), plan.device_batch, hardware.bf16)
    return Trial(writer.model, pairs.source, plan, seconds, pairs.target)


def passes(request: Request) -> float:
    """Return the cost of a request with a checkpoint in forward passes of one example; a training step counts three."""
    from kit.recipe.defaults import STEPS
    from kit.training.plan import forward_passes, make_plan

    data, train = request.data, request.recipe.train
    sizes = len(data.train), len(data.validation), len(data.test)
    if request.recipe.task == "translation":
        return translation_passes(request.recipe, sizes, len(request.transfer) if request.transfer else 0)
    if request.recipe.method not in STEPS:
        return float(sum(sizes))
    if request.recipe.method == "distill" and request.transfer is not None:
        lessons = len(request.transfer)
        return forward_passes(train, make_plan(train, lessons), *sizes) + TEACHER_PASSES * lessons
    return forward_passes(train, make_plan(train, sizes[0]), *sizes)


def translation_passes(recipe: Recipe, sizes: tuple[int, int, int], transfer: int) -> float:
    """Return the cost of a translation run in forward passes of one pair.

    Args:
        recipe: Resolved recipe.
        sizes: Number of training, validation and test pairs.
        transfer: Number of texts to distil on; 0 for other methods.
    """
    from kit.training.plan import forward_passes, make_plan

    train, writing = recipe.train, WRITING_PASSES * (1 + recipe.translation.beams / 4)
    lessons = transfer if recipe.method == "distill" else sizes[0]
    training = forward_passes(train, make_plan(train, lessons), sizes[0], sizes[1], 0)
    return training + writing * (sizes[2] + (transfer if recipe.method == "distill" else 0))


def tfidf_seconds(request: Request) -> Span:
    """Return the time of TF-IDF on a request's budget: two word counts, about ten regressions, and the test."""
    began = time.perf_counter()
    first = _tfidf_trial(request)  # includes one-off costs
    times: list[float] = []
    while len(times) < _MAX_TFIDF_TRIALS and time.perf_counter() - began < _MAX_TFIDF_SECONDS:
        times.append(_tfidf_trial(request))
    return spread_of(times) if times else Span.around(first, 0.5 * first, first)


def _tfidf_trial(request: Request) -> float:
    """Return the seconds of TF-IDF, extrapolated from one word count and one regression."""
    from kit.methods.encoders.linear import GRID, fit_linear
    from kit.methods.encoders.tfidf import new_vectoriser
    from kit.models.backends.tfidf import join_pairs

    data, settings = request.data, request.recipe.tfidf
    began = time.perf_counter()
    texts = join_pairs(data.train.texts)
    vectoriser = new_vectoriser(settings.ngrams, settings.max_features, analyzer=settings.analyzer)
    features = vectoriser.fit(texts).transform(texts)
    counted = time.perf_counter()
    fit_linear(features, request.task.targets(data.train.labels), len(data.labels), GRID[-1])
    done = time.perf_counter()
    return (counted - began) * (2 + len(data.test) / len(texts)) + (done - counted) * len(GRID)
