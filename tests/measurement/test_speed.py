"""Speed: one sample for all commands, rounds in turns, and warnings on a busy machine."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from kit.measurement import speed
from kit.measurement.load import LoadMeter
from kit.measurement.rounds import Times
from kit.measurement.sample import characters, length_sample
from kit.measurement.speed import LengthSpeed, Speed, Turn, by_length, speeds_from_json, speeds_to_json, take_turns

LONG_FIRST = [("word " * 200,)] * 60 + [(f"{'x' * (number % 90)} short",) for number in range(540)]


class Meter(LoadMeter):
    """Meter that returns recorded loads."""

    def __init__(self, loads: list[float | None]) -> None:
        super().__init__(threads=2)
        self.cores, self.threads, self.loads = 2, 2, iter(loads)

    def lap(self, children_seconds: float = 0.0) -> float | None:
        return next(self.loads)


@pytest.fixture(autouse=True)
def _usual_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "_ROUNDS", 3)
    monkeypatch.setattr(speed, "_REPEATS", 2)


def recorded(*milliseconds: float) -> Iterator[Turn]:
    return (Turn([value] * 4) for value in milliseconds)


def test_a_sample_has_the_length_distribution_of_all_texts() -> None:
    lengths = [characters(text) for text in length_sample(LONG_FIRST, 40)]
    assert sum(length > 500 for length in lengths) == 4  # a tenth, as of all texts
    everything = [characters(text) for text in LONG_FIRST]
    assert np.median(lengths) == pytest.approx(np.median(everything), abs=2)


def test_a_sample_does_not_depend_on_the_order_of_texts() -> None:
    shuffled = [LONG_FIRST[index] for index in np.random.default_rng(1).permutation(len(LONG_FIRST))]
    assert length_sample(shuffled, 40) == length_sample(LONG_FIRST, 40)


def test_a_sample_of_few_texts_is_all_of_them() -> None:
    few = [("a",), ("b", "c"), ("a",)]
    assert sorted(length_sample(few, 40)) == sorted(few)
    assert length_sample([], 40) == []


def test_models_take_turns_in_alternating_order() -> None:
    order: list[str] = []

    def turn(name: str) -> Turn:
        order.append(name)
        return Turn([1.0])

    sitting = take_turns([lambda: turn("a"), lambda: turn("b")], 3, Meter([0.0] * 3))
    assert "".join(order) == "abbaab" and (sitting.rounds, sitting.warning) == (3, "")


def test_a_busy_round_is_repeated_and_left_out() -> None:
    times = recorded(10, 31, 10, 10)
    sitting = take_turns([lambda: next(times)], 3, Meter([0.1, 1.2, None, 0.0]))
    assert sitting.times[0].latencies[:, 0].tolist() == [10, 10, 10] and not sitting.warning


def test_a_slow_round_is_repeated_without_measured_load() -> None:
    times = recorded(20, 10, 10, 10)  # the first one was cold
    sitting = take_turns([lambda: next(times)], 3, Meter([None] * 4))
    assert sitting.times[0].latencies[:, 0].tolist() == [10, 10, 10]


def test_a_machine_that_stays_busy_gives_a_warning() -> None:
    times = recorded(10, 25, 12, 14, 20, 11)
    sitting = take_turns([lambda: next(times)], 3, Meter([1.5] * 6))
    assert sitting.rounds == 6
    assert sitting.warning == (
        "the machine was busy (other processes used 1.5 of 2 cores, rounds differed by 2.5x): "
        "measure again when it is idle"
    )


def test_short_medium_and_long_texts_have_a_median_each() -> None:
    times = Times(np.array([[3.0, 1.0, 2.0, 1.0, 3.0, 2.0]]), np.array([]))
    thirds = by_length(times, [30, 10, 20, 12, 32, 22])
    assert thirds == (LengthSpeed(11, 1.0), LengthSpeed(21, 2.0), LengthSpeed(31, 3.0))
    assert by_length(Times(np.array([[5.0]]), np.array([])), [7]) == (LengthSpeed(7, 5.0),)


def test_latencies_weigh_all_text_lengths(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(np.cumsum(np.full(10_000, 0.001)))
    lengths: list[int] = []
    monkeypatch.setattr(speed.time, "perf_counter", lambda: float(next(clock)))
    [measured] = speed.latencies([lambda texts: lengths.append(characters(texts[0]))], LONG_FIRST, "cpu")
    assert np.mean(np.array(lengths) > 500) < 0.3
    assert measured.p50_ms == pytest.approx(1.0) and measured.hardware == "cpu"


def test_speeds_are_read_back() -> None:
    speeds = {"run": Speed(1.5, 2.0, "cpu", 0.5, 1.4, 1.6, (LengthSpeed(20, 1.0),), 48, 3, "busy", "other")}
    assert speeds_from_json(speeds_to_json(speeds).encode()) == speeds


@pytest.mark.parametrize(
    "content",
    [
        b"", b"null", b"[]", b"{}", b"5", b"\xff", b"[" * 100_000,
        b'{"run": {"p50_ms": 1.0, "p95_ms": 2.0, "hardware": "cpu", "seconds": 1.0}}',  # as earlier versions wrote it
        b'{"format": 2, "speeds": 5}',
        b'{"format": 2, "speeds": {"run": 5}}',
        b'{"format": 2, "speeds": {"run": {"p50_ms": "1", "p95_ms": 2, "hardware": "cpu"}}}',
        b'{"format": 2, "speeds": {"run": {"p50_ms": NaN, "p95_ms": 2, "hardware": "cpu"}}}',
        b'{"format": 2, "speeds": {"run": {"p50_ms": 1e999, "p95_ms": 2, "hardware": "cpu"}}}',
        b'{"format": 2, "speeds": {"run": {"p50_ms": -1, "p95_ms": 2, "hardware": "cpu"}}}',
        b'{"format": 2, "speeds": {"run": {"p50_ms": 1, "p95_ms": 2, "hardware": null}}}',
        b'{"format": 2, "speeds": {"run": {"p50_ms": 1, "p95_ms": 2, "hardware": "cpu", "by_length": [1]}}}',
    ],
)  # fmt: skip
def test_other_content_is_refused_as_speeds(content: bytes) -> None:
    with pytest.raises(ValueError):
        speeds_from_json(content)


def test_load_counts_only_other_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    # wall time, CPU time of all processes on the cores, and of the measured ones
    readings = iter([(0.0, 50.0, 1.0), (0.1, 50.1, 1.1), (1.0, 51.5, 2.0), (2.0, 53.5, 2.0)])
    monkeypatch.setattr(LoadMeter, "_counts", lambda self, children: next(readings))
    meter = LoadMeter(threads=2)
    meter.cores = meter.threads = 2
    assert meter.lap() is None  # too short to tell
    assert meter.lap() == pytest.approx(0.5) and meter.is_busy(0.5)
    assert meter.lap() == pytest.approx(2.0)
    meter.threads = 1
    assert not meter.is_busy(0.5) and not meter.is_busy(None)
