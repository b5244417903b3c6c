"""Cells on a Ray cluster: one task a cell, placed by Ray, run again elsewhere when a node is lost.

At most as many tasks as the cluster has room for are in flight, and one more, so that the driver holds no more than
those however large the grid is.

Knows Ray. Knows nothing of studies, recipes or models.
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
from kit.studies.engines.base import Event, JobData

_ASK_AGAIN_S = 0.5
_ANSWER_S = 10
_RETRIES = 3  # of a task whose node or process died
_Needs = dict[str, float]  # cores and GPUs, as Ray's options name them


class RayEngine:
    """Tasks on a Ray cluster.

    target: `module:function` of (context, job) that tasks run, JSON data both. address: of the cluster, as
    `ray.init` takes it; None starts one on this machine. Where there are GPUs, each task gets the share of one that its
    job asks for, and as large a share of the cores that its node has for a GPU; without GPUs the cores of a node.
    Raises OutputError if Ray is not installed or the cluster does not answer.
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
                _require_answer(address)
                ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
            except (OSError, ValueError, RuntimeError) as error:
                raise OutputError(
                    f"--address {address}: no Ray cluster answers there ({first_line(error)})",
                    "start one with `ray start --head`, and give its address, e.g. --address auto",
                ) from error
        self._gpus, self._cores = self._cluster()
        self._task = ray.remote(max_retries=_RETRIES)(_call)
        self._target = target

    def run(self, context: JobData, jobs: Iterator[JobData | None]) -> Iterator[Event]:
        """Keep the cluster full, yield starts and results in the order in which they come."""
        shared = self._ray.put(context)
        running: dict[Any, JobData] = {}
        taken: Counter[str] = Counter()
        exhausted = False
        while running or not exhausted:
            waiting = False
            have = self._have()
            while not exhausted and not waiting and (not running or all(taken[name] < have[name] for name in have)):
                job = next(jobs, StopIteration)
                if job is StopIteration:
                    exhausted = True
                elif job is None:
                    waiting = True
                else:
                    assert isinstance(job, dict)
                    needs = self._needs(job)
                    taken.update(needs)
                    running[self._task.options(**needs).remote(self._target, shared, job)] = job
                    yield Event(job)
            if not running:
                time.sleep(_ASK_AGAIN_S if waiting else 0)
                continue
            done, _ = self._ray.wait(list(running), num_returns=1, timeout=_ASK_AGAIN_S)
            for reference in done:
                job = running.pop(reference)
                taken.subtract(self._needs(job))
                yield Event(job, self._result(reference))

    def close(self) -> None:
        """Leave the cluster; tasks of this driver end with it."""
        if self._owned:
            self._ray.shutdown()

    def _result(self, reference: Any) -> JobData:
        errors = self._ray.exceptions
        try:
            found: JobData = self._ray.get(reference)
        except (errors.RayTaskError, errors.RuntimeEnvSetupError) as error:
            # What goes wrong in a job is part of its result: this one did not come as far as that.
            return {"refused": f"a Ray worker cannot start: {str(error).strip().splitlines()[-1]}"}
        except errors.RayError as error:
            return {"died": f"Ray could not finish it in {1 + _RETRIES} attempts: {first_line(error)}"}
        return found

    def _cluster(self) -> tuple[bool, float]:
        """Whether there are GPUs, and the cores that every node has for each of them; without any, cores of a node."""
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
        gpus = any(node.get("GPU") for node in nodes)
        cores = [node["CPU"] / max(1, node.get("GPU", 1)) for node in nodes if not gpus or node.get("GPU")]
        return gpus, min(cores, default=1)

    def _needs(self, job: JobData) -> _Needs:
        if not self._gpus:
            return {"num_cpus": max(1, int(self._cores))}
        share = job.get("gpus", 1.0)
        return {"num_cpus": max(1, int(self._cores * share)), "num_gpus": share}

    def _have(self) -> dict[str, float]:
        """Cores and GPUs of the cluster, counted anew: nodes come and go."""
        have = self._ray.cluster_resources()
        return {"num_cpus": have.get("CPU", 0.0)} | ({"num_gpus": have.get("GPU", 0.0)} if self._gpus else {})


def _require_answer(address: str | None) -> None:
    """Raise OSError if nothing listens at `host:port`: Ray alone would try for minutes."""
    host, _, port = (address or "").rpartition(":")
    if host and "//" not in host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=_ANSWER_S).close()


def _call(target: str, context: JobData, job: JobData) -> JobData:
    module, _, name = target.partition(":")
    result: JobData = getattr(import_module(module), name)(context, job)
    return result
