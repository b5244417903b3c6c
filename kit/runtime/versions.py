"""Provenance of results: versions, hardware and the commit of the code."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = (
    "torch", "transformers", "datasets", "accelerate", "peft", "evaluate", "tokenizers", "scikit-learn",
    "numpy", "scipy", "bitsandbytes",
)  # fmt: skip


def provenance() -> dict[str, Any]:
    """Return kit's version and commit, Python, library versions, operating system, CPU and GPUs as plain data."""
    import torch

    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "kit": package_version("kit"),
        **_commit(),
        "python": platform.python_version(),
        "versions": {name: package_version(name) for name in PACKAGES},
        "platform": platform.platform(terse=True),
        "cpu": _cpu_name(),
        "cores": usable_cores(),
        "memory_bytes": memory_bytes(),
        "gpus": gpus,
    }


def versions() -> dict[str, str | None]:
    """Return the versions that results depend on: Python, kit and its libraries.

    The result is None for one that is not installed.

    Builds of one version (2.13.0+cpu, 2.13.0+cu128) count as the same: machines with and without GPUs need both.
    """
    installed = {name: package_version(name) for name in ("kit", *PACKAGES)}
    public = {name: number and number.partition("+")[0] for name, number in installed.items()}
    return {"python": ".".join(platform.python_version_tuple()[:2]), **public}


def usable_cores() -> int:
    """Return the number of cores that this process may use; in a container fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_bytes() -> int:
    """Return the memory of this machine in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def peak_memory_bytes() -> int:
    """Return the highest resident memory of this process so far, in bytes."""
    import resource

    status = Path("/proc/self/status")
    if status.is_file():  # on Linux, getrusage includes the parent's memory at the start of this process
        for line in status.read_text("utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def peak_gpu_memory_bytes() -> int | None:
    """Return the most memory that tensors of this process used on its GPU so far, in bytes.

    The result is None without a GPU.
    """
    import torch

    return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None


@cache
def package_version(package: str) -> str | None:
    """Return a package's version at the first call, the one that is loaded.

    The result is None if it is not installed.
    """
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@cache
def _commit() -> dict[str, Any]:
    """Return the commit and dirty flag of kit's checkout at the first call.

    The result is None for an installed copy.
    """
    folder = Path(__file__).resolve().parent
    if not (folder.parent / ".git").exists():
        return {"commit": None, "dirty": None}
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        return {"commit": commit, "dirty": bool(_git(folder, "status", "--porcelain", "--", "."))}
    except (OSError, subprocess.SubprocessError):
        return {"commit": None, "dirty": None}


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text("utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
