"""Cells on a Ray cluster: one task a cell, placed by Ray, run again elsewhere when a node is lost.

The folder with the runs has to be one that every node sees. At most as many tasks as the cluster has room for are
in flight, so that the driver holds no more than those however large the grid is.

Knows Ray. Knows nothing of studies, recipes or models.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from kit.errors import OutputError, first_line
from kit.scheduling.base import Event, JobData

_ASK_AGAIN_S = 0.5
_ANSWER_S = 10
_RETRIES = 3  # of a task whose node or process died


class RayEngine:
    """Tasks on a Ray cluster.

    target: `module:function` that tasks run. context: its first argument, JSON data. address: of the cluster, as
    `ray.init` takes it; None starts one on this machine. Each task gets a GPU where there are any, and an equal share
    of its node's cores; without GPUs the cores of a node.
    Raises OutputError if Ray is not installed or the cluster does not answer.
    """

    def __init__(self, target: str, context: JobData, address: str | None) -> None:
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
        self._context = ray.put(context)
        self._needs = self._share()
        self._task = ray.remote(**self._needs, max_retries=_RETRIES)(_call)
        self._target = target

    @property
    def slots(self) -> int:
        """Tasks that the cluster has room for, counted anew: nodes come and go."""
        have = self._ray.cluster_resources()
        room = [have.get("CPU", 0) / self._needs["num_cpus"]]
        if self._needs["num_gpus"]:
            room.append(have.get("GPU", 0) / self._needs["num_gpus"])
        return max(1, int(min(room)))

    def run(self, jobs: Iterator[JobData | None]) -> Iterator[Event]:
        """Keep the cluster full, yield starts and results in the order in which they come."""
        running: dict[Any, JobData] = {}
        exhausted = False
        while running or not exhausted:
            waiting = False
            while not exhausted and not waiting and len(running) < self.slots:
                job = next(jobs, StopIteration)
                if job is StopIteration:
                    exhausted = True
                elif job is None:
                    waiting = True
                else:
                    assert isinstance(job, dict)
                    running[self._task.remote(self._target, self._context, job)] = job
                    yield Event(job)
            if not running:
                time.sleep(_ASK_AGAIN_S if waiting else 0)
                continue
            done, _ = self._ray.wait(list(running), num_returns=1, timeout=_ASK_AGAIN_S)
            for reference in done:
                yield Event(running.pop(reference), self._result(reference))

    def close(self) -> None:
        """Leave the cluster; tasks of this driver end with it."""
        if self._owned:
            self._ray.shutdown()

    def _result(self, reference: Any) -> JobData:
        try:
            found: JobData = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            return {"died": f"Ray could not finish it in {1 + _RETRIES} attempts: {first_line(error)}"}
        return found

    def _share(self) -> dict[str, float]:
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
        gpus = any(node.get("GPU") for node in nodes)
        cores = [node["CPU"] / max(1, node.get("GPU", 1)) for node in nodes if not gpus or node.get("GPU")]
        return {"num_cpus": max(1, int(min(cores, default=1))), "num_gpus": 1 if gpus else 0}


def _require_answer(address: str | None) -> None:
    """Raise OSError if nothing listens at `host:port`: Ray alone would try for minutes."""
    host, _, port = (address or "").rpartition(":")
    if host and "//" not in host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=_ANSWER_S).close()


def _call(target: str, context: JobData, job: JobData) -> JobData:
    module, _, name = target.partition(":")
    result: JobData = getattr(import_module(module), name)(context, job)
    return result
