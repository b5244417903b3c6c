"""Estimates of a run before it starts: model, plan and time, from a few measured training steps."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, cast

from kit.measurement.durations import Span, spread_of
from kit.runs.request import Request
from kit.tasks.base import EncoderTask

if TYPE_CHECKING:
    from kit.methods.base import Trial
    from kit.training.hardware import Hardware

_MAX_TFIDF_TRIALS, _MAX_TFIDF_SECONDS = 3, 1.0


def make_trial(request: Request, hardware: Hardware) -> Trial:
    """Build the model of a request and time it on the request's training texts.

    Args:
        request: Request of a method other than tfidf.
        hardware: Hardware to train on.
    """
    from kit.methods import family_of
    from kit.training.progress import Progress

    return family_of(request.recipe).trial(request.job(hardware, Progress(quiet=True)))


def passes(request: Request) -> float:
    """Return the cost of a request of a method other than tfidf in forward passes of one example, see `Family`."""
    from kit.methods import family_of
    from kit.methods.base import Sizes

    data, transfer = request.data, request.transfer
    sizes = Sizes(len(data.train), len(data.validation), len(data.test), transfer=len(transfer) if transfer else 0)
    return family_of(request.recipe).passes(request.recipe, sizes)


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
    from kit.methods.encoders.tfidf import new_vectoriser
    from kit.models.backends.tfidf import join_pairs

    data, settings, linear = request.data, request.recipe.tfidf, cast(EncoderTask, request.task).linear
    began = time.perf_counter()
    texts = join_pairs(data.train.texts)
    vectoriser = new_vectoriser(settings.ngrams, settings.max_features, analyzer=settings.analyzer)
    features = vectoriser.fit(texts).transform(texts)
    counted = time.perf_counter()
    linear.fit(features, request.task.targets(data.train.labels), linear.grid[-1])
    done = time.perf_counter()
    return (counted - began) * (2 + len(data.test) / len(texts)) + (done - counted) * len(linear.grid)
