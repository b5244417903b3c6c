"""What teachers say about texts: computed once, kept on disk by content, read through memory maps.

    <cache>/teachers/<key>/about.json          whose answers these are, to what
                           0000.<place>.<sha>.npy   one shard of texts; the end of its name is the hash of its bytes

The key is a hash of the teacher's weights, the texts and what is asked, so a second student of the same teacher finds
everything, and another teacher finds nothing. Every shard is written whole or not at all: what is killed goes on with
the next shard. A shard that is not what its name says is computed again.

Knows teachers, texts and the cache. Knows nothing of students or losses.
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
import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from transformers import PreTrainedTokenizerBase

from kit.data.batching import EncodedDataset, sorted_batches
from kit.data.encode import Encoded, cache_folder
from kit.errors import LaunchError, TrainingError
from kit.files import require_space, write_atomically
from kit.measurement.metrics import sigmoid, softmax
from kit.models.inference import BATCH_TOKENS
from kit.models.layers import capturing
from kit.models.load import load_classifier
from kit.models.predictor import Texts, TransformerPredictor, load_predictor
from kit.models.teacher import Teacher
from kit.training.progress import Progress

_FORMAT = 1  # part of every key: raise it when outputs would be others
_LOGIT_SHARD, _TOKEN_SHARD, _LINE_SHARD = 8_192, 2_048, 1_024  # texts: about what a killed start computes again
_ABOUT = "about.json"
_RESERVE = 10_000_000


@dataclass(frozen=True)
class Computed:
    """How much of a teacher's outputs was computed this time, of how many texts."""

    texts: int
    of: int


class _Shards:
    """A folder of arrays, some for each shard of texts."""

    def __init__(self, about: dict[str, object], count: int, size: int, places: list[str]) -> None:
        key = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
        self.folder = cache_folder().with_name("teachers") / key[:32]
        self.about, self.places = about, places
        self.ranges = [(start, min(start + size, count)) for start in range(0, count, size)]

    def missing(self) -> list[int]:
        """Shards that are not there whole. A folder that is about something else is emptied."""
        try:
            same = json.loads((self.folder / _ABOUT).read_text("utf-8")) == self.about
        except (OSError, ValueError):
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
        write_atomically(self.folder / f"{number:04d}.{place}.{_sha(content)}.npy", content)

    def read(self, number: int, place: str) -> np.ndarray:
        """One array of a shard, memory-mapped."""
        found: np.ndarray = np.load(self._file(number, place), mmap_mode="r", allow_pickle=False)
        return found

    def _file(self, number: int, place: str) -> Path:
        return next(iter(sorted(self.folder.glob(f"{number:04d}.{place}.*.npy"))))

    def _whole(self, number: int, place: str) -> bool:
        try:
            file = self._file(number, place)
            return file.name.split(".")[-2] == _sha(file.read_bytes())
        except (OSError, StopIteration):
            return False


class TokenOutputs:
    """A teacher's token vectors at some places, for encoded texts.

    Kept as float16, text after text without padding, and read from disk as they are asked for.
    """

    def __init__(self, shards: _Shards, encoded: Encoded) -> None:
        self.offsets = encoded.offsets
        self.starts = np.asarray([start for start, _ in shards.ranges])
        self.arrays = {p: [shards.read(n, p) for n in range(len(shards.ranges))] for p in shards.places}

    def batch(self, place: str, positions: np.ndarray, length: int) -> torch.Tensor:
        """(batch, length, width) float32 vectors of these texts, zero where a text has ended."""
        arrays = self.arrays[place]
        result = np.zeros((len(positions), length, arrays[0].shape[1]), np.float32)
        for row, position in enumerate(positions):
            shard = int(np.searchsorted(self.starts, position, side="right")) - 1
            base = self.offsets[self.starts[shard]]
            start, stop = self.offsets[position] - base, self.offsets[position + 1] - base
            result[row, : stop - start] = arrays[shard][start:stop]
        return torch.from_numpy(result)


def teacher_logits(teacher: Teacher, texts: Texts, max_length: int, progress: Progress) -> tuple[np.ndarray, Computed]:
    """A teacher's logits (n, labels) float16 for texts, in the order of its own labels; from the cache, if there.

    max_length: for a teacher that does not say. Raises OutputError if they cannot be kept, TrainingError if they are no
    numbers. Under several processes each computes a share, and all get the whole.
    """
    longest = teacher.max_length or max_length
    about: dict[str, object] = {
        "format": _FORMAT,
        "teacher": teacher.sha256,
        "texts": _sha(repr(texts).encode()),
        "count": len(texts),
        "max_length": longest,
        "labels": list(teacher.labels),
    }
    shards = _Shards(about, len(texts), _LOGIT_SHARD, ["logits"])

    def compute() -> Callable[[int, int], dict[str, np.ndarray]]:
        predictor = load_predictor(teacher.folder)
        if isinstance(predictor, TransformerPredictor):
            predictor.max_length = min(predictor.max_length, longest)
        return lambda start, stop: {"logits": predictor.outputs(texts[start:stop])}

    computed = _complete(shards, 2 * len(texts) * len(teacher.labels), compute, teacher, progress)
    return np.concatenate([shards.read(number, "logits") for number in range(len(shards.ranges))]), computed


def teacher_translations(teacher: Teacher, texts: Texts, progress: Progress) -> tuple[list[str], Computed]:
    """What a teacher makes of texts, by its own search; from the cache, if there.

    Raises OutputError if they cannot be kept. Under several processes each translates a share.
    """
    about: dict[str, object] = {
        "format": _FORMAT,
        "teacher": teacher.sha256,
        "texts": _sha(repr(texts).encode()),
        "count": len(texts),
    }
    shards = _Shards(about, len(texts), _LINE_SHARD, ["translations"])

    def compute() -> Callable[[int, int], dict[str, np.ndarray]]:
        predictor = load_predictor(teacher.folder)
        return lambda start, stop: {"translations": predictor.outputs(texts[start:stop]).astype(np.str_)}

    computed = _complete(shards, 400 * len(texts), compute, teacher, progress)
    lines = [str(line) for number in range(len(shards.ranges)) for line in shards.read(number, "translations")]
    return lines, computed


def token_outputs(
    teacher: Teacher, encoded: Encoded, tokenizer: PreTrainedTokenizerBase, places: list[str], progress: Progress
) -> tuple[TokenOutputs, Computed]:
    """A teacher's token vectors at some places (see `models.layers.capturing`), from the cache if they are there.

    encoded: the texts, by a tokenizer that is the teacher's too. Raises like `teacher_logits`, and ModelError for
    places that the teacher does not have.
    """
    digest = hashlib.sha256()
    for array in (encoded.input_ids, encoded.offsets, encoded.token_types):
        digest.update(b"-" if array is None else array.tobytes())
    about: dict[str, object] = {"format": _FORMAT, "teacher": teacher.sha256, "tokens": digest.hexdigest()}
    shards = _Shards({**about, "places": places}, len(encoded), _TOKEN_SHARD, places)
    width = int(json.loads((teacher.folder / "config.json").read_text("utf-8")).get("hidden_size") or 1_024)

    def compute() -> Callable[[int, int], dict[str, np.ndarray]]:
        model = load_classifier(teacher.folder).to(PartialState().device)
        return lambda start, stop: _token_vectors(
            model, encoded.take(np.arange(start, stop)), tokenizer.pad_token_id or 0, places
        )

    needed = 2 * len(encoded.input_ids) * width * len(places)
    computed = _complete(shards, needed, compute, teacher, progress, alone=True)
    return TokenOutputs(shards, encoded), computed


def averaged(all_logits: list[np.ndarray], multi_label: bool) -> np.ndarray:
    """Logits (n, labels) float32 whose probabilities are the mean of several teachers'; those of one as they are."""
    if len(all_logits) == 1:
        return all_logits[0].astype(np.float32)
    chances = [np.asarray((sigmoid if multi_label else softmax)(each.astype(np.float64))) for each in all_logits]
    mean = np.clip(np.mean(chances, axis=0), 1e-7, 1 - 1e-7)
    return np.asarray(np.log(mean / (1 - mean)) if multi_label else np.log(mean), np.float32)


def _complete(
    shards: _Shards,
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
    for number in mine:
        assert outputs is not None
        for place, array in outputs(*shards.ranges[number]).items():
            halved = array.astype(np.float16) if array.dtype.kind == "f" else array
            if array.dtype.kind == "f" and not np.isfinite(halved).all():
                raise TrainingError(f"{place} of teacher {teacher.name} are no numbers that float16 can hold")
            if alone or state.is_main_process:
                shards.write(number, place, halved)
    state.wait_for_everyone()
    return Computed(texts, count)


def _token_vectors(model: torch.nn.Module, encoded: Encoded, pad_id: int, places: list[str]) -> dict[str, np.ndarray]:
    """(tokens, width) float32 vectors at each place, text after text, computed by this process alone."""
    device = next(model.parameters()).device
    dataset = EncodedDataset(encoded, None, pad_id)
    found: dict[str, np.ndarray] = {}
    with torch.inference_mode(), capturing(model, places) as captured:  # type: ignore[arg-type]
        for indices in sorted_batches(encoded.lengths, BATCH_TOKENS[device.type]):
            batch = {name: tensor.to(device) for name, tensor in dataset.collate(indices.tolist()).items()}
            model(**batch)
            for place in places:
                vectors = captured[place].float().cpu().numpy()
                whole = found.setdefault(place, np.empty((len(encoded.input_ids), vectors.shape[-1]), np.float32))
                for row, index in enumerate(indices):
                    start, stop = encoded.offsets[index], encoded.offsets[index + 1]
                    whole[start:stop] = vectors[row, : stop - start]
    return found


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]
