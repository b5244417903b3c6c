"""Fewer tokens: which of a tokenizer's stay, the tokenizer that has only those, and what is read differently then.

Knows tokenizers and tokenised texts. Knows nothing of models.
"""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
from transformers import PreTrainedTokenizerBase

from kit.data.encode import Encoded
from kit.errors import ModelError, VerificationError, first_line
from kit.models.checkpoints.loading import load_tokenizer, quiet
from kit.runtime.temporary import temporary_folder

# What marks a token as the continuation of a word, or its beginning, rather than as text.
_MARKS = ("##", "▁", "Ġ", "</w>")
_HELD_OUT = 10  # every tenth text says how often a new text is read differently


def kept_tokens(encoded: Encoded, tokenizer: PreTrainedTokenizerBase, max_size: int | None) -> set[int]:
    """Ids of the tokens that stay: special ones, single characters, and the most frequent of the texts'."""
    needed = basic_tokens(tokenizer)
    counts = Counter(
        dict(zip(*(part.tolist() for part in np.unique(encoded.input_ids, return_counts=True)), strict=True))
    )
    if max_size is not None and max_size < len(needed):
        raise ModelError(
            f"vocabulary: max_size {max_size} is below the {len(needed)} special tokens and single characters, without "
            "which some texts could not be read",
            f"set max_size to more than {len(needed)}",
        )
    room = None if max_size is None else max_size - len(needed)
    parents = _parents(tokenizer)
    kept = set(needed)
    for index, _ in counts.most_common():
        whole = _closed({index}, parents) - kept
        if room is None or len(kept) - len(needed) + len(whole) <= room:
            kept |= whole
    return kept


def _parents(tokenizer: PreTrainedTokenizerBase) -> dict[int, set[int]]:
    """Of byte-pair encoding, the tokens that each token is merged from: without them it would never come about."""
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    vocabulary = tokenizer.get_vocab()
    found: dict[int, set[int]] = {}
    for merge in model.get("merges") or []:
        left, right = merge.split(" ") if isinstance(merge, str) else merge
        merged = vocabulary.get(left + right)
        if merged is not None:
            found.setdefault(merged, set()).update({vocabulary[left], vocabulary[right]})
    return found


def _closed(tokens: set[int], parents: dict[int, set[int]]) -> set[int]:
    """These tokens, and all that they are merged from."""
    found, todo = set(tokens), list(tokens)
    while todo:
        for parent in parents.get(todo.pop(), set()) - found:
            found.add(parent)
            todo.append(parent)
    return found


def basic_tokens(tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Ids of special tokens and single characters."""
    characters = {index for token, index in tokenizer.get_vocab().items() if _is_basic(token)}
    return characters | set(tokenizer.all_special_ids) | set(tokenizer.added_tokens_decoder)


def _is_basic(token: str) -> bool:
    """Whether a token is a single character (or byte), from which any text can be put together."""
    for mark in _MARKS:
        token = token.removeprefix(mark).removesuffix(mark)
    return len(token) <= 1 or (token.startswith("<0x") and token.endswith(">"))


def without_others(tokenizer: PreTrainedTokenizerBase, kept: set[int]) -> PreTrainedTokenizerBase:
    """The tokenizer with the tokens of these ids alone, numbered anew. Raises ModelError if it cannot be edited."""
    from skeletoken import TokenizerModel

    gone = [token for token, index in tokenizer.get_vocab().items() if index not in kept]
    try:
        with quiet(), temporary_folder("tokenizer") as scratch:
            # The original's own files say all but the tokens: case, kinds of input, lengths.
            tokenizer.save_pretrained(scratch)
            edited = TokenizerModel.from_transformers_tokenizer(tokenizer)  # type: ignore[arg-type]
            smaller = edited.remove_tokens_from_vocabulary(gone).to_tokenizer()
            smaller.save(str(scratch / "tokenizer.json"))
            return load_tokenizer(scratch)
    except Exception as error:
        raise ModelError(
            f"vocabulary: this tokenizer cannot be trimmed: {first_line(error)}", "take this step out of compress.steps"
        ) from error


def origins(before: PreTrainedTokenizerBase, after: PreTrainedTokenizerBase) -> np.ndarray:
    """(tokens,) the id before of each token after."""
    old, new = before.get_vocab(), after.get_vocab()
    origins = np.zeros(max(new.values()) + 1, np.int64)
    for token, index in new.items():
        origins[index] = old[token]
    return origins


def changed_texts(before: Encoded, after: Encoded, origin: np.ndarray) -> np.ndarray:
    """(n,) bool: whether a text is now cut into other tokens."""
    found = np.ones(len(before), bool)
    for index in np.flatnonzero(before.lengths == after.lengths):
        one = before.input_ids[before.offsets[index] : before.offsets[index + 1]]
        other = after.input_ids[after.offsets[index] : after.offsets[index + 1]]
        found[index] = bool((one != origin[other]).any())
    return found


def require_same_reading(encoded: Encoded, changed: np.ndarray, kept: set[int]) -> None:
    """Raise VerificationError if a text is read differently although all its tokens stay."""
    stays = np.isin(encoded.input_ids, sorted(kept))
    whole = np.logical_and.reduceat(stays, encoded.offsets[:-1]) if len(encoded) else np.zeros(0, bool)
    wrong = np.flatnonzero(whole & changed)
    if len(wrong):
        raise VerificationError(
            f"vocabulary: {len(wrong)} texts whose tokens are all kept would be read differently by the trimmed "
            "tokenizer: take this step out of compress.steps"
        )


def expected_change(
    encoded: Encoded, tokenizer: PreTrainedTokenizerBase, max_size: int | None, references: Encoded | None = None
) -> float:
    """Share of new texts with a token that goes: of every tenth text, against the tokens of the others.

    references: what the first of the texts are translated to, where their tokens stay too.
    """
    every = np.arange(len(encoded))
    held = every % _HELD_OUT == 0
    if not held.any() or held.all():
        return 0.0
    seen = encoded.take(every[~held])
    if references is not None:
        rows = np.arange(len(references))
        seen = seen.joined(references.take(rows[rows % _HELD_OUT != 0]))
    kept = sorted(kept_tokens(seen, tokenizer, max_size))
    new = encoded.take(every[held])
    lost = ~np.isin(new.input_ids, kept)
    return float(np.logical_or.reduceat(lost, new.offsets[:-1]).mean())
