"""Where the cells of a study run: the engine that its options ask for, and what each worker is told.

Knows engines by name. Knows nothing of how cells end.
"""

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
    """Where cells run, as a user says it.

    engine: in worker processes, on a Ray cluster, or in this process. address: of the cluster, None to start one here.
    workers: cells at once on this machine; None is one a GPU, or one. storage: through which Records come from workers
    that do not see the folder with the runs.
    """

    engine: EngineName = "local"
    address: str | None = None
    workers: int | None = None
    storage: Storage | None = None

    @property
    def runs_several(self) -> bool:
        """Whether cells run at the same time."""
        return self.engine == "ray" or (self.engine == "local" and _workers(self) > 1)

    def require_sense(self) -> None:
        """Raise RecipeError for options that the engine has no use for, OutputError if the storage takes no files."""
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
                    f"--storage {self.storage.url}: workers are other processes, and do not see it",
                    "name a place that every machine sees, or add --engine inline",
                )
            self.storage.require_writable()


@contextmanager
def started(place: Place, folder: Path) -> Iterator[Engine]:
    """The engine, until the context ends. Raises KitError if it cannot be started.

    folder: of the study, for what workers print. If no study is begun there, nothing is left behind.
    """
    made = [each for each in (folder, folder.parent) if not each.exists()]
    engine = _engine(place, folder)
    try:
        yield engine
    finally:
        engine.close()
        if made and not (folder / STUDY_FILE).is_file():
            shutil.rmtree(folder / "logs", ignore_errors=True)
            for each in made:
                with suppress(OSError):  # others have begun something there
                    each.rmdir()


def worker_context(place: Place, plan: Plan) -> JobData:
    """What all cells of a study have in common, see `kit.studies.cell.run`."""
    return {
        "recipe": plan.recipe.model_dump(mode="json"),
        "data": plan.facts["fingerprints"],
        "checkpoints": sorted(plan.prints.values()),  # what a process keeps between cells is of these
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
    return LocalEngine(_TARGET, _workers(place), _gpus(), folder / "logs")


def _workers(place: Place) -> int:
    return place.workers or max(1, _gpus())


def _gpus() -> int:
    if on_cpu():
        return 0
    if sys.platform == "linux" and not any(next(Path("/dev").glob(name), None) for name in _GPU_DEVICES):
        return 0  # the answer, without the second and a half that torch takes to give it
    import torch

    return torch.cuda.device_count()
