"""Outputs of teachers for texts: logits, translations and token vectors, cached on disk (see `output_cache`).

The key of the cache is a hash of the teacher's weights, the texts and the settings, so a second student of the same
teacher reads everything from the cache.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
import torch
from accelerate import PartialState
from transformers import PreTrainedTokenizerBase

from kit.data.batching import EncodedDataset
from kit.data.encode import Encoded
from kit.data.padding import pad_id_of, sorted_batches
from kit.distillation.output_cache import Computed, Shards, complete, sha_of
from kit.distillation.teacher import Teacher, load_teacher
from kit.models.architectures.layers import capturing
from kit.models.checkpoints.config_file import read_config
from kit.models.checkpoints.loading import load_classifier
from kit.models.classifier import TransformerPredictor
from kit.models.inference import BATCH_TOKENS
from kit.models.predictor import Texts
from kit.models.translation.translator import Translator
from kit.training.progress import Progress

_FORMAT = 1  # part of every key: increase it when outputs change
# Texts per shard, which is the work that an interrupted start loses at most.
_LOGIT_SHARD, _TOKEN_SHARD, _LINE_SHARD, _WORD_SHARD = 8_192, 2_048, 1_024, 2_048
LIKELIEST = 8  # most likely tokens kept at each target position, as in Tan et al. 2019, arXiv:1902.10461


class TokenOutputs:
    """Outputs of a teacher per token: its vectors at some places, or its most likely tokens.

    They are stored text after text without padding, numbers as float16, and read from disk on access.

    Args:
        shards: The cache, complete.
        encoded: The texts as tokens.
    """

    def __init__(self, shards: Shards, encoded: Encoded) -> None:
        self.offsets = encoded.offsets
        self.starts = np.asarray([start for start, _ in shards.ranges])
        self.arrays = {p: [shards.read(n, p) for n in range(len(shards.ranges))] for p in shards.places}

    def batch(self, place: str, positions: np.ndarray, length: int) -> torch.Tensor:
        """Return float32 vectors (batch, length, width) of some texts, with zeros after the end of a text.

        Args:
            place: Name of the array.
            positions: (batch,) positions of the texts.
            length: Length of the batch in tokens.
        """
        arrays = self.arrays[place]
        result = np.zeros((len(positions), length, arrays[0].shape[1]), np.float32)
        for row, position in enumerate(positions):
            shard = int(np.searchsorted(self.starts, position, side="right")) - 1
            base = self.offsets[self.starts[shard]]
            start, stop = self.offsets[position] - base, self.offsets[position + 1] - base
            result[row, : stop - start] = arrays[shard][start:stop]
        return torch.from_numpy(result)

    def rows(self, place: str, tokens: np.ndarray) -> torch.Tensor:
        """Return stored values (n, width) of some tokens.

        Args:
            place: Name of the array.
            tokens: (n,) positions among the tokens of all texts.
        """
        arrays, bases = self.arrays[place], self.offsets[self.starts]
        result = np.empty((len(tokens), arrays[0].shape[1]), arrays[0].dtype)
        shards = np.searchsorted(bases, tokens, side="right") - 1
        for shard in np.unique(shards):
            in_shard = shards == shard
            result[in_shard] = arrays[shard][tokens[in_shard] - bases[shard]]
        return torch.from_numpy(result)


def teacher_logits(
    teacher: Teacher, texts: Texts, max_length: int, progress: Progress, bf16: bool = False
) -> tuple[np.ndarray, Computed]:
    """Return a teacher's float16 logits (n, labels) in the order of its own labels, from the cache or computed.

    With several processes, each computes a share and all get the whole array.

    Args:
        teacher: The teacher.
        texts: n texts.
        max_length: Longest text in tokens, for a teacher without a limit of its own.
        progress: Output for people.
        bf16: Compute in bfloat16, as for a student that is trained in it; only for PyTorch teachers.

    Raises:
        OutputError: The logits cannot be written to the cache.
        TrainingError: Logits are not finite numbers.
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
    """Return a teacher's translations, by its own search settings, from the cache or computed.

    With several processes, each translates a share. Raises OutputError if the cache cannot be written.
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
    """Return a teacher's most likely tokens at each position of translations, from the cache or computed.

    Args:
        teacher: The teacher.
        texts: Source texts.
        translations: Translations of the texts as tokens of the teacher's tokenizer.
        progress: Output for people.

    Returns:
        Arrays `tokens` (int32 ids) and `log_chances` (log probabilities), see `Translator.likeliest`; and the amount
        that was computed.

    Raises:
        OutputError: The cache cannot be written.
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

        def likeliest(start: int, stop: int) -> dict[str, np.ndarray]:
            part = translations.take(np.arange(start, stop))
            return dict(zip(shards.places, translator.likeliest(texts[start:stop], part, LIKELIEST), strict=True))

        return likeliest

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
    """Return a teacher's token vectors at some places, from the cache or computed.

    Args:
        teacher: The teacher.
        encoded: The texts as tokens of the teacher's tokenizer.
        tokenizer: The tokenizer, for its padding token.
        places: Places in the teacher, see `capturing` in `kit.models.architectures.layers`.
        progress: Output for people.
        bf16: Compute in bfloat16, as for a student that is trained in it.

    Raises:
        OutputError: The vectors cannot be written to the cache.
        TrainingError: Vectors are not finite numbers.
        ModelError: The teacher does not have such a place.
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
    width = int(read_config(teacher.folder).content.get("hidden_size") or 1_024)

    def compute() -> Callable[[int, int], dict[str, np.ndarray]]:
        model = load_classifier(teacher.folder).to(PartialState().device)
        return lambda start, stop: _token_vectors(
            model, encoded.take(np.arange(start, stop)), pad_id_of(tokenizer), places, bf16
        )

    needed = 2 * len(encoded.input_ids) * width * len(places)
    computed = complete(shards, needed, compute, teacher, progress, alone=True)
    return TokenOutputs(shards, encoded), computed


def _token_vectors(
    model: torch.nn.Module, encoded: Encoded, pad_id: int, places: list[str], bf16: bool
) -> dict[str, np.ndarray]:
    """Return float32 vectors (tokens, width) per place, text after text, computed by this process alone."""
    device = next(model.parameters()).device
    dataset = EncodedDataset(encoded, None, pad_id)
    results: dict[str, np.ndarray] = {}
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
                result = results.setdefault(place, np.empty((len(encoded.input_ids), vectors.shape[-1]), np.float32))
                for row, index in enumerate(indices):
                    start, stop = encoded.offsets[index], encoded.offsets[index + 1]
                    result[start:stop] = vectors[row, : stop - start]
    return results
