"""Number of threads that compute, the same for every backend."""

from __future__ import annotations

import os
import sys

_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


def thread_count() -> int:
    """Return torch's number of threads, or the number that torch would use if it is not imported."""
    torch = sys.modules.get("torch")
    if torch is not None:
        return int(torch.get_num_threads())
    for variable in _VARIABLES:
        if (value := os.environ.get(variable, "")).isdigit() and int(value):
            return int(value)
    return _physical_cores()


def _physical_cores() -> int:
    """Return the number of physical cores that this process may use."""
    import psutil

    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(usable, psutil.cpu_count(logical=False) or usable)
