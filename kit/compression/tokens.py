"""Trimming of tokenizers: choose the tokens to keep, remove the others, and compare the tokens of texts."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
from transformers import PreTrainedTokenizerBase

from kit.data.encode import Encoded
from kit.errors import ModelError, VerificationError, first_line
from kit.models.checkpoints.tokenizers import load_tokenizer, quiet
from kit.runtime.temporary import temporary_folder

# Marks of the beginning or the continuation of a word, which are not part of the text.
_MARKS = ("##", "▁", "Ġ", "</w>")
_HELD_OUT = 10  # every tenth text is held out to estimate the share of new texts with removed tokens


def kept_tokens(encoded: Encoded, tokenizer: PreTrainedTokenizerBase, max_size: int | None) -> set[int]:
    """Return the ids of the tokens to keep: special tokens, single characters, and the tokens of the texts.

    Args:
        encoded: Tokenized texts.
        tokenizer: Tokenizer of the texts.
        max_size: Maximum number of tokens, the most frequent first; None keeps all tokens of the texts.

    Raises:
        ModelError: `max_size` is too small for special tokens and single characters.
    """
    basic = basic_tokens(tokenizer)
    counts = Counter(
        dict(zip(*(part.tolist() for part in np.unique(encoded.input_ids, return_counts=True)), strict=True))
    )
    if max_size is not None and max_size < len(basic):
        raise ModelError(
            f"vocabulary: max_size {max_size} is below the {len(basic)} special tokens and single characters, without "
            "which some texts could not be tokenized",
            f"set max_size to more than {len(basic)}",
        )
    room = None if max_size is None else max_size - len(basic)
    parents = _parents(tokenizer)
    kept = set(basic)
    for index, _ in counts.most_common():
        added = _with_ancestors({index}, parents) - kept
        if room is None or len(kept) - len(basic) + len(added) <= room:
            kept |= added
    return kept


def _parents(tokenizer: PreTrainedTokenizerBase) -> dict[int, set[int]]:
    """Map each token of a byte-pair encoding to the tokens it is merged from, which have to be kept with it."""
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    vocabulary = tokenizer.get_vocab()
    parents: dict[int, set[int]] = {}
    for merge in model.get("merges") or []:
        left, right = merge.split(" ") if isinstance(merge, str) else merge
        merged = vocabulary.get(left + right)
        if merged is not None:
            parents.setdefault(merged, set()).update({vocabulary[left], vocabulary[right]})
    return parents


def _with_ancestors(tokens: set[int], parents: dict[int, set[int]]) -> set[int]:
    """Return tokens together with all tokens that they are merged from, directly or not."""
    closure, todo = set(tokens), list(tokens)
    while todo:
        for parent in parents.get(todo.pop(), set()) - closure:
            closure.add(parent)
            todo.append(parent)
    return closure


def basic_tokens(tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Return the ids of special tokens and single characters."""
    characters = {index for token, index in tokenizer.get_vocab().items() if _is_basic(token)}
    return characters | set(tokenizer.all_special_ids) | set(tokenizer.added_tokens_decoder)


def _is_basic(token: str) -> bool:
    """Return True if a token is a single character or byte: with all of these, any text can be tokenized."""
    for mark in _MARKS:
        token = token.removeprefix(mark).removesuffix(mark)
    return len(token) <= 1 or (token.startswith("<0x") and token.endswith(">"))


def trimmed_tokenizer(tokenizer: PreTrainedTokenizerBase, kept: set[int]) -> PreTrainedTokenizerBase:
    """Return a tokenizer with only the tokens of these ids, renumbered.

    Raises ModelError if it cannot be edited.
    """
    from skeletoken import TokenizerModel

    removed = [token for token, index in tokenizer.get_vocab().items() if index not in kept]
    try:
        with quiet(), temporary_folder("tokenizer") as scratch:
            # The original's own files hold everything except the tokens: case, model inputs, maximum length.
            tokenizer.save_pretrained(scratch)
            edited = TokenizerModel.from_transformers_tokenizer(tokenizer)  # type: ignore[arg-type]
            smaller = edited.remove_tokens_from_vocabulary(removed).to_tokenizer()
            smaller.save(str(scratch / "tokenizer.json"))
            return load_tokenizer(scratch)
    except Exception as error:
        raise ModelError(
            f"vocabulary: this tokenizer cannot be trimmed: {first_line(error)}",
            "remove this step from compress.steps",
        ) from error


def origins(before: PreTrainedTokenizerBase, after: PreTrainedTokenizerBase) -> np.ndarray:
    """Return an array (tokens,) with the old id of each new token id."""
    old_ids, new_ids = before.get_vocab(), after.get_vocab()
    origin = np.zeros(max(new_ids.values()) + 1, np.int64)
    for token, index in new_ids.items():
        origin[index] = old_ids[token]
    return origin


def changed_texts(before: Encoded, after: Encoded, origin: np.ndarray) -> np.ndarray:
    """Return an array (n,) that is True for texts that are tokenized differently.

    Args:
        before: Texts by the original tokenizer.
        after: The same texts by the trimmed tokenizer.
        origin: (tokens,) old id of each new token id.
    """
    changed = np.ones(len(before), bool)
    for index in np.flatnonzero(before.lengths == after.lengths):
        old_ids = before.input_ids[before.offsets[index] : before.offsets[index + 1]]
        new_ids = after.input_ids[after.offsets[index] : after.offsets[index + 1]]
        changed[index] = bool((old_ids != origin[new_ids]).any())
    return changed


def require_same_reading(encoded: Encoded, changed: np.ndarray, kept: set[int]) -> None:
    """Raise VerificationError if a text is tokenized differently although all its tokens are kept."""
    is_kept = np.isin(encoded.input_ids, sorted(kept))
    all_kept = np.logical_and.reduceat(is_kept, encoded.offsets[:-1]) if len(encoded) else np.zeros(0, bool)
    wrong = np.flatnonzero(all_kept & changed)
    if len(wrong):
        raise VerificationError(
            f"vocabulary: the trimmed tokenizer changes the tokens of {len(wrong)} texts whose tokens are all kept: "
            "remove this step from compress.steps"
        )


def expected_change(
    encoded: Encoded, tokenizer: PreTrainedTokenizerBase, max_size: int | None, references: Encoded | None = None
) -> float:
    """Estimate the share of new texts that contain a removed token, on every tenth text with the tokens of the others.

    Args:
        encoded: Tokenized texts.
        tokenizer: Tokenizer of the texts.
        max_size: Maximum number of tokens; None keeps all tokens of the texts.
        references: Translations of the first of the texts, if their tokens are kept too; otherwise None.
    """
    rows = np.arange(len(encoded))
    held_out = rows % _HELD_OUT == 0
    if not held_out.any() or held_out.all():
        return 0.0
    counted = encoded.take(rows[~held_out])
    if references is not None:
        pairs = np.arange(len(references))
        counted = counted.joined(references.take(pairs[pairs % _HELD_OUT != 0]))
    kept = sorted(kept_tokens(counted, tokenizer, max_size))
    new = encoded.take(rows[held_out])
    lost = ~np.isin(new.input_ids, kept)
    return float(np.logical_or.reduceat(lost, new.offsets[:-1]).mean())
