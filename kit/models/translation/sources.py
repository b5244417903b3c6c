"""Source texts on their way through a translator: blank texts, batch sizes and numbers of tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from kit.data.blank import is_blank
from kit.data.marian_tokenizer import MarianTokenizer
from kit.data.saved_tokenizer import SavedTokenizer

if TYPE_CHECKING:
    from kit.data.encode import AnyTokenizer

# Maximum of padded source tokens x beams in a batch.
SOURCE_TOKENS = {"cpu": 2_048, "mps": 16_384, "cuda": 65_536}


def translate_written(
    texts: list[tuple[str, ...]], prefix: str, translate: Callable[[list[tuple[str, ...]]], list[str]]
) -> np.ndarray:
    """Translate the texts that are not blank.

    Args:
        texts: Sources.
        prefix: Text before every source.
        translate: Function from sources to translations.

    Returns:
        (n,) translations; empty strings for blank texts.
    """
    written = [row for row, text in enumerate(texts) if not is_blank(text[0])]
    translations = np.full(len(texts), "", object)
    if written:
        translations[written] = np.asarray(translate([(prefix + texts[row][0],) for row in written]), object)
    return translations


def count_tokens(tokenizer: AnyTokenizer, lines: list[str]) -> int:
    """Return the number of tokens of translations, without special tokens."""
    if isinstance(tokenizer, SavedTokenizer | MarianTokenizer):
        return tokenizer.count_tokens(lines)
    ids = tokenizer(text_target=lines, add_special_tokens=False)["input_ids"]
    return sum(map(len, ids))
