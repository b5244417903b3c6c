"""What teachers say about texts: computed once and kept by content, see `training.shards`.

The key is a hash of the teacher's weights, the texts and what is asked, so a second student of the same teacher finds
everything, and another teacher finds nothing.

Knows teachers and texts. Knows nothing of students or losses.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
import torch
from accelerate import PartialState
from transformers import PreTrainedTokenizerBase

from kit.data.batching import EncodedDataset, sorted_batches
from kit.data.encode import Encoded
from kit.distillation.output_cache import Computed, Shards, complete, sha_of
from kit.distillation.teacher import Teacher, load_teacher
from kit.errors import ModelError
from kit.measurement.metrics import sigmoid, softmax
from kit.models.architectures.layers import capturing
from kit.models.checkpoints.loading import load_classifier
from kit.models.inference import BATCH_TOKENS
from kit.models.predictor import Texts, TransformerPredictor
from kit.models.translation.translator import Translator
from kit.runtime.json_files import read_object
from kit.training.progress import Progress

_FORMAT = 1  # part of every key: raise it when outputs would be others
# Texts: about what a killed start computes again.
_LOGIT_SHARD, _TOKEN_SHARD, _LINE_SHARD, _WORD_SHARD = 8_192, 2_048, 1_024, 2_048
LIKELIEST = 8  # tokens that are kept at each place of a translation, as Tan et al. 2019, arXiv:1902.10461, do


class TokenOutputs:
    """What a teacher says at each token of encoded texts: its vectors at some places, or the tokens that are likeliest.

    Kept text after text without padding, numbers as float16, and read from disk as they are asked for.
    """

    def __init__(self, shards: Shards, encoded: Encoded) -> None:
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

    def rows(self, place: str, tokens: np.ndarray) -> torch.Tensor:
        """(n, width), as they are kept, of tokens by their places among those of all texts."""
        arrays, bases = self.arrays[place], self.offsets[self.starts]
        result = np.empty((len(tokens), arrays[0].shape[1]), arrays[0].dtype)
        shards = np.searchsorted(bases, tokens, side="right") - 1
        for shard in np.unique(shards):
            there = shards == shard
            result[there] = arrays[shard][tokens[there] - bases[shard]]
        return torch.from_numpy(result)


def teacher_logits(
    teacher: Teacher, texts: Texts, max_length: int, progress: Progress, bf16: bool = False
) -> tuple[np.ndarray, Computed]:
    """A teacher's logits (n, labels) float16 for texts, in the order of its own labels; from the cache, if there.

    max_length: for a teacher that does not say. bf16: for a student that is trained in bfloat16, a teacher of torch
    answers in it too. Raises OutputError if they cannot be kept, TrainingError if they are no numbers. Under several
    processes each computes a share, and all get the whole.
    """
    longest = teacher.max_length or max_length
    bf16 = bf16 and teacher.checkpoint is not None
    about: dict[str, object] = {
        "format": _FORMAT,
        "teacher": teacher.sha256,
        "texts": sha_of(repr(texts).encode()),
        "count": len(texts),
        "max_length": longest,
        "labels": list(teacher.labels),
        "bf16": bf16,
    }
    shards = Shards(about, len(texts), _LOGIT_SHARD, ["logits"])

    def compute() -> Callable[[int, int], dict[str, np.ndarray]]:
        predictor = load_teacher(teacher)
        if not isinstance(predictor, TransformerPredictor):
            return lambda start, stop: {"logits": predictor.outputs(texts[start:stop])}
        predictor.max_length = min(predictor.max_length, longest)
        return lambda start, stop: {"logits": predictor.outputs(texts[start:stop], bf16)}

    computed = complete(shards, 2 * len(texts) * len(teacher.labels), compute, teacher, progress)
    return np.concatenate([shards.read(number, "logits") for number in range(len(shards.ranges))]), computed


def teacher_translations(teacher: Teacher, texts: Texts, progress: Progress) -> tuple[list[str], Computed]:
    """What a teacher makes of texts, by its own search; from the cache, if there.

    Raises OutputError if they cannot be kept. Under several processes each translates a share.
    """
    about: dict[str, object] = {
        "format": _FORMAT,
        "teacher": teacher.sha256,
        "texts": sha_of(repr(texts).encode()),
        "count": len(texts),
    }
    shards = Shards(about, len(texts), _LINE_SHARD, ["translations"])

    def compute() -> Callable[[int, int], dict[str, np.ndarray]]:
        predictor = load_teacher(teacher)
        return lambda start, stop: {"translations": predictor.outputs(texts[start:stop]).astype(np.str_)}

    computed = complete(shards, 400 * len(texts), compute, teacher, progress)
    lines = [str(line) for number in range(len(shards.ranges)) for line in shards.read(number, "translations")]
    return lines, computed


def teacher_words(
    teacher: Teacher, texts: Texts, translations: Encoded, progress: Progress
) -> tuple[TokenOutputs, Computed]:
    """The tokens that a teacher finds likeliest at each place of translations, from the cache if they are there.

    translations: of the texts, by a tokenizer that is the teacher's too. Gives `tokens` int32, and `log_chances`, the
    logarithms of their probabilities (see `Translator.likeliest`). Raises OutputError if they cannot be kept.
    """
    about: dict[str, object] = {
        "format": _FORMAT,
        "teacher": teacher.sha256,
        "texts": sha_of(repr(texts).encode()),
        "translations": sha_of(translations.input_ids.tobytes() + translations.offsets.tobytes()),
        "likeliest": LIKELIEST,
    }
    shards = Shards(about, len(texts), _WORD_SHARD, ["tokens", "log_chances"])

    def compute() -> Callable[[int, int], dict[str, np.ndarray]]:
        translator = load_teacher(teacher)
        assert isinstance(translator, Translator)

        def answer(start: int, stop: int) -> dict[str, np.ndarray]:
            part = translations.take(np.arange(start, stop))
            return dict(zip(shards.places, translator.likeliest(texts[start:stop], part, LIKELIEST), strict=True))

        return answer

    computed = complete(shards, 6 * LIKELIEST * len(translations.input_ids), compute, teacher, progress, alone=True)
    return TokenOutputs(shards, translations), computed


def token_outputs(
    teacher: Teacher,
    encoded: Encoded,
    tokenizer: PreTrainedTokenizerBase,
    places: list[str],
    progress: Progress,
    bf16: bool = False,
) -> tuple[TokenOutputs, Computed]:
    """A teacher's token vectors at some places (see `models.layers.capturing`), from the cache if they are there.

    encoded: the texts, by a tokenizer that is the teacher's too. bf16: as for `teacher_logits`. Raises like that, and
    ModelError for places that the teacher does not have.
    """
    digest = hashlib.sha256()
    for array in (encoded.input_ids, encoded.offsets, encoded.token_types):
        digest.update(b"-" if array is None else array.tobytes())
    about: dict[str, object] = {
        "format": _FORMAT,
        "teacher": teacher.sha256,
        "tokens": digest.hexdigest(),
        "bf16": bf16,
    }
    shards = Shards({**about, "places": places}, len(encoded), _TOKEN_SHARD, places)
    width = int(read_object(teacher.folder / "config.json", ModelError).get("hidden_size") or 1_024)

    def compute() -> Callable[[int, int], dict[str, np.ndarray]]:
        model = load_classifier(teacher.folder).to(PartialState().device)
        return lambda start, stop: _token_vectors(
            model, encoded.take(np.arange(start, stop)), tokenizer.pad_token_id or 0, places, bf16
        )

    needed = 2 * len(encoded.input_ids) * width * len(places)
    computed = complete(shards, needed, compute, teacher, progress, alone=True)
    return TokenOutputs(shards, encoded), computed


def averaged(all_logits: list[np.ndarray], multi_label: bool) -> np.ndarray:
    """Logits (n, labels) float32 whose probabilities are the mean of several teachers'; those of one as they are."""
    if len(all_logits) == 1:
        return all_logits[0].astype(np.float32)
    chances = [np.asarray((sigmoid if multi_label else softmax)(each.astype(np.float64))) for each in all_logits]
    mean = np.clip(np.mean(chances, axis=0), 1e-7, 1 - 1e-7)
    return np.asarray(np.log(mean / (1 - mean)) if multi_label else np.log(mean), np.float32)


def _token_vectors(
    model: torch.nn.Module, encoded: Encoded, pad_id: int, places: list[str], bf16: bool
) -> dict[str, np.ndarray]:
    """(tokens, width) float32 vectors at each place, text after text, computed by this process alone."""
    device = next(model.parameters()).device
    dataset = EncodedDataset(encoded, None, pad_id)
    found: dict[str, np.ndarray] = {}
    with (
        torch.inference_mode(),
        torch.autocast(device.type, torch.bfloat16, enabled=bf16),
        capturing(model, places) as captured,  # type: ignore[arg-type]
    ):
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
