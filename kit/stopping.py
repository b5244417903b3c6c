"""Ctrl-C, and SIGTERM, which schedulers send before they take a machine away."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

INTERRUPTED = 130  # exit codes: 128 and the signal's number, as shells count
TERMINATED = 143
NOTHING_SAVED = "nothing was saved: the same command starts from the beginning"
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "stopped by SIGTERM"}
_SAVING = b"interrupted: saving after this step (Ctrl-C again ends at once, without saving)\n"
_kept: dict[str, str] = {}


class Stopped(BaseException):  # not an Exception: libraries that handle those must not handle this
    """A command was ended from outside.

    signal_number: SIGINT or SIGTERM. where: appended to the first line, e.g. ` after step 3 of 9`.
    hint: what the next start does; None derives it from what was reported to `note_kept`.
    """

    def __init__(self, signal_number: int, where: str = "", hint: str | None = None) -> None:
        self.message = f"{_WORDS[signal.Signals(signal_number)]}{where}"
        self.exit_code = 128 + signal_number
        self.hint = hint
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message}\n  {self.hint or _what_is_kept()}"


def note_kept(kind: str, name: str) -> None:
    """Report finished work that a next start of the command finds again.

    kind: replaces an earlier report of the same kind. name: words for the user, e.g. `3 finished cells`.
    """
    _kept[kind] = name


def _what_is_kept() -> str:
    if not _kept:
        return NOTHING_SAVED
    names = list(_kept.values())
    shown = names if len(names) <= 3 else [*names[:1], f"{len(names) - 2} more", names[-1]]
    return f"saved: {', '.join(shown)}; the same command continues from there"


def _raise_stopped(number: int, frame: object) -> None:
    raise Stopped(number)


@contextmanager
def stoppable() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end a command by raising Stopped, so that what it began is cleared away.

    Does nothing outside of the main thread, which alone can handle signals.
    """
    _kept.clear()
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
    """Let a stoppable command finish its step when Ctrl-C or SIGTERM comes; a second Ctrl-C ends it at once.

    Yields a function that returns the signal's number, 0 if none came. If nobody stopped in between, Stopped is raised
    at the end. In threads and in programs that use kit as a library, signals are left as they are.
    """
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGTERM) is not _raise_stopped:
        yield lambda: 0
        return
    came: list[int] = []

    def defer(number: int, frame: object) -> None:
        if number == signal.SIGINT:
            if came:
                raise Stopped(number)
            os.write(2, _SAVING)
        came.append(number)

    for number in _SIGNALS:
        signal.signal(number, defer)
    try:
        yield lambda: came[-1] if came else 0
    finally:
        for number in _SIGNALS:
            signal.signal(number, _raise_stopped)
    if came:
        raise Stopped(came[-1])
