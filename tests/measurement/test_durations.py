"""Durations: medians without one-off costs, with their spread in words."""

from __future__ import annotations

import pytest

from kit.measurement.durations import Pace, Span, spread_of, total


def test_the_first_step_does_not_count() -> None:
    pace = Pace()
    pace.add(400.0)  # loading and compilation
    assert pace.left(10) is None
    assert pace.left_at_first(2) == Span(800.0, 0.0, pytest.approx(920.0))
    for seconds in (2.0, 2.1, 1.9):
        pace.add(seconds)
    assert pace.left(10).seconds == pytest.approx(20.0)


def test_a_busy_phase_widens_the_spread_but_not_the_median() -> None:
    pace = Pace()
    for seconds in (9.0, *[1.0] * 20, *[5.0] * 8, 1.0):
        pace.add(seconds)
    left = pace.left(60)
    assert left.seconds == pytest.approx(60) and left.high == pytest.approx(300)
    assert left.words == "about 52 s to 5 min"


def test_a_machine_that_became_slower_is_followed() -> None:
    pace = Pace()
    for seconds in [1.0] * 500 + [3.0] * 101:
        pace.add(seconds)
    assert pace.left(1).seconds == 3.0


def test_chunks_of_several_steps_count_by_step() -> None:
    pace = Pace()
    for seconds, steps in ((30.0, 10), (8.0, 8), (2.0, 2)):
        pace.add(seconds, steps)
    assert pace.left(5).seconds == pytest.approx(5.0)


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (80, 80.2, "about 80 s"), (120, 240, "about 2 to 4 min"), (50, 130, "about 50 s to 2 min"),
        (3_600, 9_000, "about 60 min to 2.5 h"), (0, 0.4, "about 0 s"),
    ],
)  # fmt: skip
def test_spans_use_one_unit_if_possible(low: float, high: float, words: str) -> None:
    assert Span((low + high) / 2, low, high).words == words


def test_spans_add_up_with_their_warning() -> None:
    span = total([Span(10, 8, 12), Span(1, 1, 2, "busy"), Span.fixed(2)])
    assert span == Span(13, 11, 16, "busy")
    assert span.less(12) == Span(1, 0, 4, "busy") and span.scaled(2).high == 32
    assert spread_of([4.0]) == Span.around(4.0, 4.0, 4.0)
