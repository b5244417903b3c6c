"""Ctrl-C, and SIGTERM, which schedulers send before they take a machine away."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

INTERRUPTED = 130  # exit codes: 128 and the signal's number, as shells count
TERMINATED = 143
NOTHING_SAVED = "nothing was saved: the same command starts from the beginning"
SAME_COMMAND = "the same command continues from there"
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "stopped by SIGTERM"}
_SAVING = b"interrupted: saving after this step (Ctrl-C again ends at once, without saving)\n"
_kept: dict[str, str] = {}
_earlier: list[Callable[[], str]] = []


class Stopped(BaseException):  # not an Exception: libraries that handle those must not handle this
    """A command, or training in a script, that was ended from outside.

    signal_number: SIGINT or SIGTERM. where: appended to the first line, e.g. ` after step 3 of 9`.
    hint: what the next start does; None derives it from what was reported to `note_kept`.
    """

    def __init__(self, signal_number: int, where: str = "", hint: str | None = None) -> None:
        self.signal_number, self.where, self.hint = signal_number, where, hint
        self.message = f"{_WORDS[signal.Signals(signal_number)]}{where}"
        self.exit_code = 128 + signal_number
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message}\n  {self.hint or _what_is_kept()}"


class StoppedByKeyboard(Stopped, KeyboardInterrupt):
    """Ctrl-C in a script that uses kit as a library, raised once a checkpoint is saved."""


def note_kept(kind: str, name: str) -> None:
    """Report finished work that a next start of the command finds again.

    kind: replaces an earlier report of the same kind. name: words for the user, e.g. `3 finished cells`.
    """
    _kept[kind] = name


def note_earlier(find: Callable[[], str]) -> None:
    """Name a function that finds what earlier starts saved, for a command that is stopped before it knows its run.

    find: Returns words for the user, e.g. `step 36 of finetune-1`; an empty string if nothing was saved.
    """
    _earlier[:] = [find]


def forget_earlier() -> None:
    """Report that what `note_kept` names is all that was saved, by earlier starts too."""
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
    """Let Ctrl-C and SIGTERM end a command by raising Stopped, so that what it began is cleared away.

    Does nothing outside of the main thread, which alone can handle signals.
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
    """Let training finish its step when Ctrl-C or SIGTERM comes; a second Ctrl-C ends it at once.

    Yields a function that returns the signal's number, 0 if none came. If nobody stopped in between, Stopped is raised
    at the end. In a script only Ctrl-C is deferred, and only where Python's own handler would raise KeyboardInterrupt:
    StoppedByKeyboard takes its place. In threads, and beside handlers of other programs, signals are left as they are.
    """
    before = _deferrable()
    is_command = len(before) == len(_SIGNALS)
    came: list[int] = []

    def defer(number: int, frame: object) -> None:
        if number == signal.SIGINT:
            if came:
                raise Stopped(number) if is_command else KeyboardInterrupt
            os.write(2, _SAVING)
        came.append(number)

    for number in before:
        signal.signal(number, defer)
    try:
        yield lambda: came[-1] if came else 0
        if came:
            raise Stopped(came[-1])
    except Stopped as stop:
        if is_command or not before:
            raise
        raise StoppedByKeyboard(stop.signal_number, stop.where, stop.hint) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _deferrable() -> dict[int, Any]:
    """Return the signals whose handlers `deferring` may replace, with these handlers."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    if signal.getsignal(signal.SIGTERM) is _raise_stopped:
        return dict.fromkeys(_SIGNALS, _raise_stopped)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        return {signal.SIGINT: signal.default_int_handler}
    return {}
