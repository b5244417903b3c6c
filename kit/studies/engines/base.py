"""The Engine interface: run jobs in other processes, with one result each even if processes die."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

# Engines read "gpus" of a job: the share of a GPU that it needs, 0 to 1; a whole GPU if absent.
JobData = dict[str, Any]
ASK_AGAIN_S = 0.5  # pause before the next request for a job if there was none


@dataclass(frozen=True)
class Event:
    """The start of a job (`result` is None) or its end.

    Attributes:
        job: The job.
        result: Result of the function, {"died": reason} if its process died, or {"refused": reason} if a worker cannot
            run any job.
    """

    job: JobData
    result: JobData | None = None


class Engine(Protocol):
    """Runner of a function `module:name` of (context, job), in other processes."""

    def run(self, context: JobData, jobs: Iterator[JobData | None]) -> Iterator[Event]:
        """Take jobs while there is room and yield their starts and ends; None from `jobs` means: try again soon."""

    def close(self) -> None:
        """Stop the running jobs."""
