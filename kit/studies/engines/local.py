"""Engine that runs cells on this machine: one worker process per GPU, or one on the whole CPU.

Workers live as long as the study, so that libraries are imported only once, and end with it.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from kit.errors import TrainingError
from kit.runtime.files import make_folder
from kit.runtime.versions import usable_cores
from kit.runtime.worker import READY
from kit.studies.engines.base import ASK_AGAIN_S, Event, JobData

_FAILED_STARTS = 3  # failed starts in a row after which another process will not help


@dataclass
class _Worker:
    """A worker process with its present job and the unfinished line of its output."""

    number: int
    process: subprocess.Popen[bytes]
    ready: bool = False
    job: JobData | None = None
    buffer: bytes = field(default=b"")


class LocalEngine:
    """Worker processes on this machine, which start at once and import `target` before there are jobs.

    Args:
        target: `module:function` of (context, job), both JSON data.
        workers: Number of workers.
        gpus: Number of GPUs to share; if 0, the cores are shared.
        logs: Folder for the output of workers.
    """

    def __init__(self, target: str, workers: int, gpus: int, logs: Path) -> None:
        self._target, self._gpus, self._logs = target, gpus, logs
        self._cores = max(1, usable_cores() // workers) if workers > 1 else 0
        self._selector = selectors.DefaultSelector()
        self._failed_starts = 0
        make_folder(logs)
        self._workers = [self._start(number) for number in range(workers)]

    def run(self, context: JobData, jobs: Iterator[JobData | None]) -> Iterator[Event]:
        """Give each idle worker the next job, yield starts and results, and restart dead workers.

        Raises TrainingError if workers die before they take a job.
        """
        exhausted = False
        while True:
            waiting = False
            for worker in self._workers:
                if exhausted or not worker.ready or worker.job is not None or worker.process.poll() is not None:
                    continue  # a worker that died while idle is replaced below, when its output closes
                job = next(jobs, StopIteration)
                if job is StopIteration:
                    exhausted = True
                elif job is None:
                    waiting = True
                    break
                else:
                    assert isinstance(job, dict)
                    self._give(worker, context, job)
                    yield Event(job)
            if exhausted and all(worker.job is None for worker in self._workers):
                return
            for key, _ in self._selector.select(ASK_AGAIN_S if waiting else None):
                yield from self._read(self._workers[key.data])

    def close(self) -> None:
        """End the workers; an unfinished job stays as it is, to be continued by the next start."""
        for worker in self._workers:
            worker.process.kill()
            worker.process.wait()
            for pipe in (worker.process.stdin, worker.process.stdout):
                _close(pipe)
        self._selector.close()

    def _start(self, number: int) -> _Worker:
        environment = dict(os.environ)
        if self._gpus:
            visible = environment.get("CUDA_VISIBLE_DEVICES", "").split(",")
            devices = [name for name in visible if name] or [str(index) for index in range(self._gpus)]
            environment["CUDA_VISIBLE_DEVICES"] = devices[number % len(devices)]
        elif self._cores:
            environment["OMP_NUM_THREADS"] = str(self._cores)
        with (self._logs / f"worker-{number}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "kit.runtime.worker", self._target],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                start_new_session=True,  # Ctrl-C reaches the study only, which then ends its workers
            )
        assert process.stdout is not None
        self._selector.register(process.stdout, selectors.EVENT_READ, number)
        return _Worker(number, process)

    def _give(self, worker: _Worker, context: JobData, job: JobData) -> None:
        worker.job = job
        stdin = worker.process.stdin
        assert stdin is not None
        try:
            stdin.write(json.dumps({"context": context, "job": job}).encode() + b"\n")
            stdin.flush()
        except BrokenPipeError:
            return  # the worker just died: its closed output is read next, and the job counts as died

    def _read(self, worker: _Worker) -> Iterator[Event]:
        """Read the output of a worker, and replace the worker if it has ended."""
        assert worker.process.stdout is not None
        chunk = os.read(worker.process.stdout.fileno(), 1 << 16)
        if chunk == b"":
            yield from self._replace(worker)
            return
        *lines, worker.buffer = (worker.buffer + chunk).split(b"\n")
        for line in lines:
            content = json.loads(line)
            if content == READY:
                worker.ready, self._failed_starts = True, 0
                continue
            job, worker.job = worker.job, None
            assert job is not None
            yield Event(job, content)

    def _replace(self, worker: _Worker) -> Iterator[Event]:
        code = worker.process.wait()
        self._selector.unregister(worker.process.stdout)  # type: ignore[arg-type]
        for pipe in (worker.process.stdin, worker.process.stdout):
            _close(pipe)
        self._failed_starts += not worker.ready
        if self._failed_starts >= _FAILED_STARTS:
            log = self._logs / f"worker-{worker.number}.log"
            raise TrainingError("worker processes die during their start", f"see {log} for the reason")
        self._workers[worker.number] = self._start(worker.number)
        if worker.job is not None:
            yield Event(worker.job, {"died": _cause(code)})


def _cause(code: int) -> str:
    if code >= 0:
        return f"its process ended with exit code {code}"
    name = signal.Signals(-code).name if -code in list(signal.Signals) else str(-code)
    cause = ", which the system does when memory runs out" if name == "SIGKILL" else ""
    return f"its process was ended by {name}{cause}"


def _close(pipe: IO[bytes] | None) -> None:
    try:
        if pipe is not None:
            pipe.close()
    except BrokenPipeError:
        return  # the reader is gone
