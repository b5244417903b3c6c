"""Handling of Ctrl-C and of SIGTERM, which schedulers send before they take a machine away."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

NOTHING_SAVED = "nothing was saved: the same command starts from the beginning"
SAME_COMMAND = "the same command continues from there"
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "stopped by SIGTERM"}
_SAVING = b"interrupted: saving after this step (Ctrl-C again ends at once, without saving)\n"
_kept: dict[str, str] = {}
_earlier: list[Callable[[], str]] = []


class Stopped(BaseException):  # not an Exception: libraries that catch Exception must not catch this
    """A command, or training in a script, that was interrupted.

    Args:
        signal_number: SIGINT or SIGTERM.
        where: Text after the first line, such as ` after step 3 of 9`.
        hint: Effect of the next start; None derives it from the reports of `note_kept`.
    """

    def __init__(self, signal_number: int, where: str = "", hint: str | None = None) -> None:
        self.signal_number, self.where, self.hint = signal_number, where, hint
        self.message = f"{_WORDS[signal.Signals(signal_number)]}{where}"
        self.exit_code = 128 + signal_number  # as shells count
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message}\n  {self.hint or _what_is_kept()}"


class StoppedByKeyboard(Stopped, KeyboardInterrupt):
    """Ctrl-C in a script that uses kit as a library, raised once a checkpoint is saved."""


def note_kept(kind: str, name: str) -> None:
    """Report finished work that the next start of the command will reuse.

    Args:
        kind: Kind of the work; a report replaces an earlier one of the same kind.
        name: Words for the user, such as `3 finished cells`.
    """
    _kept[kind] = name


def note_earlier(find: Callable[[], str]) -> None:
    """Register a function that finds what earlier starts saved, for a command stopped before it has computed its run.

    Args:
        find: Returns words for the user, such as `step 36 of finetune-1`; an empty string if nothing was saved.
    """
    _earlier[:] = [find]


def forget_earlier() -> None:
    """Declare that the reports of `note_kept` are complete, earlier starts included."""
    _earlier.clear()


def _what_is_kept() -> str:
    if not _kept:
        earlier = ", ".join(filter(None, (find() for find in _earlier)))
        return f"this start saved nothing; saved by earlier starts: {earlier}" if earlier else NOTHING_SAVED
    names = list(_kept.values())
    shown = names if len(names) <= 3 else [*names[:1], f"{len(names) - 2} more", names[-1]]
    return f"saved: {', '.join(shown)}; {SAME_COMMAND}"


def _raise_stopped(number: int, frame: object) -> None:
    raise Stopped(number)


@contextmanager
def stoppable() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM raise Stopped, so that a command cleans up before it ends.

    Does nothing outside the main thread, which alone can handle signals.
    """
    _kept.clear()
    forget_earlier()
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _raise_stopped) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def deferring() -> Iterator[Callable[[], int]]:
    """Let training finish its step after Ctrl-C or SIGTERM; a second Ctrl-C ends it at once.

    If the caller does not stop by itself, Stopped is raised at the end. In a script only Ctrl-C is deferred, and only
    if Python's own handler would raise KeyboardInterrupt; StoppedByKeyboard is raised instead. In other threads, and
    where a program has its own handlers, signals are left as they are.

    Yields:
        A function that returns the number of the received signal, 0 if there was none.
    """
    before = _deferrable()
    is_command = len(before) == len(_SIGNALS)
    received: list[int] = []

    def defer(number: int, frame: object) -> None:
        if number == signal.SIGINT:
            if received:
                raise Stopped(number) if is_command else KeyboardInterrupt
            os.write(2, _SAVING)
        received.append(number)

    for number in before:
        signal.signal(number, defer)
    try:
        yield lambda: received[-1] if received else 0
        if received:
            raise Stopped(received[-1])
    except Stopped as stop:
        if is_command or not before:
            raise
        raise StoppedByKeyboard(stop.signal_number, stop.where, stop.hint) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _deferrable() -> dict[int, Any]:
    """Return the signals whose handlers `deferring` may replace, with their present handlers."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    if signal.getsignal(signal.SIGTERM) is _raise_stopped:
        return dict.fromkeys(_SIGNALS, _raise_stopped)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        return {signal.SIGINT: signal.default_int_handler}
    return {}
