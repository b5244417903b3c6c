"""Engine that runs cells in this process, one after another, for debuggers and notebooks.

A cell that crashes the process ends the study; the next start continues.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from importlib import import_module

from kit.studies.engines.base import ASK_AGAIN_S, Event, JobData


class InlineEngine:
    """Engine that calls `target` (`module:function`) with a context and each job."""

    def __init__(self, target: str) -> None:
        module, _, name = target.partition(":")
        self._function = getattr(import_module(module), name)

    def run(self, context: JobData, jobs: Iterator[JobData | None]) -> Iterator[Event]:
        """Run each job in turn."""
        for job in jobs:
            if job is None:
                time.sleep(ASK_AGAIN_S)
                continue
            yield Event(job)
            yield Event(job, self._function(context, job))

    def close(self) -> None:
        """Do nothing: no job runs between two events."""
