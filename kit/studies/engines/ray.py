"""Engine that runs cells on a Ray cluster: one task per cell, placed by Ray and repeated if a node is lost.

At most one task more than the cluster has room for is submitted at a time, which limits the driver's memory for a grid
of any size.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from kit.errors import OutputError, first_line
from kit.studies.engines.base import ASK_AGAIN_S, Event, JobData

_CONNECT_S = 10
_RETRIES = 3  # retries of a task whose node or process died
_Needs = dict[str, float]  # cores and GPUs, as Ray's options name them


class RayEngine:
    """Tasks on a Ray cluster.

    If there are GPUs, each task gets its share of a GPU, and the same share of the cores per GPU of its node; without
    GPUs it gets the cores of a node.

    Args:
        target: `module:function` of (context, job), both JSON data.
        address: Address of the cluster for `ray.init`; None starts a cluster on this machine.

    Raises:
        OutputError: If Ray is not installed or the cluster does not respond.
    """

    def __init__(self, target: str, address: str | None) -> None:
        try:
            import ray
        except ImportError as error:
            raise OutputError("--engine ray: ray is not installed", "pip install 'kit[ray]'") from error
        self._ray = ray
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        self._owned = not ray.is_initialized()
        if self._owned:
            try:
                _require_connection(address)
                ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
            except (OSError, ValueError, RuntimeError) as error:
                raise OutputError(
                    f"--address {address}: no Ray cluster responds there ({first_line(error)})",
                    "start one with `ray start --head` and pass its address, e.g. --address auto",
                ) from error
        self._gpus, self._cores = self._cluster()
        self._task = ray.remote(max_retries=_RETRIES)(_call)
        self._target = target

    def run(self, context: JobData, jobs: Iterator[JobData | None]) -> Iterator[Event]:
        """Keep the cluster full, and yield starts and results in their order."""
        shared = self._ray.put(context)
        running: dict[Any, JobData] = {}
        in_use: Counter[str] = Counter()
        exhausted = False
        while running or not exhausted:
            waiting = False
            available = self._available()
            while (
                not exhausted
                and not waiting
                and (not running or all(in_use[name] < available[name] for name in available))
            ):
                job = next(jobs, StopIteration)
                if job is StopIteration:
                    exhausted = True
                elif job is None:
                    waiting = True
                else:
                    assert isinstance(job, dict)
                    needs = self._needs(job)
                    in_use.update(needs)
                    running[self._task.options(**needs).remote(self._target, shared, job)] = job
                    yield Event(job)
            if not running:
                time.sleep(ASK_AGAIN_S if waiting else 0)
                continue
            done, _ = self._ray.wait(list(running), num_returns=1, timeout=ASK_AGAIN_S)
            for reference in done:
                job = running.pop(reference)
                in_use.subtract(self._needs(job))
                yield Event(job, self._result(reference))

    def close(self) -> None:
        """Leave the cluster; tasks of this driver end with it."""
        if self._owned:
            self._ray.shutdown()

    def _result(self, reference: Any) -> JobData:
        errors = self._ray.exceptions
        try:
            result: JobData = self._ray.get(reference)
        except (errors.RayTaskError, errors.RuntimeEnvSetupError) as error:
            # Errors in a job are part of its result: this job did not start.
            return {"refused": f"a Ray worker cannot start: {str(error).strip().splitlines()[-1]}"}
        except errors.RayError as error:
            return {"died": f"Ray could not finish it in {1 + _RETRIES} attempts: {first_line(error)}"}
        return result

    def _cluster(self) -> tuple[bool, float]:
        """Return whether there are GPUs, and the least number of cores per GPU of a node, or per node without GPUs."""
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
        gpus = any(node.get("GPU") for node in nodes)
        cores = [node["CPU"] / max(1, node.get("GPU", 1)) for node in nodes if not gpus or node.get("GPU")]
        return gpus, min(cores, default=1)

    def _needs(self, job: JobData) -> _Needs:
        if not self._gpus:
            return {"num_cpus": max(1, int(self._cores))}
        share = job.get("gpus", 1.0)
        return {"num_cpus": max(1, int(self._cores * share)), "num_gpus": share}

    def _available(self) -> dict[str, float]:
        """Return the present cores and GPUs of the cluster: nodes come and go."""
        available = self._ray.cluster_resources()
        return {"num_cpus": available.get("CPU", 0.0)} | ({"num_gpus": available.get("GPU", 0.0)} if self._gpus else {})


def _require_connection(address: str | None) -> None:
    """Raise OSError if nothing listens at `host:port`; Ray itself would try for minutes."""
    host, _, port = (address or "").rpartition(":")
    if host and "//" not in host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=_CONNECT_S).close()


def _call(target: str, context: JobData, job: JobData) -> JobData:
    module, _, name = target.partition(":")
    result: JobData = getattr(import_module(module), name)(context, job)
    return result
