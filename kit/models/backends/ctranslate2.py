"""Translators that are run by CTranslate2.

    model.bin, config.json, shared_vocabulary.json    CTranslate2's own files
    ct2.json                                          number and format of weights, text before every source
    generation_config.json                            search settings, as transformers writes them
    tokenizer files

The search is that of `kit.models.translation.translator`: same beams, same maximum length of each translation.
"""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kit.data.encode import Encoded, encode
from kit.data.padding import sorted_batches
from kit.errors import ModelError, first_line
from kit.models.checkpoints.tokenizers import load_for_inference, longest_text
from kit.models.damage import loading
from kit.models.translation.lengths import limits_of
from kit.models.translation.sources import SOURCE_TOKENS, count_tokens, translate_written
from kit.runtime.json_files import read_object
from kit.runtime.threads import thread_count

if TYPE_CHECKING:
    from kit.data.encode import AnyTokenizer

# Texts per batch of a thread. Threads that share a text wait for each other after every small product: on two cores
# that was 1.6 to 15 times slower for one text (models of width 512 and 128), and 1.4 to 3 times for many.
_TEXTS_PER_BATCH = 32
FACTS_FILE, SEARCH_FILE = "ct2.json", "generation_config.json"


@dataclass(frozen=True)
class Ct2Facts:
    """Facts that are not in CTranslate2's own files.

    Attributes:
        parameters: Number of weights.
        weights: Format of weights, as the step's `quantization` names it.
        prefix: Text before every source.
    """

    parameters: int
    weights: str
    prefix: str

    def write(self, folder: Path) -> None:
        """Write the facts into the folder of a converted model."""
        (folder / FACTS_FILE).write_text(json.dumps(asdict(self), ensure_ascii=False), "utf-8")


class Ct2Translator:
    """Converted translator in a folder, with its tokenizer.

    Runs on the CPU, with as many threads as torch.
    """

    def __init__(self, folder: Path, facts: Ct2Facts, search: dict[str, Any], tokenizer: AnyTokenizer) -> None:
        self.folder, self.facts, self.search, self.tokenizer = folder, facts, search, tokenizer
        self.max_length = longest_text(tokenizer)
        self._engine = _engine(folder)

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return self.facts.parameters

    @property
    def depends_on_batch(self) -> bool:
        """Always true: rounding differs between batches."""
        return True

    def search_greedily(self) -> None:
        """Replace the saved search by greedy search."""
        self.search = {**self.search, "num_beams": 1}

    def cut(self, texts: list[tuple[str, ...]]) -> np.ndarray:
        """Return (n,) bool: True for texts that are truncated to the model's maximum length."""
        sources: list[tuple[str, ...]] = [(self.facts.prefix + text[0],) for text in texts]
        return encode(sources, self.tokenizer, self.max_length).truncated

    def outputs(self, texts: list[tuple[str, ...]]) -> np.ndarray:
        """Return (n,) translations; that of a blank text is empty."""
        return translate_written(
            texts, self.facts.prefix, lambda sources: self._translate(encode(sources, self.tokenizer, self.max_length))
        )

    def tokens(self, lines: list[str]) -> int:
        """Return the number of tokens of translations."""
        return count_tokens(self.tokenizer, lines)

    def save(self, folder: Path) -> None:
        """Copy all files."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)

    @classmethod
    def load(cls, folder: Path) -> Ct2Translator:
        """Load what `save` wrote.

        Raises:
            ModelError: If it is damaged or CTranslate2 is not installed.
        """
        require_ct2()
        with loading(folder):
            facts = Ct2Facts(**read_object(folder / FACTS_FILE, ModelError))
            search = read_object(folder / SEARCH_FILE, ModelError)
        return cls(folder, facts, search, load_for_inference(folder, decodes=True))

    def _translate(self, encoded: Encoded) -> list[str]:
        beams = int(self.search.get("num_beams") or 1)
        limits = limits_of(encoded.lengths, self.search)
        translations: list[list[str]] = [[]] * len(encoded)

        def search(rows: np.ndarray, limit: int) -> None:
            for row, tokens in zip(rows, self._search(encoded, rows, beams, limit=limit), strict=True):
                translations[row] = tokens

        for rows in sorted_batches(encoded.lengths, max(1, SOURCE_TOKENS["cpu"] // beams)):
            search(rows, int(limits[rows].max()))
            # The engine has one limit per batch: search again for translations that exceed their own limits.
            over = rows[np.asarray([len(translations[row]) for row in rows]) > limits[rows]]
            for limit in np.unique(limits[over]):
                search(over[limits[over] == limit], int(limit))
        ids: Any = [self.tokenizer.convert_tokens_to_ids(tokens) for tokens in translations]
        return [line.strip() for line in self.tokenizer.batch_decode(ids, skip_special_tokens=True)]

    def _search(self, encoded: Encoded, rows: np.ndarray, beams: int, limit: int) -> list[list[str]]:
        """Translate the texts in these rows; return the tokens of each translation, at most `limit`."""
        names: Any = self.tokenizer.convert_ids_to_tokens
        search, first = self.search, self.search.get("forced_bos_token_id")
        results = self._engine.translate_batch(
            [names(encoded.input_ids[slice(*encoded.offsets[[row, row + 1]])].tolist()) for row in rows],
            target_prefix=None if first is None else [names([first])] * len(rows),
            beam_size=beams,
            length_penalty=float(search.get("length_penalty", 1.0)),
            suppress_sequences=[names(ids) for ids in search.get("bad_words_ids") or []] or None,
            max_batch_size=_TEXTS_PER_BATCH,
            max_decoding_length=limit,
            min_decoding_length=0,  # as in torch: the most likely translation may be empty
            max_input_length=0,
        )
        return [result.hypotheses[0] for result in results]


def require_ct2() -> None:
    """Raise ModelError if CTranslate2 is not installed."""
    if find_spec("ctranslate2") is None:
        raise ModelError("ctranslate2 is not installed", "pip install 'kit[ct2]'")


def _engine(folder: Path) -> Any:
    import ctranslate2

    threads = thread_count()
    try:
        return ctranslate2.Translator(str(folder), device="cpu", inter_threads=threads, intra_threads=1)
    except Exception as error:
        raise ModelError(f"CTranslate2 cannot load the model in {folder}: {first_line(error)}") from error
    finally:
        if "torch" in sys.modules:  # creating an engine also sets torch's number of threads to one
            sys.modules["torch"].set_num_threads(threads)
