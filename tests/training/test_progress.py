"""Progress: remaining time from measured step times."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from kit.training import progress, progress_bar
from kit.training.progress import Progress
from kit.training.progress_bar import _Bar
from kit.training.timing import pass_span


class Clock:
    now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    fake = Clock()
    monkeypatch.setattr(progress, "time", fake)
    monkeypatch.setattr(progress_bar, "time", fake)
    return fake


def evaluate(bar: _Bar, state: SimpleNamespace) -> None:
    losses = {f"{split}_{name}": 0.5 for split in ("train", "validation") for name in ("loss", "accuracy")}
    bar.on_evaluate(None, state, None, metrics=losses)


def test_a_slow_first_step_does_not_count_for_the_remaining_time(clock: Clock, capsys) -> None:
    bar, state = _Bar(Progress(), "accuracy"), SimpleNamespace(global_step=0, max_steps=100)
    bar.on_train_begin(None, state, None)
    evaluate(bar, state)
    for step in range(1, 11):
        clock.now += 300.0 if step == 1 else 1.0
        state.global_step = step
        bar.on_step_end(None, state, None)
        if step == 10:
            clock.now += 2.0
            evaluate(bar, state)
            clock.now += 50.0  # a checkpoint
            bar.on_save(None, state, None)
    first, last = capsys.readouterr().err.splitlines()
    assert "left" not in first
    assert last.endswith("about 2 min left")  # 90 steps of 1 s and 9 evaluations of 2 s
    state.global_step = 11
    clock.now += 1.0
    bar.on_step_end(None, state, None)
    assert bar.steps.left(1).seconds == 1.0


def test_counting_ignores_the_time_of_the_first_chunk(clock: Clock, capsys) -> None:
    with Progress().counting("predicting", 400, "texts") as advance:
        for seconds in (600.0, 70.0, 70.0):
            clock.now += seconds
            advance(100)
    first, second, third = capsys.readouterr().err.splitlines()
    assert first == "  100 of 400 texts"
    assert second == "  200 of 400 texts  about 2 to 3 min left"
    assert third == "  300 of 400 texts  about 61 to 80 s left"


def test_pass_time_is_the_median_of_rounds() -> None:
    rounds = [[0.3, 0.6, 0.9], [3.0, 6.0, 9.0], [0.3, 0.6, 0.9]]  # one of them on a busy machine
    span = pass_span(rounds, "the machine is busy")
    assert span.seconds == pytest.approx(0.6 * 1.1 / 3)
    assert span.high == pytest.approx(10 * span.seconds) and span.warning == "the machine is busy"
