from __future__ import annotations

import io

import pytest
from rich.console import Console

from kit.measurement.intervals import Estimate
from kit.scheduling.board import Board
from kit.scheduling.grid import Cell

CELLS = [Cell("finetune", "org/small", budget, seed) for budget in (50, 100) for seed in (0, 1)]
CELLS.append(Cell("tfidf", None, 100, 0))


def board(monkeypatch: pytest.MonkeyPatch) -> Board:
    made = Board({cell: float(cell.budget) for cell in CELLS}, "accuracy", quiet=True)
    clock = {"now": 0.0}
    monkeypatch.setattr("kit.scheduling.board.time.monotonic", lambda: clock["now"])
    made.clock = clock  # type: ignore[attr-defined]
    return made


def drawn(made: Board) -> str:
    console = Console(file=io.StringIO(), width=120)
    console.print(made._render())
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_the_table_shows_cells_done_running_and_failed(monkeypatch) -> None:
    made = board(monkeypatch)
    made.started(CELLS[0])
    made.ended(CELLS[0], Estimate(0.75, 0.7, 0.8))
    made.started(CELLS[1])
    made.ended(CELLS[2], None, "it broke")
    text = drawn(made)
    assert "1 of 5 cells done, 1 running, 1 failed" in text
    finetune = next(line for line in text.splitlines() if line.strip().startswith("finetune"))
    assert "75.0 % 1/2 running" in finetune
    assert "0/2 1 failed" in finetune
    assert next(line for line in text.splitlines() if line.strip().startswith("tfidf")).split() == [
        "tfidf",
        "0/0",
        "0/1",
    ]


def test_the_time_left_is_the_rest_of_the_work_at_the_pace_so_far(monkeypatch) -> None:
    made = board(monkeypatch)
    assert made.seconds_left() is None
    made.started(CELLS[0])
    made.clock["now"] = 10.0  # type: ignore[attr-defined]
    made.ended(CELLS[0], Estimate(0.75, 0.7, 0.8))
    assert made.seconds_left() == pytest.approx(10 * 350 / 50)  # 50 units took 10 s, 350 are left
    made.started(CELLS[1])
    made.started(CELLS[2])
    assert made.seconds_left() == pytest.approx(70 / 2)
    made.clock["now"] = 14.0  # type: ignore[attr-defined]
    assert made.seconds_left() == pytest.approx((70 - 4 - 4) / 2)


def test_a_cell_that_was_found_says_nothing_of_the_pace(monkeypatch) -> None:
    made = board(monkeypatch)
    made.ended(CELLS[0], Estimate(0.75, 0.7, 0.8))
    assert made.seconds_left() is None
    assert "1 of 5 cells done" in made.headline()


def test_a_log_file_gets_a_line_for_each_cell(capsys) -> None:
    with Board(dict.fromkeys(CELLS, 1.0), "accuracy", quiet=False) as made:
        made.started(CELLS[0])
        made.ended(CELLS[0], Estimate(0.75, 0.7, 0.8))
        made.started(CELLS[4])
        made.ended(CELLS[4], None, "no words")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("[1/5] finetune org/small 50 seed 0: 75.0 % [70.0, 80.0] (0 s)")
    assert lines[1].startswith("[2/5] tfidf 100 seed 0: failed: no words (0 s)")
