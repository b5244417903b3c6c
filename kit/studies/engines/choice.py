"""Choice of the engine that runs the cells of a study, and the context that each worker gets."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from kit.errors import RecipeError
from kit.runtime.distributed import on_cpu
from kit.runtime.versions import versions
from kit.studies.ledger import STUDY_FILE
from kit.studies.plan import Plan
from kit.studies.record_storage import Storage

if TYPE_CHECKING:
    from kit.studies.engines.base import Engine, JobData

EngineName = Literal["local", "ray", "inline"]
_TARGET = "kit.studies.cell:run"
_GPU_DEVICES = ("nvidia*", "dxg", "kfd")  # of NVIDIA, Windows' subsystem for Linux, AMD


@dataclass(frozen=True)
class Place:
    """Options for where cells run.

    Attributes:
        engine: `local` for worker processes, `ray` for a Ray cluster, `inline` for this process.
        address: Address of the Ray cluster; None to start one on this machine.
        workers: Number of cells at once on this machine; None for one per GPU, or one without GPUs.
        storage: Storage for Records of workers that cannot access the folder of the runs.
    """

    engine: EngineName = "local"
    address: str | None = None
    workers: int | None = None
    storage: Storage | None = None

    @property
    def runs_several(self) -> bool:
        """True if several cells run at the same time."""
        return self.engine == "ray" or (self.engine == "local" and _workers(self) > 1)

    def require_consistent(self) -> None:
        """Raise RecipeError for options that the engine does not have, OutputError if the storage is not writable."""
        if self.address is not None and self.engine != "ray":
            raise RecipeError(
                f"--address {self.address}: only --engine ray has an address", "add --engine ray, or drop it"
            )
        if self.workers is not None and self.engine != "local":
            raise RecipeError(f"--workers {self.workers}: only --engine local has workers", "drop it")
        if self.storage is not None:
            if not self.storage.url.strip():
                raise RecipeError("--storage is empty", "name a folder or a URL, e.g. s3://bucket/runs")
            if self.storage.in_this_process and self.engine != "inline":
                raise RecipeError(
                    f"--storage {self.storage.url}: workers are other processes and cannot access it",
                    "name a place that every machine can access, or add --engine inline",
                )
            self.storage.require_writable()


@contextmanager
def started(place: Place, folder: Path) -> Iterator[Engine]:
    """Yield the engine, and close it at the end. Raises KitError if it cannot be started.

    Args:
        place: Options for where cells run.
        folder: Folder of the study, for the logs of workers; removed again if no study is started in it.
    """
    created = [path for path in (folder, folder.parent) if not path.exists()]
    engine = _engine(place, folder)
    try:
        yield engine
    finally:
        engine.close()
        if created and not (folder / STUDY_FILE).is_file():
            shutil.rmtree(folder / "logs", ignore_errors=True)
            for path in created:
                with suppress(OSError):  # another process uses it
                    path.rmdir()


def worker_context(place: Place, plan: Plan) -> JobData:
    """Return the data that all cells of a study share, see `kit.studies.cell.run`."""
    return {
        "recipe": plan.recipe.model_dump(mode="json"),
        "data": plan.facts["fingerprints"],
        "checkpoints": sorted(plan.prints.values()),  # a process keeps its loaded data for equal contexts only
        "folder": str(Path.cwd()),
        "versions": versions(),
        "storage": place.storage and place.storage.absolute().url,
    }


def _engine(place: Place, folder: Path) -> Engine:
    from kit.studies.engines.inline import InlineEngine
    from kit.studies.engines.local import LocalEngine
    from kit.studies.engines.ray import RayEngine

    if place.engine == "ray":
        return RayEngine(_TARGET, place.address)
    if place.engine == "inline":
        return InlineEngine(_TARGET)
    return LocalEngine(_TARGET, _workers(place), _gpus(), logs=folder / "logs")


def _workers(place: Place) -> int:
    return place.workers or max(1, _gpus())


def _gpus() -> int:
    if on_cpu():
        return 0
    if sys.platform == "linux" and not any(next(Path("/dev").glob(name), None) for name in _GPU_DEVICES):
        return 0  # spares the 1.5 s that torch needs to find this out
    import torch

    return torch.cuda.device_count()
