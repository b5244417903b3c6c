"""Translator: a fitted translation model with its tokenizers and search settings.

Sources are translated in batches of similar length, in float32, by beam search with cached keys and values. A batch
ends when all its translations have ended.
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
from transformers import PreTrainedModel

from kit.data.batching import EncodedDataset, PairDataset
from kit.data.encode import IGNORED, Encoded, encode
from kit.data.padding import pad_id_of, sorted_batches
from kit.models.architectures.quantization_fixes import mend_names
from kit.models.checkpoints.config_file import read_config
from kit.models.checkpoints.tokenizers import TARGET, longest_text, quiet, save_tokenizer
from kit.models.inference import BATCH_TOKENS, full_float32
from kit.models.translation import greedy
from kit.models.translation.generation_settings import settings_of
from kit.models.translation.lengths import limits_of
from kit.models.translation.seq2seq import TokenizerPair, load_translator
from kit.models.translation.sources import SOURCE_TOKENS, count_tokens, translate_written
from kit.models.translation.stopping import Limits

Search = Callable[[PreTrainedModel, np.ndarray], list[str]]


class Translator:
    """Translation model with its tokenizers.

    Args:
        model: Torch model, whose generation settings are those of the search.
        tokenizer_pair: Tokenizers of source and target.
        max_length: Maximum number of tokens of a source; longer ones are truncated.
        prefix: Text before every source.
        tokenizer_key: Hash of the source tokenizer's files, the key for caching tokenized texts; None to cache none.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer_pair: TokenizerPair,
        max_length: int,
        prefix: str = "",
        tokenizer_key: str | None = None,
    ) -> None:
        self.model = model
        self.tokenizer_pair = tokenizer_pair
        self.max_length = max_length
        self.prefix = prefix
        self.tokenizer_key = tokenizer_key

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    @property
    def depends_on_batch(self) -> bool:
        """Always true: rounding differs between batches of different shape, and occasionally decides between words."""
        return True

    def search_greedily(self) -> None:
        """Replace the saved search by greedy search."""
        config = settings_of(self.model)
        config.num_beams, config.early_stopping, config.do_sample = 1, False, False

    def cut(self, texts: list[tuple[str, ...]]) -> np.ndarray:
        """Return (n,) bool: True for texts that are truncated to the model's maximum length."""
        sources: list[tuple[str, ...]] = [(self.prefix + text[0],) for text in texts]
        return encode(sources, self.tokenizer_pair.source, self.max_length, self.tokenizer_key).truncated

    def outputs(self, texts: list[tuple[str, ...]]) -> np.ndarray:
        """Return (n,) translations; that of a blank text is empty."""
        source, longest, key = self.tokenizer_pair.source, self.max_length, self.tokenizer_key
        return translate_written(
            texts, self.prefix, lambda sources: self._translate(encode(sources, source, longest, key))
        )

    def likeliest(
        self, texts: list[tuple[str, ...]], translations: Encoded, count: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the most likely tokens at each position of existing translations, given the tokens before it.

        Every process computes all of them.

        Args:
            texts: Sources.
            translations: Their translations, encoded by the target tokenizer.
            count: Number of tokens per position, up to the size of the vocabulary.

        Returns:
            (total, count) int32 token ids and their float32 log probabilities, most likely first. `total` counts the
            positions of all translations, one translation after the other.
        """
        model = self.model
        sources: list[tuple[str, ...]] = [(self.prefix + text[0],) for text in texts]
        encoded = encode(sources, self.tokenizer_pair.source, self.max_length, self.tokenizer_key)
        pads = (pad_id_of(self.tokenizer_pair.source), pad_id_of(self.tokenizer_pair.target))
        dataset = PairDataset(encoded, translations, pads, shift_of(model))
        tokens = np.empty((len(translations.input_ids), count), np.int32)
        log_probabilities = np.empty(tokens.shape, np.float32)
        was_training = model.training
        model.eval()  # type: ignore[no-untyped-call]
        try:
            with full_float32(), torch.inference_mode(), torch.autocast(model.device.type, enabled=False):
                for indices in sorted_batches(encoded.lengths + translations.lengths, BATCH_TOKENS[model.device.type]):
                    batch = {name: part.to(model.device) for name, part in dataset.collate(indices.tolist()).items()}
                    known = batch.pop("labels") != IGNORED
                    logits = model(**batch).logits[known].float()
                    top = logits.topk(count, dim=-1)
                    positions = np.concatenate([np.arange(*translations.offsets[[i, i + 1]]) for i in indices])
                    tokens[positions] = top.indices.cpu().numpy()
                    log_probabilities[positions] = (top.values - logits.logsumexp(dim=-1, keepdim=True)).cpu().numpy()
        finally:
            model.train(was_training)
        return tokens, log_probabilities

    def tokens(self, lines: list[str]) -> int:
        """Return the number of tokens of translations."""
        return count_tokens(self.tokenizer_pair.target, lines)

    def save(self, folder: Path) -> None:
        """Save weights, configuration, generation settings and tokenizers."""
        with quiet():
            self.model.config.prefix = self.prefix
            self.model.save_pretrained(folder)
            mend_names(folder)
        self.save_tokenizers(folder)

    def save_tokenizers(self, folder: Path) -> None:
        """Save the source tokenizer and, in a subfolder, the target tokenizer if it differs."""
        places = {folder: self.tokenizer_pair.source}
        if self.tokenizer_pair.target is not self.tokenizer_pair.source:
            places[folder / TARGET] = self.tokenizer_pair.target
        for place, tokenizer in places.items():
            save_tokenizer(tokenizer, place, self.max_length)

    @classmethod
    def load(cls, folder: Path) -> Translator:
        """Load the translator saved in a folder, on the best available device.

        Raises:
            ModelError: If it is damaged.
        """
        if read_config(folder).quantized:  # quantized layers stay on the device that they were loaded on
            return cls.rounded(folder, device_map=PartialState().device)
        translator = cls.rounded(folder)
        translator.model.to(PartialState().device)
        return translator

    @classmethod
    def rounded(cls, folder: Path, **quantization: Any) -> Translator:
        """Load the translator saved in a folder with settings of quantization and device.

        Args:
            folder: The model's folder.
            **quantization: Arguments of transformers' `from_pretrained`.
        """
        model, tokenizer_pair = load_translator(folder, **quantization)
        return cls(model, tokenizer_pair, longest_source(tokenizer_pair), prefix_of(folder))

    @property
    def _batch_tokens(self) -> int:
        """Maximum of padded source tokens x beams in a batch."""
        return SOURCE_TOKENS[self.model.device.type]

    def _translate(self, encoded: Encoded) -> list[str]:
        """Translate sources; under several processes each translates a share and all return the whole."""
        state = PartialState()
        model, source = self.model, self.tokenizer_pair.source
        dataset = EncodedDataset.for_tokenizer(encoded, source)
        config = settings_of(model)
        batches = sorted_batches(encoded.lengths, max(1, self._batch_tokens // int(config.num_beams or 1)))
        mine = batches[state.process_index :: state.num_processes]
        was_training = model.training
        model.eval()  # type: ignore[no-untyped-call]
        try:
            with full_float32():
                lines = self._run_batches(partial(self._search, encoded, dataset), mine)
        finally:
            model.train(was_training)
        parts = [(indices.tolist(), batch_lines) for indices, batch_lines in zip(mine, lines, strict=True)]
        if state.num_processes > 1:
            parts = gather_object(parts)
        translations = [""] * len(encoded)
        for indices, batch_lines in parts:
            for index, line in zip(indices, batch_lines, strict=True):
                translations[index] = line.strip()
        return translations

    def _run_batches(self, search: Search, batches: list[np.ndarray]) -> list[list[str]]:
        """Return the translations of each batch."""
        return [search(self.model, indices) for indices in batches]

    def _search(
        self, encoded: Encoded, dataset: EncodedDataset, model: PreTrainedModel, indices: np.ndarray
    ) -> list[str]:
        """Translate the texts with these indices, with the search settings of the model."""
        config, device = settings_of(model), model.device
        limits = torch.from_numpy(limits_of(encoded.lengths[indices], config.to_dict())).to(device)
        with torch.inference_mode(), torch.autocast(device.type, enabled=False):
            batch = {name: part.to(device) for name, part in dataset.collate(indices.tolist()).items()}
            batch.pop("token_type_ids", None)
            kind = greedy.settings_for(config, limits) or {"stopping_criteria": [Limits(limits)]}
            ids = model.generate(**batch, **kind, max_new_tokens=int(limits.max()))  # type: ignore[operator]
        lines: list[str] = self.tokenizer_pair.target.batch_decode(ids, skip_special_tokens=True)
        return lines


def shift_of(model: PreTrainedModel) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the function from labels to decoder inputs, which are shifted by one position."""
    if hasattr(model, "prepare_decoder_input_ids_from_labels"):
        return cast(Callable[[torch.Tensor], torch.Tensor], model.prepare_decoder_input_ids_from_labels)
    start, pad = model.config.decoder_start_token_id, model.config.pad_token_id

    def shifted(labels: torch.Tensor) -> torch.Tensor:
        moved = labels.roll(1, dims=1)
        moved[:, 0] = start
        return moved.masked_fill(moved == IGNORED, pad)

    return shifted


def longest_source(tokenizer_pair: TokenizerPair) -> int:
    """Return the maximum number of tokens of a source, as saved with its tokenizer."""
    return longest_text(tokenizer_pair.source)


def prefix_of(folder: Path) -> str:
    """Return the text before every source, as saved in the configuration."""
    return read_config(folder).prefix
