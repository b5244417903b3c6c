"""Being told to end: by Ctrl-C, or by SIGTERM, which schedulers send before they take a machine away.

Knows signals and exit codes. Knows nothing of what is stopped.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

INTERRUPTED = 130  # exit codes: 128 and the signal's number, as shells count
TERMINATED = 143


class Stopped(BaseException):  # no Exception: what a library does about those is nothing to do here
    """A command was told from outside to end."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class _Stop:
    """A signal handler that ends a command. advice: a line on what to do next, or an empty string."""

    def __init__(self, advice: str) -> None:
        self.advice = f"\n  {advice}" if advice else ""

    def __call__(self, number: int, frame: object) -> None:
        if number == signal.SIGINT:
            raise Stopped(f"interrupted{self.advice}", INTERRUPTED)
        raise Stopped(f"stopped by SIGTERM{self.advice}", TERMINATED)


@contextmanager
def stoppable(advice: str = "") -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end a command as an error does: what it began is cleared away, and it is said in a line.

    advice: what to do next.
    """
    before = {number: signal.signal(number, _Stop(advice)) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def deferring() -> Iterator[Callable[[], bool]]:
    """Let a stoppable command finish what it is at when SIGTERM comes: yields a function that says whether it came.

    If nobody stopped in between, the signal ends the command afterwards. Elsewhere (kit as a library, threads) signals
    do what they did.
    """
    stop = signal.getsignal(signal.SIGTERM)
    if not isinstance(stop, _Stop) or threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    came: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: came.append(number))
    try:
        yield lambda: bool(came)
    finally:
        signal.signal(signal.SIGTERM, stop)
    if came:
        stop(signal.SIGTERM, None)
