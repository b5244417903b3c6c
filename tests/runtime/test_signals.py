"""Ctrl-C and SIGTERM: the saved work that a command reports."""

from __future__ import annotations

import os
import signal

import pytest

from kit.cli.errors import exit_code_of
from kit.errors import DataError, DivergedError, KitError, OutputError, TrainingError
from kit.runtime.leftovers import saved_in
from kit.runtime.signals import NOTHING_SAVED, Stopped, deferring, forget_earlier, note_earlier, note_kept, stoppable


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize(("number", "words"), [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "stopped by SIGTERM")])
def test_a_stopped_command_reports_that_nothing_was_saved(capsys, number, words) -> None:
    assert exit_code_of(lambda: os.kill(os.getpid(), number)) == 128 + number
    assert capsys.readouterr().err == f"error: {words}\n  {NOTHING_SAVED}\n"


def test_a_stopped_command_reports_what_was_saved(capsys) -> None:
    def command() -> None:
        note_kept("run", "step 3 of a-run")
        note_kept("run", "step 4 of a-run")
        note_kept("cells", "2 finished cells")
        interrupt()

    exit_code_of(command)
    assert "saved: step 4 of a-run, 2 finished cells; the same command continues from there" in capsys.readouterr().err
    exit_code_of(interrupt)
    assert NOTHING_SAVED in capsys.readouterr().err, "of this command alone"


def test_a_command_stopped_while_loading_names_earlier_checkpoints(tmp_path, capsys) -> None:
    for name in ("checkpoint-12", "refit/checkpoint-8", "refit/checkpoint-9"):
        folder = tmp_path / ".finetune-1.partial" / "checkpoints" / name
        folder.mkdir(parents=True)
        if name != "refit/checkpoint-9":  # this one was not written to its end
            (folder / "files.json").write_text("{}", "utf-8")

    def command(is_known: bool) -> None:
        note_earlier(lambda: saved_in(tmp_path))
        if is_known:
            forget_earlier()
        interrupt()

    exit_code_of(lambda: command(is_known=False))
    earlier = "saved by earlier starts: step 8 of the second training (refit) of finetune-1\n"
    assert capsys.readouterr().err.endswith(f"this start saved nothing; {earlier}")
    exit_code_of(lambda: command(is_known=True))
    assert NOTHING_SAVED in capsys.readouterr().err


def test_only_the_first_signal_waits_for_the_step(capfd) -> None:
    with stoppable():
        with pytest.raises(Stopped), deferring() as received:
            assert received() == 0
            interrupt()
            assert received() == signal.SIGINT
        assert "Ctrl-C again ends at once" in capfd.readouterr().err
        reached = []
        with pytest.raises(Stopped), deferring():
            interrupt()
            interrupt()
            reached.append("past the second")
        assert reached == []


def test_only_divergence_makes_checkpoints_useless() -> None:
    assert DivergedError.checkpoints_are_useless
    for kind in (KitError, OutputError, DataError, TrainingError):
        assert not kind.checkpoints_are_useless
