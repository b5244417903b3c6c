"""Shards: arrays computed once, kept on disk by content, read through memory maps.

    <cache>/teachers/<key>/about.json          whose answers these are, to what
                           0000.<place>.<sha>.npy   one shard of texts; the end of its name is the hash of its bytes

The key is a hash of what the arrays follow from. Every shard is written whole or not at all: what is killed goes on
with the next shard. A shard that is not what its name says is computed again.

Knows arrays, teachers' names and the cache. Knows nothing of models or of what the arrays mean.
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

from kit.data.encode import cache_folder
from kit.distillation.teacher import Teacher
from kit.errors import LaunchError, RecordError, TrainingError
from kit.runtime.files import require_space, write_atomically
from kit.runtime.json_files import read_json
from kit.training.progress import Progress

_ABOUT = "about.json"
_RESERVE = 10_000_000


@dataclass(frozen=True)
class Computed:
    """How much of a teacher's outputs was computed this time, of how many texts."""

    texts: int
    of: int


class Shards:
    """A folder of arrays, some for each shard of texts."""

    def __init__(self, about: dict[str, object], count: int, size: int, places: list[str]) -> None:
        key = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
        self.folder = cache_folder().with_name("teachers") / key[:32]
        self.about, self.places = about, places
        self.ranges = [(start, min(start + size, count)) for start in range(0, count, size)]

    def missing(self) -> list[int]:
        """Shards that are not there whole. A folder that is about something else is emptied."""
        try:
            same = read_json(self.folder / _ABOUT) == self.about
        except RecordError:
            same = False
        if not same:
            shutil.rmtree(self.folder, ignore_errors=True)
        return [number for number in range(len(self.ranges)) if not all(self._whole(number, p) for p in self.places)]

    def require_room(self, needed_bytes: int) -> None:
        """Make the folder; raise OutputError if it cannot be written to or its disk lacks the space."""
        require_space(self.folder, needed_bytes + _RESERVE)
        write_atomically(self.folder / _ABOUT, json.dumps(self.about, sort_keys=True))

    def write(self, number: int, place: str, array: np.ndarray) -> None:
        """Keep one array of a shard. Raises OutputError if it cannot be written."""
        buffer = BytesIO()
        np.save(buffer, array)
        content = buffer.getvalue()
        for old in self.folder.glob(f"{number:04d}.{place}.*.npy"):
            old.unlink()
        write_atomically(self.folder / f"{number:04d}.{place}.{sha_of(content)}.npy", content)

    def read(self, number: int, place: str) -> np.ndarray:
        """One array of a shard, memory-mapped."""
        found: np.ndarray = np.load(self._file(number, place), mmap_mode="r", allow_pickle=False)
        return found

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
    """Compute and keep the shards that are missing; the first process looks which.

    alone: each process computes and writes shards of its own. Else they share the work on every shard among them, and
    the first one writes it.
    """
    state = PartialState()
    count = shards.ranges[-1][1]
    todo: list[list[int]] = [shards.missing() if state.is_main_process else []]
    missing = broadcast_object_list(todo)[0] if state.num_processes > 1 else todo[0]
    if not missing:
        return Computed(0, count)
    texts = sum(shards.ranges[number][1] - shards.ranges[number][0] for number in missing)
    progress.say(f"teacher {teacher.name}: answering {texts:,} texts" + (f" of {count:,}" if texts < count else ""))
    if state.is_main_process:
        shards.require_room(needed_bytes * texts // count)
    state.wait_for_everyone()
    if not (shards.folder / _ABOUT).is_file():
        raise LaunchError(
            f"{shards.folder} is not the same folder for all machines, and holds a teacher's answers",
            "set the environment variable KIT_CACHE to a folder on storage that all machines share",
        )
    mine = missing[state.process_index :: state.num_processes] if alone else missing
    outputs = compute() if mine else None
    sizes = {number: shards.ranges[number][1] - shards.ranges[number][0] for number in mine}
    with progress.counting("answering", sum(sizes.values()), "texts") as done:
        for number, size in sizes.items():
            assert outputs is not None
            for place, array in outputs(*shards.ranges[number]).items():
                halved = array.astype(np.float16) if array.dtype.kind == "f" else array
                if array.dtype.kind == "f" and not np.isfinite(halved).all():
                    raise TrainingError(f"{place} of teacher {teacher.name} are no numbers that float16 can hold")
                if alone or state.is_main_process:
                    shards.write(number, place, halved)
            done(size)
    state.wait_for_everyone()
    return Computed(texts, count)


def sha_of(content: bytes) -> str:
    """A hash of some bytes, short enough for the name of a file."""
    return hashlib.sha256(content).hexdigest()[:32]
