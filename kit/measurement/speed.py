"""Speed of fitted models, measured in turns on one sample of texts; no other module times predictions."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from kit.measurement.load import LoadMeter
from kit.measurement.rounds import Times, latency_interval, text_median
from kit.measurement.sample import Text, characters, length_sample, repeated_sample

_TIMED_TEXTS, _WARM_UP, _ROUNDS = 48, 5, 3
BATCH = 32  # texts per batch for the throughput of a study's models
_BATCHES = 2
_REPEATS = 2  # at most this many times the requested rounds, on a busy machine
_SPREAD = 1.3  # ratio of a model's median time in two rounds above which the slower round was disturbed
_NOISE_MS = 0.1  # differences between rounds that are never a sign of disturbance
FORMAT = 2
SPEED_FILE = "speed.json"

Predict = Callable[[list[Text]], object]


@dataclass(frozen=True)
class LengthSpeed:
    """Median milliseconds per text in a third of the length distribution, and the median length there."""

    characters: int
    p50_ms: float


@dataclass(frozen=True)
class Speed:
    """Milliseconds per text of a fitted model.

    Attributes:
        p50_ms: Median over texts of each text's median over rounds.
        p95_ms: 95th percentile of all predictions.
        hardware: Hardware of the measurement.
        seconds: Duration of the measurement.
        low_ms: Lower end of the 95 % interval of `p50_ms` over rounds and texts.
        high_ms: Upper end of the interval.
        by_length: Medians of short, medium and long texts, by the estimator of `p50_ms`.
        texts: Number of texts.
        rounds: Number of rounds.
        warning: Reason to doubt the figures; empty if the machine was idle.
        measured_on: Record of the model that was timed, if it is another Record of the same computation.
        texts_per_second: Throughput in batches; None if not measured.
        batch: Batch size of the throughput.
        memory_bytes: Peak memory of a process that loads the model and predicts such batches; None if not measured.
    """

    p50_ms: float
    p95_ms: float
    hardware: str
    seconds: float = 0.0
    low_ms: float | None = None
    high_ms: float | None = None
    by_length: tuple[LengthSpeed, ...] = ()
    texts: int = 0
    rounds: int = 0
    warning: str = ""
    measured_on: str = ""
    texts_per_second: float | None = None
    batch: int | None = None
    memory_bytes: int | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for figures that are not positive and finite."""
        known = [value for value in (self.texts_per_second, self.batch, self.memory_bytes) if value is not None]
        if not all(0 < value < math.inf for value in (self.p50_ms, self.p95_ms, *self.interval, *known)):
            raise ValueError("a latency is a positive number, and so are a throughput and a memory")

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the median; of zero width if it was not measured."""
        low = self.p50_ms if self.low_ms is None else self.low_ms
        return low, self.p50_ms if self.high_ms is None else self.high_ms

    def agrees(self, other: Speed) -> bool:
        """Return whether the intervals of two medians overlap."""
        return self.interval[0] <= other.interval[1] and other.interval[0] <= self.interval[1]


@dataclass(frozen=True)
class Turn:
    """One model's turn in a round.

    Attributes:
        milliseconds: Time of each text.
        rate: Texts per second in batches; None if not measured.
        cpu_seconds: CPU time of the measured process, if it is not this one.
    """

    milliseconds: Sequence[float]
    rate: float | None = None
    cpu_seconds: float = 0.0


@dataclass(frozen=True)
class Sitting:
    """Times of several models measured in turns; `warning` is the reason for doubt, empty on an idle machine."""

    times: list[Times]
    rounds: int
    warning: str = ""


@dataclass
class _Round:
    turns: list[Turn] = field(default_factory=list)
    others: float | None = None  # cores that other processes used

    @property
    def medians(self) -> np.ndarray:
        return np.array([np.median(turn.milliseconds) for turn in self.turns])


def timed_texts(texts: Sequence[Text]) -> list[Text]:
    """Return the sample of test texts for latency measurements, the same for every model and command."""
    return length_sample(texts, _TIMED_TEXTS)


def fewer(sample: Sequence[Text], long_outputs: bool) -> list[Text]:
    """Return the part of the sample to use.

    Args:
        sample: See `timed_texts`.
        long_outputs: The models generate texts (translators), which takes long: every second text is used.
    """
    return list(sample[:: 2 if long_outputs else 1])


def predict_batches(predict: Predict, texts: Sequence[Text], batch: int) -> None:
    """Predict all texts in batches of this size."""
    for start in range(0, len(texts), batch):
        predict(list(texts[start : start + batch]))


def batch_rate(predict: Predict, texts: Sequence[Text], batch: int) -> float:
    """Return the texts per second of a model in batches of this size."""
    began = time.perf_counter()
    predict_batches(predict, texts, batch)
    return len(texts) / (time.perf_counter() - began)


def time_turn(predict: Predict, texts: Sequence[Text], many: Sequence[Text] = (), batch: int = 1) -> Turn:
    """Time one model on each of the texts after a warm-up, and on others in batches.

    Args:
        predict: The model.
        texts: Texts to predict one at a time.
        many: Texts to predict in batches.
        batch: Size of these batches.
    """
    for text in texts[:_WARM_UP]:
        predict([text])
    spent = []
    for text in texts:
        began = time.perf_counter()
        predict([text])
        spent.append(1_000 * (time.perf_counter() - began))
    return Turn(spent, batch_rate(predict, many, batch) if many else None)


def take_turns(
    turns: Sequence[Callable[[], Turn]], rounds: int | None = None, meter: LoadMeter | None = None
) -> Sitting:
    """Measure models in rounds; in each round every model has a turn, in alternating order.

    A round is disturbed if other processes took cores that the models need, or if a model was much slower in it than
    in another round. Disturbed rounds are repeated and then ignored. If there are too few undisturbed rounds in the
    end, all rounds count and the result has a warning.

    Args:
        turns: One function per model that measures it once.
        rounds: Number of undisturbed rounds to reach; None for the usual number.
        meter: Meter of the machine's load; None for a new one.
    """
    wanted, meter = rounds or _ROUNDS, meter or LoadMeter()
    done: list[_Round] = []
    quiet: list[_Round] = []
    while len(quiet) < wanted and len(done) < _REPEATS * wanted:
        done.append(_round(turns, backwards=len(done) % 2 == 1, meter=meter))
        quiet = _undisturbed(done, meter)
    enough = len(quiet) >= wanted
    kept = quiet if enough else done
    return Sitting(
        [_times([one.turns[index] for one in kept]) for index in range(len(turns))],
        len(kept),
        "" if enough else _warning(done, meter),
    )


def latencies(
    models: Sequence[Predict],
    texts: Sequence[Text],
    hardware: str,
    long_outputs: bool = False,
    *,
    throughput: bool = False,
) -> list[Speed]:
    """Return the speed of each model, measured in turns in this process.

    Args:
        models: Functions of a list of texts.
        texts: All test texts; the samples of `timed_texts` and `batch_texts` are used.
        hardware: Hardware of the measurement.
        long_outputs: See `fewer`.
        throughput: Also measure the texts per second in batches of `BATCH`.
    """
    began = time.perf_counter()
    timed, many = fewer(timed_texts(texts), long_outputs), batch_texts(texts) if throughput else []
    sitting = take_turns(
        [partial(time_turn, model, timed, many, BATCH) for model in models], meter=LoadMeter(_threads())
    )
    measured = speeds_of(sitting, timed, hardware, seconds=time.perf_counter() - began)
    return [replace(speed, batch=BATCH) for speed in measured] if throughput else measured


def batch_texts(texts: Sequence[Text]) -> list[Text]:
    """Return the sample of test texts for the throughput of a study's models."""
    return repeated_sample(texts, _BATCHES * BATCH)


def speeds_of(sitting: Sitting, texts: Sequence[Text], hardware: str, seconds: float) -> list[Speed]:
    """Return each model's speed in a sitting. texts: The timed texts."""
    lengths = [characters(text) for text in texts]
    speeds = []
    for times in sitting.times:
        median = latency_interval(times, lengths)
        speeds.append(
            Speed(
                p50_ms=median.value,
                p95_ms=times.quantile(0.95),
                hardware=hardware,
                seconds=seconds,
                low_ms=median.low,
                high_ms=median.high,
                by_length=by_length(times, lengths),
                texts=len(texts),
                rounds=sitting.rounds,
                warning=sitting.warning,
                texts_per_second=times.throughput if times.rates.size else None,
            )
        )
    return speeds


def by_length(times: Times, lengths: Sequence[int]) -> tuple[LengthSpeed, ...]:
    """Return the median time of short, medium and long texts: thirds of the length distribution."""
    thirds = np.array_split(np.argsort(lengths, kind="stable"), min(3, len(lengths)))
    return tuple(
        LengthSpeed(int(np.median(np.array(lengths)[third])), float(text_median(times.latencies[:, third])))
        for third in thirds
    )


def speeds_to_json(speeds: dict[str, Speed]) -> str:
    """Return the content of a study's speed.json."""
    content: bytes = _adapter().dump_json({"format": FORMAT, "speeds": speeds}, indent=1)
    return content.decode() + "\n"


def speeds_from_json(content: bytes) -> dict[str, Speed]:
    """Return the speeds in a study's speed.json by Record id.

    Raises ValueError for other content.
    """
    document = _adapter().validate_json(content, strict=True)
    if document.get("format") != FORMAT or not isinstance(document.get("speeds"), dict):
        raise ValueError(f"not speeds of format {FORMAT}")
    return dict(document["speeds"])


def _adapter() -> Any:
    """Return pydantic's reader and writer of speed.json."""
    from pydantic import TypeAdapter

    return TypeAdapter(dict[str, int | dict[str, Speed]])


def _round(turns: Sequence[Callable[[], Turn]], *, backwards: bool, meter: LoadMeter) -> _Round:
    measured: dict[int, Turn] = {}
    for index in range(len(turns))[:: -1 if backwards else 1]:
        measured[index] = turns[index]()
    ordered = [measured[index] for index in range(len(turns))]
    return _Round(ordered, meter.lap(sum(turn.cpu_seconds for turn in ordered)))


def _undisturbed(rounds: Sequence[_Round], meter: LoadMeter) -> list[_Round]:
    fastest = np.min([one.medians for one in rounds], axis=0)
    limit = np.maximum(_SPREAD * fastest, fastest + _NOISE_MS)
    return [one for one in rounds if not meter.is_busy(one.others) and (one.medians <= limit).all()]


def _warning(rounds: Sequence[_Round], meter: LoadMeter) -> str:
    """Return the disturbance of a sitting, for messages."""
    medians = np.array([one.medians for one in rounds])
    spread = float((medians.max(axis=0) / medians.min(axis=0)).max())
    others = [one.others for one in rounds if one.others is not None and meter.is_busy(one.others)]
    used = f"other processes used {np.mean(others):.1f} of {meter.cores} cores, " if others else ""
    return f"the machine was busy ({used}rounds differed by {spread:.1f}x): measure again when it is idle"


def _times(turns: Sequence[Turn]) -> Times:
    rates = [turn.rate for turn in turns if turn.rate is not None]
    return Times(np.array([turn.milliseconds for turn in turns]), np.array(rates))


def _threads() -> int:
    import torch

    return torch.get_num_threads()
