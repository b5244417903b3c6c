"""The Engine interface: run jobs somewhere, one result each, whatever dies on the way.

Knows jobs as plain data. Knows nothing of studies, recipes or models.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

# What engines read of a job: "gpus", the share of a GPU that it needs (0 to 1; a whole one unless it says).
JobData = dict[str, Any]


@dataclass(frozen=True)
class Event:
    """A job was started (`result` is None), or ended.

    result: what the function returned; or {"died": why}, if the process it ran in died; or {"refused": why}, if a
    worker is not fit for any job.
    """

    job: JobData
    result: JobData | None = None


class Engine(Protocol):
    """Runs a function `module:name` of (context, job) in other processes."""

    def run(self, context: JobData, jobs: Iterator[JobData | None]) -> Iterator[Event]:
        """Take jobs as there is room for them, and yield what happens; None from `jobs` means: ask again soon."""

    def close(self) -> None:
        """Stop what still runs."""
