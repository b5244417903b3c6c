"""The frontier agrees with a comparison of all pairs of rows."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest

from kit.analysis.findings import Series, Speed
from kit.analysis.frontier import frontier, non_dominated
from kit.analysis.points import Point, Run
from kit.measurement.intervals import Estimate


def dominates(first: np.ndarray, second: np.ndarray, maximise: tuple[bool, ...]) -> bool:
    better = False
    for own_value, other, more in zip(first, second, maximise, strict=True):
        if math.isnan(other):
            continue
        if math.isnan(own_value) or (own_value < other if more else own_value > other):
            return False
        better |= own_value != other
    return better


@pytest.mark.parametrize("unknown", [0.0, 0.3])
@pytest.mark.parametrize("columns", [1, 2, 4])
def test_agrees_with_brute_force(columns: int, unknown: float) -> None:
    generator = np.random.default_rng(columns)
    maximise = (True, False, False, True)[:columns]
    rows = generator.integers(0, 6, (600, columns)).astype(float)  # more than are compared at once, with many ties
    rows[generator.random(rows.shape) < unknown] = np.nan
    expected = [not any(dominates(other, row, maximise) for other in rows) for row in rows]
    assert non_dominated(rows, maximise).tolist() == expected
    assert any(expected)
    assert columns == 4 or not all(expected)


def test_ties_are_kept() -> None:
    assert non_dominated(np.array([[1.0, 2.0], [1.0, 2.0], [0.9, 2.0]]), (True, False)).tolist() == [True, True, False]


def test_unknown_values() -> None:
    rows = np.array([[0.9, np.nan], [0.8, 5.0], [0.7, np.nan], [0.7, 6.0]])
    # The first may be slow: it dominates only rows with an unknown value. The second dominates the last.
    assert non_dominated(rows, (True, False)).tolist() == [True, True, False, False]
    assert non_dominated(np.full((3, 2), np.nan), (True, True)).all()


def test_nothing_and_a_wrong_number_of_directions() -> None:
    assert non_dominated(np.empty((0, 2)), (True, False)).shape == (0,)
    with pytest.raises(ValueError, match=r"rows of the shape \(3, 2\) need as many directions as columns, not 1"):
        non_dominated(np.zeros((3, 2)), (True,))


def test_thousands_of_rows_are_fast() -> None:
    rows = np.random.default_rng(0).random((5000, 4))
    start = time.perf_counter()
    choices = non_dominated(rows, (True, False, False, False))
    assert time.perf_counter() - start < 10  # 0.4 s on an idle core; machines that run tests are busy
    assert 100 < choices.sum() < 2000


def series(
    name: str,
    metrics: dict[int, float],
    latency: float | None,
    size: int | None,
    interval: tuple[float, float] | None = None,
) -> Series:
    low, high = interval or (None, None)
    nothing = np.zeros(0)
    points = tuple(
        Point(
            budget,
            (Run("r", 0, value, nothing, nothing, model_bytes=size),),
            Estimate(value, value - 0.02, value + 0.02),
            None,
            np.full(4, value),
        )
        for budget, value in metrics.items()
    )
    speed = None if latency is None else Speed(latency, 2 * latency, "one core", low_ms=low, high_ms=high)
    return Series(name, "finetune", None, 10, points, speed, size, None, "")


def test_choices_weigh_metric_latency_size_and_labels() -> None:
    choices = frontier(
        [
            series("big", {100: 0.8, 1000: 0.9}, 20.0, 90),
            series("small", {100: 0.7, 1000: 0.85}, 2.0, 9),
            series("bad", {100: 0.6, 1000: 0.85}, 3.0, 9),
            series("unmeasured", {100: 0.75, 1000: 0.76}, None, None),
        ]
    )
    assert [(choice.series, choice.budget, choice.dominated) for choice in choices] == [
        ("big", 100, False),
        ("big", 1000, False),
        ("small", 100, False),
        ("small", 1000, False),
        ("bad", 100, True),
        ("bad", 1000, True),
        ("unmeasured", 100, True),
        ("unmeasured", 1000, True),
    ]
    assert (choices[0].metric, choices[0].low, choices[0].high) == pytest.approx((0.8, 0.78, 0.82))
    assert (choices[0].latency_ms, choices[0].model_bytes) == (20.0, 90)
    assert (choices[-1].latency_ms, choices[-1].model_bytes) == (None, None)


def test_small_differences_in_latency_and_size_are_ignored() -> None:
    choices = frontier([series("better", {100: 0.8}, 15.2, 91_000_163), series("worse", {100: 0.7}, 14.6, 91_000_000)])
    assert [choice.dominated for choice in choices] == [False, True]
    assert choices[0].latency_ms == 15.2  # the measured latency is kept


def test_latencies_whose_intervals_overlap_are_equal() -> None:
    slow, fast = (27.0, 90, (14.0, 40.0)), (15.0, 90, (13.0, 18.0))
    choices = frontier([series("finetune", {100: 0.8}, *slow), series("probe", {100: 0.8}, *fast)])
    assert [choice.dominated for choice in choices] == [False, False]
    assert choices[0].latency_interval == (14.0, 40.0)
    apart = frontier([series("a", {100: 0.8}, 27.0, 90, (25.0, 29.0)), series("b", {100: 0.8}, *fast)])
    assert [choice.dominated for choice in apart] == [True, False]


def test_without_measured_speeds_the_other_columns_decide() -> None:
    choices = frontier([series("a", {10: 0.8, 20: 0.79}, None, None)])
    assert [choice.dominated for choice in choices] == [False, True]
    assert frontier([]) == ()
