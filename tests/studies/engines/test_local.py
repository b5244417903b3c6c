from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from kit.errors import TrainingError
from kit.studies.engines.base import JobData
from kit.studies.engines.local import LocalEngine

TARGET = "tests.support.jobs:run"
ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def results(
    engine: LocalEngine, jobs: Iterator[JobData | None], context: JobData | None = None
) -> list[tuple[JobData, JobData]]:
    try:
        return [
            (event.job, event.result) for event in engine.run(context or {"add": 0}, jobs) if event.result is not None
        ]
    finally:
        engine.close()


def test_every_job_is_run_once_over_all_workers(tmp_path: Path) -> None:
    engine = LocalEngine(TARGET, 2, 0, tmp_path)
    done = results(engine, iter([{"number": k, "sleep": 0.05} for k in range(8)]), {"add": 100})
    assert sorted(result["sum"] for _, result in done) == list(range(100, 108))
    assert all(result["sum"] == 100 + job["number"] for job, result in done)
    assert len({result["pid"] for _, result in done}) == 2
    assert "a library that prints" in "".join(path.read_text() for path in tmp_path.glob("worker-*.log"))


def test_each_worker_sees_its_own_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    engine = LocalEngine(TARGET, 2, 2, tmp_path)
    done = results(engine, iter([{"number": k, "sleep": 0.2} for k in range(4)]))
    by_process = {result["pid"]: result["cuda"] for _, result in done}
    assert sorted(by_process.values()) == ["4", "6"]


def test_workers_on_a_cpu_share_its_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("kit.studies.engines.local.usable_cores", lambda: 8)
    engine = LocalEngine(TARGET, 2, 0, tmp_path)
    assert {result["threads"] for _, result in results(engine, iter([{"number": 0}]))} == {"4"}


def test_a_dead_worker_fails_only_its_own_job(tmp_path: Path) -> None:
    jobs = [{"number": 0}, {"number": 1, "die": True}, {"number": 2}, {"number": 3, "die_once": str(tmp_path / "x")}]
    done = {job["number"]: result for job, result in results(LocalEngine(TARGET, 1, 0, tmp_path), iter(jobs))}
    assert (done[0]["sum"], done[2]["sum"]) == (0, 2)
    assert "SIGKILL" in done[1]["died"]
    assert "memory" in done[1]["died"]
    assert "exit code 3" in done[3]["died"]


def test_a_worker_that_cannot_start_names_its_log(tmp_path: Path) -> None:
    engine = LocalEngine("no.such:function", 1, 0, tmp_path)
    with pytest.raises(TrainingError, match="die during their start") as caught:
        results(engine, iter([{"number": 0}]))
    assert str(tmp_path / "worker-0.log") in caught.value.hint
    assert "ModuleNotFoundError" in (tmp_path / "worker-0.log").read_text()


def test_none_from_the_jobs_means_try_again(tmp_path: Path) -> None:
    jobs: Iterator[JobData | None] = iter([{"number": 1}, None, {"number": 2}, None])
    done = results(LocalEngine(TARGET, 1, 0, tmp_path), jobs)
    assert [result["sum"] for _, result in done] == [1, 2]


def test_workers_end_with_the_process_that_started_them(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from kit.studies.engines.local import LocalEngine\n"
        f"engine = LocalEngine({TARGET!r}, 1, 0, Path({str(tmp_path)!r}))\n"
        "for event in engine.run({'add': 0}, iter([{'number': 0, 'sleep': 60}])):\n"
        "    print(engine._workers[0].process.pid, flush=True)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=dict(os.environ))
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 10
    while psutil.pid_exists(worker) and psutil.Process(worker).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "the worker outlived its parent"
        time.sleep(0.05)
