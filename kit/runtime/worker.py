"""A worker process: takes jobs as JSON lines, gives back results as JSON lines.

    python -m kit.runtime.worker module:function

It ends when its standard input closes, in the middle of a job if need be: a killed parent leaves no orphans.

Knows pipes. Knows nothing of what the function does.
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
    """Serve until standard input closes."""
    results = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print must not get between the results
    jobs: queue.Queue[dict[str, Any]] = queue.Queue()
    threading.Thread(target=_read, args=(sys.stdin, jobs), daemon=True).start()
    module, _, name = target.partition(":")
    gc.disable()  # libraries make a million objects that stay: looking for garbage among them takes a second or two
    function = getattr(import_module(module), name)
    gc.enable()
    gc.freeze()
    _send(results, READY)
    for count in itertools.count():
        job = jobs.get()
        _send(results, function(job["context"], job["job"]))
        if count == 0:  # what the first job has imported stays too
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
