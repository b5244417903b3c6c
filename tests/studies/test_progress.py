from __future__ import annotations

import io
from collections.abc import Sequence

import pytest
from rich.console import Console

from kit.measurement.intervals import Estimate
from kit.studies.grid import Cell
from kit.studies.progress import Board

CELLS = [Cell("finetune", "org/small", budget, seed) for budget in (50, 100) for seed in (0, 1)]
CELLS.append(Cell("tfidf", None, 100, 0))


def board(monkeypatch: pytest.MonkeyPatch, cells: Sequence[Cell] = CELLS) -> Board:
    board = Board({cell: float(cell.budget) for cell in cells}, "accuracy", quiet=True)
    clock = {"now": 0.0}
    monkeypatch.setattr("kit.studies.progress.time.monotonic", lambda: clock["now"])
    board.clock = clock  # type: ignore[attr-defined]
    return board


def drawn(progress: Board) -> str:
    console = Console(file=io.StringIO(), width=120)
    console.print(progress._render())
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_the_table_shows_cells_done_running_and_failed(monkeypatch) -> None:
    progress = board(monkeypatch)
    progress.started(CELLS[0])
    progress.ended(CELLS[0], Estimate(0.75, 0.7, 0.8))
    progress.started(CELLS[1])
    progress.ended(CELLS[2], None, "it broke")
    text = drawn(progress)
    assert "1 of 5 cells done, 1 running, 1 failed" in text
    finetune = next(line for line in text.splitlines() if line.strip().startswith("finetune"))
    assert "75.0 % 1/2 running" in finetune
    assert "0/2 1 failed" in finetune
    assert next(line for line in text.splitlines() if line.strip().startswith("tfidf")).split() == [
        "tfidf",
        "0/0",
        "0/1",
    ]


def took(progress: Board, cell: Cell, seconds: float, recorded: float | None = None, found: bool = False) -> None:
    progress.started(cell)
    progress.clock["now"] += seconds  # type: ignore[attr-defined]
    progress.ended(cell, Estimate(0.75, 0.7, 0.8), seconds=recorded, found=found)


def test_time_left_is_unknown_before_a_similar_cell_ended(monkeypatch) -> None:
    progress = board(monkeypatch)
    assert progress.time_left() is None
    took(progress, CELLS[4], 3.0)  # TF-IDF is no estimate for the others
    assert progress.time_left() is None
    assert "left" not in progress.headline()


def test_time_left_uses_the_median_of_cells_of_the_same_kind(monkeypatch) -> None:
    cells = [Cell("finetune", "org/small", 50, seed) for seed in range(10)]
    progress = board(monkeypatch, cells)
    took(progress, cells[0], 500.0, recorded=12.0)  # loaded libraries, data and the checkpoint first
    assert progress.time_left().seconds == pytest.approx(9 * 12)
    for cell, seconds in zip(cells[1:6], (10.0, 11.0, 10.0, 60.0, 9.0), strict=True):  # a busy phase in between
        took(progress, cell, seconds)
    left = progress.time_left()
    assert left.seconds == pytest.approx(4 * 10) and 30 < left.low <= 40 <= left.high < 60


def warmed(monkeypatch, *cells: Cell) -> Board:
    """Return a board whose first cell, of TF-IDF, has ended."""
    progress = board(monkeypatch, [CELLS[4], *cells])
    took(progress, CELLS[4], 1.0)
    return progress


def test_time_left_subtracts_running_cells_and_shares_workers(monkeypatch) -> None:
    progress = warmed(monkeypatch, *CELLS[:4])
    took(progress, CELLS[0], 10.0)
    for cell in CELLS[1:3]:
        progress.started(cell)
    progress.clock["now"] += 4.0  # type: ignore[attr-defined]
    # One of 50 labels ran for 4 of 10 s; of 100 labels, 18 s each: 2 s are fixed.
    assert progress.time_left().seconds == pytest.approx(((10 - 4) + (18 - 4) + 18) / 2)


def test_the_first_cell_is_no_estimate_for_other_kinds(monkeypatch) -> None:
    progress = board(monkeypatch, CELLS[:4])
    took(progress, CELLS[0], 500.0, recorded=400.0)
    assert progress.time_left() is None


def test_time_of_other_budgets_is_between_fixed_and_proportional(monkeypatch) -> None:
    cells = [Cell("finetune", "org/small", budget, 0) for budget in (50, 500)]
    progress = warmed(monkeypatch, *cells)
    took(progress, cells[0], 10.0)
    left = progress.time_left()
    assert (left.low, left.seconds, left.high) == pytest.approx((10, 2 + 8 * 10, 100))


def test_time_follows_the_line_through_two_budgets(monkeypatch) -> None:
    cells = [Cell("finetune", "org/small", budget, 0) for budget in (50, 100, 200, 1000)]
    progress = board(monkeypatch, cells)
    for cell, seconds in ((cells[0], 99.0), (cells[1], 25.0), (cells[2], 40.0)):  # the first one does not count
        took(progress, cell, seconds)
    assert progress.time_left().seconds == pytest.approx(25 + 0.15 * 900)


def test_another_method_on_a_checkpoint_gives_a_wide_estimate(monkeypatch) -> None:
    progress = warmed(monkeypatch, CELLS[0], Cell("lora", "org/small", 100, 0))
    took(progress, CELLS[0], 12.0)
    left = progress.time_left()
    assert (left.low, left.seconds, left.high) == pytest.approx((11, 22, 44))
    assert "about 11 to 44 s left" in progress.headline()


def test_a_method_with_less_arithmetic_is_no_estimate(monkeypatch) -> None:
    progress = warmed(monkeypatch, Cell("probe", "org/small", 10, 0), Cell("finetune", "org/small", 100, 0))
    took(progress, Cell("probe", "org/small", 10, 0), 11.0)
    assert progress.time_left() is None


def test_a_reused_cell_is_no_estimate(monkeypatch) -> None:
    progress = board(monkeypatch)
    progress.ended(CELLS[0], Estimate(0.75, 0.7, 0.8))
    assert progress.time_left() is None
    assert "1 of 5 cells done" in progress.headline()


def test_reused_records_do_not_affect_the_time_left(monkeypatch) -> None:
    cells = [Cell("finetune", "org/small", 50, seed) for seed in range(6)]
    progress = board(monkeypatch, cells)
    for cell in cells[:3]:
        took(progress, cell, 0.5, recorded=40.0, found=True)
    assert progress.time_left() is None
    took(progress, cells[3], 50.0, recorded=40.0)  # the first that runs still loads libraries
    assert progress.time_left().seconds == pytest.approx(2 * 40)
    took(progress, cells[4], 41.0)
    assert progress.time_left().seconds == pytest.approx(41)


def test_the_log_marks_reused_cells(capsys) -> None:
    with Board(dict.fromkeys(CELLS, 1.0), "accuracy", quiet=False) as board:
        board.started(CELLS[0])
        board.ended(CELLS[0], Estimate(0.75, 0.7, 0.8), found=True)
    assert capsys.readouterr().err.endswith("75.0 % [70.0, 80.0] (finished before)\n")


def test_the_log_has_a_line_per_cell(capsys) -> None:
    with Board(dict.fromkeys(CELLS, 1.0), "accuracy", quiet=False) as progress:
        progress.started(CELLS[0])
        progress.ended(CELLS[0], Estimate(0.75, 0.7, 0.8))
        progress.started(CELLS[4])
        progress.ended(CELLS[4], None, "no words")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("[1/5] finetune org/small 50 seed 0: 75.0 % [70.0, 80.0] (0 s)")
    assert lines[1].startswith("[2/5] tfidf 100 seed 0: failed: no words (0 s)")
