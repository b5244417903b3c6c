"""The translator: a fitted model that writes, with its tokenizers and the way it searches.

Sources are translated in batches of near-equal length, in float32, by beam search with cached keys and values; a
batch ends when all its translations have.

Knows torch models and texts. Knows nothing of metrics, training or Records.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kit.data.batching import EncodedDataset, PairDataset, sorted_batches
from kit.data.blank import is_blank
from kit.data.encode import IGNORED, Encoded, encode
from kit.errors import ModelError
from kit.models.architectures.quantization_fixes import mend_names
from kit.models.checkpoints.loading import longest_text, quiet, save_tokenizer
from kit.models.inference import BATCH_TOKENS, full_float32
from kit.models.translation import greedy
from kit.models.translation.lengths import Limits, limits_of
from kit.models.translation.seq2seq import TARGET, Tongues, load_translator
from kit.runtime.json_files import read_object

# Source tokens, padded, that are translated together, shared among the beams of each.
SOURCE_TOKENS = {"cpu": 2_048, "mps": 16_384, "cuda": 65_536}
Search = Callable[[PreTrainedModel, np.ndarray], list[str]]


class Translator:
    """A model that writes. prefix: text before every source."""

    def __init__(
        self,
        model: PreTrainedModel,
        tongues: Tongues,
        max_length: int,
        prefix: str = "",
        tokenizer_key: str | None = None,
    ) -> None:
        self.model = model
        self.tongues = tongues
        self.max_length = max_length
        self.prefix = prefix
        self.tokenizer_key = tokenizer_key

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    @property
    def depends_on_batch(self) -> bool:
        """Rounding differs between batches of different shape, and now and then decides between two words."""
        return True

    def take_likeliest(self) -> None:
        """Search no more: take the likeliest token each time, whatever the model was saved with."""
        config = self.model.generation_config
        assert config is not None
        config.num_beams, config.early_stopping, config.do_sample = 1, False, False

    def cut(self, texts: list[tuple[str, ...]]) -> np.ndarray:
        """(n,) bool: which texts are longer than the model reads."""
        sources: list[tuple[str, ...]] = [(self.prefix + text[0],) for text in texts]
        return encode(sources, self.tongues.source, self.max_length, self.tokenizer_key).truncated

    def outputs(self, texts: list[tuple[str, ...]]) -> np.ndarray:
        """(n,) translations; that of a blank text is empty."""
        source, longest, key = self.tongues.source, self.max_length, self.tokenizer_key
        return translate_written(
            texts, self.prefix, lambda sources: self._translate(encode(sources, source, longest, key))
        )

    def likeliest(
        self, texts: list[tuple[str, ...]], translations: Encoded, count: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """The tokens that are likeliest at each place of given translations, after those before it.

        translations: of the texts, by the target's tokenizer. count: of tokens at a place, up to the whole vocabulary.
        Returns (total, count) int32 numbers of tokens and the float32 logarithms of their probabilities, likeliest
        first, translation after translation. Every process computes all of them.
        """
        model = self.model
        sources: list[tuple[str, ...]] = [(self.prefix + text[0],) for text in texts]
        encoded = encode(sources, self.tongues.source, self.max_length, self.tokenizer_key)
        pads = (self.tongues.source.pad_token_id or 0, self.tongues.target.pad_token_id or 0)
        dataset = PairDataset(encoded, translations, pads, shift_of(model))
        tokens = np.empty((len(translations.input_ids), count), np.int32)
        chances = np.empty(tokens.shape, np.float32)
        was_training = model.training
        model.eval()  # type: ignore[no-untyped-call]
        try:
            with full_float32(), torch.inference_mode(), torch.autocast(model.device.type, enabled=False):
                for indices in sorted_batches(encoded.lengths + translations.lengths, BATCH_TOKENS[model.device.type]):
                    batch = {name: part.to(model.device) for name, part in dataset.collate(indices.tolist()).items()}
                    known = batch.pop("labels") != IGNORED
                    logits = model(**batch).logits[known].float()
                    top = logits.topk(count, dim=-1)
                    places = np.concatenate([np.arange(*translations.offsets[[i, i + 1]]) for i in indices])
                    tokens[places] = top.indices.cpu().numpy()
                    chances[places] = (top.values - logits.logsumexp(dim=-1, keepdim=True)).cpu().numpy()
        finally:
            model.train(was_training)
        return tokens, chances

    def tokens(self, lines: list[str]) -> int:
        """How many tokens these translations have."""
        return count_tokens(self.tongues.target, lines)

    def save(self, folder: Path) -> None:
        """Weights, configuration, generation settings; tokenizers, the target's in a folder if it differs."""
        with quiet():
            self.model.config.prefix = self.prefix
            self.model.save_pretrained(folder)
            mend_names(folder)
        self.save_tokenizers(folder)

    def save_tokenizers(self, folder: Path) -> None:
        """The source's, and the target's in a folder of its own if it is another."""
        places = {folder: self.tongues.source}
        if self.tongues.target is not self.tongues.source:
            places[folder / TARGET] = self.tongues.target
        for place, tokenizer in places.items():
            save_tokenizer(tokenizer, place, self.max_length)

    @classmethod
    def load(cls, folder: Path) -> Translator:
        """The translator saved in a folder, on the best device there is. Raises ModelError if it is damaged."""
        config = read_object(folder / "config.json", ModelError)
        if "quantization_config" in config:  # layers in few bits stay where they were loaded
            return cls.rounded(folder, device_map=PartialState().device)
        found = cls.rounded(folder)
        found.model.to(PartialState().device)
        return found

    @classmethod
    def rounded(cls, folder: Path, **rounding: Any) -> Translator:
        """The same, as transformers loads it. rounding: what it is told to round meanwhile, and where to put it."""
        model, tongues = load_translator(folder, **rounding)
        return cls(model, tongues, longest_source(tongues), prefix_of(folder))

    @property
    def _batch_tokens(self) -> int:
        """Padded tokens of sources that are translated at once, by each beam."""
        return SOURCE_TOKENS[self.model.device.type]

    def _translate(self, encoded: Encoded) -> list[str]:
        """Under several processes each translates a share and all get the whole."""
        state = PartialState()
        model, source = self.model, self.tongues.source
        dataset = EncodedDataset(encoded, None, source.pad_token_id or 0, source.padding_side == "left")
        config = model.generation_config
        assert config is not None
        batches = sorted_batches(encoded.lengths, max(1, self._batch_tokens // int(config.num_beams or 1)))
        mine = batches[state.process_index :: state.num_processes]
        was_training = model.training
        model.eval()  # type: ignore[no-untyped-call]
        try:
            with full_float32():
                lines = self._each(partial(self._search, encoded, dataset), mine)
        finally:
            model.train(was_training)
        parts = [(indices.tolist(), of_batch) for indices, of_batch in zip(mine, lines, strict=True)]
        if state.num_processes > 1:
            parts = gather_object(parts)
        found = [""] * len(encoded)
        for indices, of_batch in parts:
            for index, line in zip(indices, of_batch, strict=True):
                found[index] = line.strip()
        return found

    def _each(self, search: Search, batches: list[np.ndarray]) -> list[list[str]]:
        """What a search finds for each batch."""
        return [search(self.model, indices) for indices in batches]

    def _search(
        self, encoded: Encoded, dataset: EncodedDataset, model: PreTrainedModel, indices: np.ndarray
    ) -> list[str]:
        """Of the texts with these numbers, as the model was saved to search."""
        config, device = model.generation_config, model.device
        assert config is not None
        limits = torch.from_numpy(limits_of(encoded.lengths[indices], config.to_dict())).to(device)
        with torch.inference_mode(), torch.autocast(device.type, enabled=False):
            batch = {name: part.to(device) for name, part in dataset.collate(indices.tolist()).items()}
            batch.pop("token_type_ids", None)
            kind = greedy.settings_for(config, limits) or {"stopping_criteria": [Limits(limits)]}
            ids = model.generate(**batch, **kind, max_new_tokens=int(limits.max()))  # type: ignore[operator]
        lines: list[str] = self.tongues.target.batch_decode(ids, skip_special_tokens=True)
        return lines


def shift_of(model: PreTrainedModel) -> Callable[[torch.Tensor], torch.Tensor]:
    """What a model makes of the tokens it is to write: those that it sees before each of them."""
    if hasattr(model, "prepare_decoder_input_ids_from_labels"):
        return cast(Callable[[torch.Tensor], torch.Tensor], model.prepare_decoder_input_ids_from_labels)
    start, pad = model.config.decoder_start_token_id, model.config.pad_token_id

    def shifted(labels: torch.Tensor) -> torch.Tensor:
        moved = labels.roll(1, dims=1)
        moved[:, 0] = start
        return moved.masked_fill(moved == IGNORED, pad)

    return shifted


def longest_source(tongues: Tongues) -> int:
    """Return the most tokens of a source, as saved with its tokenizer."""
    return longest_text(tongues.source)


def prefix_of(folder: Path) -> str:
    """Text before every source, as it was saved in the configuration."""
    return str(read_object(folder / "config.json", ModelError).get("prefix") or "")


def translate_written(
    texts: list[tuple[str, ...]], prefix: str, translate: Callable[[list[tuple[str, ...]]], list[str]]
) -> np.ndarray:
    """(n,) translations of texts, each behind a prefix; blank ones are not translated but empty."""
    written = [row for row, text in enumerate(texts) if not is_blank(text[0])]
    found = np.full(len(texts), "", object)
    if written:
        found[written] = np.asarray(translate([(prefix + texts[row][0],) for row in written]), object)
    return found


def count_tokens(tokenizer: PreTrainedTokenizerBase, lines: list[str]) -> int:
    """How many tokens translations have by a tokenizer, the ends of lines left out."""
    found = tokenizer(text_target=lines, add_special_tokens=False)["input_ids"]
    return sum(map(len, found))
