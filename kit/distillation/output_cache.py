"""Cache of teacher outputs: arrays on disk in shards of texts, read through memory maps.

    <cache>/teachers/<key>/about.json               the teacher and the texts
                           0000.<place>.<sha>.npy   one shard of texts; the name ends in the hash of its bytes

The key is a hash of everything that the arrays depend on. Shards are written atomically, so a killed process continues
with the next shard. A shard whose hash does not match its name is computed again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from accelerate import PartialState
from accelerate.utils import broadcast_object_list

from kit.distillation.teacher import Teacher
from kit.errors import LaunchError, RecordError, TrainingError
from kit.runtime.cache_folders import cache_root
from kit.runtime.files import require_space, write_atomically
from kit.runtime.json_files import json_sha256, read_json
from kit.training.progress import Progress

_ABOUT = "about.json"
_RESERVE_BYTES = 10_000_000


@dataclass(frozen=True)
class Computed:
    """Amount of teacher outputs that was computed rather than read from the cache.

    Attributes:
        texts: Number of texts whose outputs were computed.
        of: Number of all texts.
    """

    texts: int
    of: int


class Shards:
    """A folder of arrays, one per shard of texts and place.

    Args:
        about: Everything that the arrays depend on.
        count: Number of texts.
        size: Texts per shard.
        places: Names of the arrays of each shard.
    """

    def __init__(self, about: dict[str, object], count: int, size: int, places: list[str]) -> None:
        self.folder = cache_root() / "teachers" / json_sha256(about)[:32]
        self.about, self.places = about, places
        self.ranges = [(start, min(start + size, count)) for start in range(0, count, size)]

    def missing(self) -> list[int]:
        """Return the numbers of missing or damaged shards.

        A folder with another about.json is deleted first.
        """
        try:
            same = read_json(self.folder / _ABOUT) == self.about
        except RecordError:
            same = False
        if not same:
            shutil.rmtree(self.folder, ignore_errors=True)
        return [number for number in range(len(self.ranges)) if not all(self._whole(number, p) for p in self.places)]

    def require_room(self, needed_bytes: int) -> None:
        """Create the folder. Raises OutputError if it cannot be written to or the disk lacks space."""
        require_space(self.folder, needed_bytes + _RESERVE_BYTES)
        write_atomically(self.folder / _ABOUT, json.dumps(self.about, sort_keys=True))

    def write(self, number: int, place: str, array: np.ndarray) -> None:
        """Write one array of a shard. Raises OutputError if it cannot be written."""
        buffer = BytesIO()
        np.save(buffer, array)
        content = buffer.getvalue()
        for old in self.folder.glob(f"{number:04d}.{place}.*.npy"):
            old.unlink()
        write_atomically(self.folder / f"{number:04d}.{place}.{sha_of(content)}.npy", content)

    def read(self, number: int, place: str) -> np.ndarray:
        """Return one array of a shard, memory-mapped."""
        array: np.ndarray = np.load(self._file(number, place), mmap_mode="r", allow_pickle=False)
        return array

    def _file(self, number: int, place: str) -> Path:
        return next(iter(sorted(self.folder.glob(f"{number:04d}.{place}.*.npy"))))

    def _whole(self, number: int, place: str) -> bool:
        try:
            file = self._file(number, place)
            return file.name.split(".")[-2] == sha_of(file.read_bytes())
        except (OSError, StopIteration):
            return False


def complete(
    shards: Shards,
    needed_bytes: int,
    compute: Callable[[], Callable[[int, int], dict[str, np.ndarray]]],
    teacher: Teacher,
    progress: Progress,
    alone: bool = False,
) -> Computed:
    """Compute and write the missing shards, as determined by the first process.

    Args:
        shards: The cache.
        needed_bytes: Size of all arrays.
        compute: Function that loads the teacher and returns a function from a range of texts to arrays by place.
        teacher: The teacher, for messages.
        progress: Output for people.
        alone: Each process computes and writes shards of its own. Otherwise all processes share the work on every
            shard, and the first process writes it.

    Raises:
        OutputError: A shard cannot be written.
        TrainingError: An output is not a finite number in float16.
        LaunchError: The machines of a launch do not share the cache.
    """
    state = PartialState()
    count = shards.ranges[-1][1]
    own_missing: list[list[int]] = [shards.missing() if state.is_main_process else []]
    missing = broadcast_object_list(own_missing)[0] if state.num_processes > 1 else own_missing[0]
    if not missing:
        return Computed(0, count)
    texts = sum(shards.ranges[number][1] - shards.ranges[number][0] for number in missing)
    progress.say(f"teacher {teacher.name}: predicting {texts:,} texts" + (f" of {count:,}" if texts < count else ""))
    if state.is_main_process:
        shards.require_room(needed_bytes * texts // count)
    state.wait_for_everyone()
    if not (shards.folder / _ABOUT).is_file():
        raise LaunchError(
            f"{shards.folder} is not the same folder for all machines, and holds a teacher's outputs",
            "set the environment variable KIT_CACHE to a folder on storage that all machines share",
        )
    mine = missing[state.process_index :: state.num_processes] if alone else missing
    outputs = compute() if mine else None
    sizes = {number: shards.ranges[number][1] - shards.ranges[number][0] for number in mine}
    with progress.counting("predicting", sum(sizes.values()), "texts") as advance:
        for number, size in sizes.items():
            assert outputs is not None
            for place, array in outputs(*shards.ranges[number]).items():
                stored = array.astype(np.float16) if array.dtype.kind == "f" else array
                if array.dtype.kind == "f" and not np.isfinite(stored).all():
                    raise TrainingError(f"{place} of teacher {teacher.name} are not finite in float16")
                if alone or state.is_main_process:
                    shards.write(number, place, stored)
            advance(size)
    state.wait_for_everyone()
    return Computed(texts, count)


def sha_of(content: bytes) -> str:
    """Return a hash of bytes that is short enough for a file name."""
    return hashlib.sha256(content).hexdigest()[:32]
