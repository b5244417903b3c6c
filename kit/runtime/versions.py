"""Where a result came from: versions, hardware, the commit of the code.

Knows the environment. Knows nothing of recipes or results.
"""

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
    """Plain data: kit's version and commit, Python, library versions, operating system, CPU and GPUs."""
    import torch

    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "kit": _version("kit"),
        **_commit(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
        "platform": platform.platform(terse=True),
        "cpu": _cpu_name(),
        "cores": usable_cores(),
        "memory_bytes": memory_bytes(),
        "gpus": gpus,
    }


def versions() -> dict[str, str | None]:
    """What results follow from besides the recipe: Python, kit and its libraries; None for one that is not installed.

    Builds of one version (2.13.0+cpu, 2.13.0+cu128) count as the same: machines with and without GPUs need both.
    """
    found = {name: _version(name) for name in ("kit", *PACKAGES)}
    public = {name: number and number.partition("+")[0] for name, number in found.items()}
    return {"python": ".".join(platform.python_version_tuple()[:2]), **public}


def usable_cores() -> int:
    """Cores that this process may run on, which in a container are fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_bytes() -> int:
    """Return the memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def peak_memory_bytes() -> int:
    """Highest resident memory of this process so far, in bytes."""
    import resource

    status = Path("/proc/self/status")
    if status.is_file():  # on Linux, getrusage counts what the parent held when it started this process
        for line in status.read_text("utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def peak_gpu_memory_bytes() -> int | None:
    """Most memory that tensors of this process held on its GPU so far, in bytes; None without a GPU."""
    import torch

    return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None


@cache
def _version(package: str) -> str | None:
    """Of a package as it is first asked for: what is installed later is not what this process runs."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@cache
def _commit() -> dict[str, Any]:
    """Commit and dirty flag of kit's own checkout, when it is first asked for; None for an installed copy."""
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
