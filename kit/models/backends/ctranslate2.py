"""Translators for CTranslate2: what is left of one once its weights are in that library's format.

    model.bin, config.json, shared_vocabulary.json    CTranslate2's own
    ct2.json                                          number of weights, in how many bits, text before every source
    generation_config.json                            the search, as transformers writes it
    tokenizer files

The search is that of `models.translator`: the same beams, the same longest translation of a text.

Knows CTranslate2 and encoded texts. Knows nothing of how models are converted.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from kit.data.batching import sorted_batches
from kit.data.encode import Encoded, encode
from kit.errors import ModelError, first_line
from kit.models.checkpoints.loading import load_tokenizer, longest_text
from kit.models.damage import loading
from kit.models.translation.lengths import limits_of
from kit.models.translation.translator import SOURCE_TOKENS, count_tokens, translate_written
from kit.runtime.json_files import read_object

# Texts that a thread translates at once. Several threads for one text wait for each other after every small product: on
# two cores they were 1.6 to 15 times slower for one text (models of 512 and 128 wide), and 1.4 to 3 for many.
_AT_ONCE = 32
FACTS_FILE, SEARCH_FILE = "ct2.json", "generation_config.json"


@dataclass(frozen=True)
class Ct2Facts:
    """What CTranslate2 does not need to know. weights: as the step's `quantization` names it. prefix: of sources."""

    parameters: int
    weights: str
    prefix: str

    def write(self, folder: Path) -> None:
        """Beside a converted model."""
        (folder / FACTS_FILE).write_text(json.dumps(asdict(self), ensure_ascii=False), "utf-8")


class Ct2Translator:
    """A converted translator in a folder, with its tokenizer. Answers on the CPU, with as many threads as torch has."""

    def __init__(
        self, folder: Path, facts: Ct2Facts, search: dict[str, Any], tokenizer: PreTrainedTokenizerBase
    ) -> None:
        self.folder, self.facts, self.search, self.tokenizer = folder, facts, search, tokenizer
        self.max_length = longest_text(tokenizer)
        self._engine = _engine(folder)

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return self.facts.parameters

    @property
    def depends_on_batch(self) -> bool:
        """Rounding differs between batches."""
        return True

    def take_likeliest(self) -> None:
        """Search no more: see `Translator`."""
        self.search = {**self.search, "num_beams": 1}

    def cut(self, texts: list[tuple[str, ...]]) -> np.ndarray:
        """(n,) bool: which texts are longer than the model reads."""
        sources: list[tuple[str, ...]] = [(self.facts.prefix + text[0],) for text in texts]
        return encode(sources, self.tokenizer, self.max_length).truncated

    def outputs(self, texts: list[tuple[str, ...]]) -> np.ndarray:
        """(n,) translations; that of a blank text is empty."""
        return translate_written(
            texts, self.facts.prefix, lambda sources: self._translate(encode(sources, self.tokenizer, self.max_length))
        )

    def tokens(self, lines: list[str]) -> int:
        """How many tokens these translations have."""
        return count_tokens(self.tokenizer, lines)

    def save(self, folder: Path) -> None:
        """Copy all files."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)

    @classmethod
    def load(cls, folder: Path) -> Ct2Translator:
        """What `save` wrote. Raises ModelError if it is damaged or CTranslate2 is not installed."""
        require_ct2()
        with loading(folder):
            facts = Ct2Facts(**read_object(folder / FACTS_FILE, ModelError))
            search = read_object(folder / SEARCH_FILE, ModelError)
        return cls(folder, facts, search, load_tokenizer(folder))

    def _translate(self, encoded: Encoded) -> list[str]:
        beams = int(self.search.get("num_beams") or 1)
        limits = limits_of(encoded.lengths, self.search)
        found: list[list[str]] = [[]] * len(encoded)

        def write(rows: np.ndarray, limit: int) -> None:
            for row, pieces in zip(rows, self._pieces(encoded, rows, beams, limit), strict=True):
                found[row] = pieces

        for rows in sorted_batches(encoded.lengths, max(1, SOURCE_TOKENS["cpu"] // beams)):
            write(rows, int(limits[rows].max()))
            # The engine has one limit for a batch: what found no end within its own is searched for once more.
            over = rows[np.asarray([len(found[row]) for row in rows]) > limits[rows]]
            for limit in np.unique(limits[over]):
                write(over[limits[over] == limit], int(limit))
        ids: Any = [self.tokenizer.convert_tokens_to_ids(each) for each in found]
        return [line.strip() for line in self.tokenizer.batch_decode(ids, skip_special_tokens=True)]

    def _pieces(self, encoded: Encoded, rows: np.ndarray, beams: int, limit: int) -> list[list[str]]:
        """The tokens of translations of some texts, `limit` at most."""
        names, search = self.tokenizer.convert_ids_to_tokens, self.search
        first = search.get("forced_bos_token_id")
        found = self._engine.translate_batch(
            [names(encoded.input_ids[slice(*encoded.offsets[[row, row + 1]])].tolist()) for row in rows],
            target_prefix=None if first is None else [[names(first)]] * len(rows),
            beam_size=beams,
            length_penalty=float(search.get("length_penalty", 1.0)),
            suppress_sequences=[names(each) for each in search.get("bad_words_ids") or []] or None,
            max_batch_size=_AT_ONCE,
            max_decoding_length=limit,
            min_decoding_length=0,  # as torch: nothing may be the likeliest translation
            max_input_length=0,
        )
        return [each.hypotheses[0] for each in found]


def require_ct2() -> None:
    """Raise ModelError where CTranslate2 is missing."""
    if find_spec("ctranslate2") is None:
        raise ModelError("ctranslate2 is not installed", "pip install 'kit[ct2]'")


def _engine(folder: Path) -> Any:
    import ctranslate2

    threads = torch.get_num_threads()
    try:
        return ctranslate2.Translator(str(folder), device="cpu", inter_threads=threads, intra_threads=1)
    except Exception as error:
        raise ModelError(f"CTranslate2 cannot load the model in {folder}: {first_line(error)}") from error
    finally:
        torch.set_num_threads(threads)  # both count the same library's threads: to make an engine leaves torch with one
