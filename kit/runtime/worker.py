"""Worker process: reads jobs and writes results as JSON lines.

    python -m kit.runtime.worker module:function

The worker ends when its standard input closes, even during a job: a killed parent leaves no orphans.
"""

from __future__ import annotations

import gc
import itertools
import json
import os
import queue
import sys
import threading
from importlib import import_module
from typing import IO, Any

READY = "ready"


def main(target: str) -> None:
    """Run jobs until standard input closes. target: `module:function`, called with each job's context and job."""
    results = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # prints of libraries must not mix with the results
    jobs: queue.Queue[dict[str, Any]] = queue.Queue()
    threading.Thread(target=_read, args=(sys.stdin, jobs), daemon=True).start()
    module, _, name = target.partition(":")
    gc.disable()  # importing creates a million lasting objects, and collecting among them takes 1 to 2 s
    function = getattr(import_module(module), name)
    gc.enable()
    gc.freeze()
    _send(results, READY)
    for count in itertools.count():
        job = jobs.get()
        _send(results, function(job["context"], job["job"]))
        if count == 0:  # imports of the first job are lasting objects too
            gc.collect()
            gc.freeze()


def _read(stream: IO[str], jobs: queue.Queue[dict[str, Any]]) -> None:
    for line in stream:
        jobs.put(json.loads(line))
    os._exit(0)


def _send(stream: IO[str], content: Any) -> None:
    stream.write(json.dumps(content) + "\n")
    stream.flush()


if __name__ == "__main__":
    main(sys.argv[1])
