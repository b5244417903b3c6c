"""Commands that are killed at chosen moments."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from typing import Any


def kill_at(
    start: Callable[..., Any], moments: Sequence[Callable[[], bool]], *command: object, **variables: str
) -> None:
    """Start a command once per moment, and end it with SIGKILL when the moment is reached.

    Args:
        start: The fixture that starts `kit` as a process.
        moments: Conditions, each of which becomes true while the command runs.
        command: Arguments of `kit`.
        variables: Environment of the process.
    """
    for reached in moments:
        process = start(*command, **variables)
        while not reached():
            assert process.poll() is None, "the command ended before the moment"
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
