"""Speed: how long fitted models take for one text.

Knows clocks and functions that answer texts. Knows nothing of what the models are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

_TIMED_TEXTS, _WARM_UP = 60, 10

Answer = Callable[[list[tuple[str, ...]]], object]


@dataclass(frozen=True)
class Latency:
    """Milliseconds for one text: median and 95 % quantile over texts."""

    p50_ms: float
    p95_ms: float


def latencies(models: Sequence[Answer], texts: Sequence[tuple[str, ...]]) -> list[Latency]:
    """How long each model takes for one text, over the first texts, after some to warm up.

    The models take turns at every text, so that a noisy machine is as noisy for one as for another.
    """
    timed = list(texts[:_TIMED_TEXTS])
    for model in models:
        for text in timed[:_WARM_UP]:
            model([text])
    spent = np.empty((len(models), len(timed)))
    for column, text in enumerate(timed):
        for row, model in enumerate(models):
            began = time.perf_counter()
            model([text])
            spent[row, column] = 1_000 * (time.perf_counter() - began)
    return [Latency(float(np.median(row)), float(np.quantile(row, 0.95))) for row in spent]
