"""Cells in this very process, one after another: for debuggers and notebooks.

A cell that brings its process down brings the study down; the next start continues.

Knows functions. Knows nothing of studies, recipes or models.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from importlib import import_module

from kit.studies.engines.base import Event, JobData

_ASK_AGAIN_S = 0.5


class InlineEngine:
    """Calls `target` (`module:function`) with a context and each job."""

    def __init__(self, target: str) -> None:
        module, _, name = target.partition(":")
        self._function = getattr(import_module(module), name)

    def run(self, context: JobData, jobs: Iterator[JobData | None]) -> Iterator[Event]:
        """Run each job as it comes."""
        for job in jobs:
            if job is None:
                time.sleep(_ASK_AGAIN_S)
                continue
            yield Event(job)
            yield Event(job, self._function(context, job))

    def close(self) -> None:
        """Nothing runs between two jobs."""
