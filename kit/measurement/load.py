"""Load of the machine during a measurement: CPU cores that other processes used."""

from __future__ import annotations

import os
import time
from pathlib import Path

_SHORTEST_S = 0.2  # the system counts CPU time in steps of 10 ms
_FEW_CORES = 0.25  # cores of other processes that are ignored: any idle machine has background work


class LoadMeter:
    """Meter of the CPU time that other processes use on the cores of this process.

    If the system does not count CPU time, the load average of the last minute is used.

    Args:
        threads: Cores that the measured model uses; None for all.
    """

    def __init__(self, threads: int | None = None) -> None:
        self._cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
        self.cores = len(self._cores) if self._cores else os.cpu_count() or 1
        self.threads = min(threads or self.cores, self.cores)
        self._start = self._counts(0.0)

    def lap(self, children_seconds: float = 0.0) -> float | None:
        """Return the mean number of cores that other processes used since the last lap.

        The result is None if the lap is too short.

        A lap that is too short is continued by the next one.

        Args:
            children_seconds: CPU time since the last call of measured processes other than this one.
        """
        wall, busy, own = self._counts(children_seconds)
        wall_before, busy_before, own_before = self._start
        if wall - wall_before < _SHORTEST_S:
            self._start = wall_before, busy_before, own_before - children_seconds
            return None
        self._start = wall, busy, own - children_seconds
        if busy is None or busy_before is None:
            return max(0.0, os.getloadavg()[0] - self.threads)
        return max(0.0, (busy - busy_before - (own - own_before)) / (wall - wall_before))

    def is_busy(self, others: float | None) -> bool:
        """Return whether this load leaves fewer cores than the measured model uses."""
        return others is not None and others > _FEW_CORES and self.cores - others < self.threads

    def _counts(self, children_seconds: float) -> tuple[float, float | None, float]:
        """Return wall time, CPU time of all processes, and CPU time of the measured processes, in seconds."""
        return time.perf_counter(), _busy_seconds(self._cores), time.process_time() + children_seconds


def _busy_seconds(cores: list[int] | None, statistics: Path = Path("/proc/stat")) -> float | None:
    """Return the CPU time used on these cores since the machine started, stolen time included.

    The result is None if unknown.
    """
    try:
        lines = [line.split() for line in statistics.read_text("ascii").splitlines()]
    except (OSError, ValueError):
        return None
    wanted = None if cores is None else {f"cpu{core}" for core in cores}
    rows = [line for line in lines if line[0] != "cpu" and line[0].startswith("cpu")]
    rows = [row for row in rows if wanted is None or row[0] in wanted]
    if not rows:
        return None
    # Columns: user, nice, system, idle, iowait, irq, softirq, steal; guest time is part of user and nice.
    used = sum(int(number) for row in rows for index, number in enumerate(row[1:9]) if index not in (3, 4))
    return used / os.sysconf("SC_CLK_TCK")
