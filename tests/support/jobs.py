"""What workers are given in these tests: jobs that answer, sleep, or kill the process they run in."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any


def run(context: dict[str, Any], job: dict[str, Any]) -> dict[str, Any]:
    sys.stdout.write("a library that prints to standard output\n")
    if "die" in job:
        os.kill(os.getpid(), signal.SIGKILL)
    if "die_once" in job and not Path(job["die_once"]).exists():
        Path(job["die_once"]).touch()
        os._exit(3)
    time.sleep(job.get("sleep", 0))
    if "touch" in job:
        Path(job["touch"]).touch()
    return {
        "sum": context["add"] + job["number"],
        "pid": os.getpid(),
        "cuda": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "threads": os.environ.get("OMP_NUM_THREADS"),
    }
