"""Vocabulary trimming: a table of embeddings with only the rows that the task's texts use, and a tokenizer to match.

Half of a small encoder is rows that a task never looks at (Abdaoui et al. 2020, arXiv:2010.05609). Single characters
and special tokens stay, so that any text can still be read; a text whose tokens all stay gets the very same answer.

Knows tokenizers and tables of embeddings. Knows nothing of other techniques.
"""

from __future__ import annotations

import copy
import json
import tempfile
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kit.data.encode import Encoded, encode
from kit.errors import ModelError, VerificationError, first_line
from kit.methods import Fitted, Job
from kit.models.kind import Kind
from kit.models.layers import encoder_of
from kit.models.load import load_classifier, load_tokenizer, quiet
from kit.models.pooled import PooledConfig
from kit.models.predictor import TransformerPredictor
from kit.recipe.compressing import VocabularyStep
from kit.record import Record

# Ids of special tokens as configurations call them.
_IDS = ("pad_token_id", "bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id", "mask_token_id", "unk_token_id")
# What marks a token as the continuation of a word, or its beginning, rather than as text.
_MARKS = ("##", "▁", "Ġ", "</w>")
_PROOF_TEXTS = 64  # that must get the very same logits from the trimmed model
_HELD_OUT = 10  # every tenth text says how often a new text is read differently


class Vocabulary:
    """Keep the tokens that the texts of budget and pool use; not those of validation, which judge the step."""

    takes = (Kind.TORCH,)
    gives = Kind.TORCH

    def require(self, step: VocabularyStep, source: Record | None) -> None:
        """skeletoken, and a tokenizer that can be edited."""
        if find_spec("skeletoken") is None:
            raise ModelError("skeletoken is not installed", "pip install 'kit[compress]'")
        if source is None:
            return
        tokenizer = load_tokenizer(source.model_folder)
        if not tokenizer.is_fast:
            raise ModelError(
                f"vocabulary: {type(tokenizer).__name__} has no tokenizer.json, so it cannot be edited",
                "take this step out of compress.steps",
            )

    def variants(self, step: VocabularyStep) -> list[VocabularyStep]:
        """Without a largest size, if it has one."""
        return [] if step.max_size is None else [step.model_copy(update={"max_size": None})]

    def compress(self, step: VocabularyStep, source: Record, job: Job) -> Fitted:
        """Trim tokenizer and model, and prove that texts whose tokens stay are read as before."""
        model, tokenizer = load_classifier(source.model_folder), load_tokenizer(source.model_folder)
        longest = job.recipe.data.max_length
        texts = job.data.train.texts + job.data.pool.texts
        encoded = encode(texts, tokenizer, longest)
        kept = _kept(encoded, tokenizer, step.max_size)
        smaller = _without_others(tokenizer, kept)
        origin = _origins(tokenizer, smaller)
        again = encode(texts, smaller, longest)
        changed = _changed(encoded, again, origin)
        _require_same_reading(encoded, changed, kept)
        alike = [text for text, other in zip(texts, changed, strict=True) if not other][:_PROOF_TEXTS]
        expected = TransformerPredictor(model, tokenizer, longest).outputs(alike)
        _trim(model, smaller, origin)
        if not np.array_equal(TransformerPredictor(model, smaller, longest).outputs(alike), expected):
            raise ModelError(
                f"vocabulary: a {encoder_of(model).config.model_type} model answers differently with a smaller table",
                "take this step out of compress.steps",
            )
        model.to(PartialState().device)
        settings: dict[str, Any] = {
            "device": job.hardware.device,
            "tokens": len(origin),
            "tokens_before": len(tokenizer),
            "texts": len(texts),
            "texts_read_differently": float(changed.mean()) if len(texts) else 0.0,
            "new_texts_read_differently": _expected_change(encoded, tokenizer, step.max_size),
        }
        return Fitted(TransformerPredictor(model, smaller, longest), settings=settings)


def _kept(encoded: Encoded, tokenizer: PreTrainedTokenizerBase, max_size: int | None) -> set[int]:
    """Ids of the tokens that stay: special ones, single characters, and the most frequent of the texts'."""
    needed = _basic(tokenizer)
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


def _basic(tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Ids of special tokens and single characters."""
    characters = {index for token, index in tokenizer.get_vocab().items() if _is_basic(token)}
    return characters | set(tokenizer.all_special_ids) | set(tokenizer.added_tokens_decoder)


def _is_basic(token: str) -> bool:
    """Whether a token is a single character (or byte), from which any text can be put together."""
    for mark in _MARKS:
        token = token.removeprefix(mark).removesuffix(mark)
    return len(token) <= 1 or (token.startswith("<0x") and token.endswith(">"))


def _without_others(tokenizer: PreTrainedTokenizerBase, kept: set[int]) -> PreTrainedTokenizerBase:
    """The tokenizer with the tokens of these ids alone, numbered anew. Raises ModelError if it cannot be edited."""
    from skeletoken import TokenizerModel

    gone = [token for token, index in tokenizer.get_vocab().items() if index not in kept]
    try:
        with quiet(), tempfile.TemporaryDirectory(prefix="kit-tokenizer-") as scratch:
            # The original's own files say all but the tokens: case, kinds of input, lengths.
            tokenizer.save_pretrained(scratch)
            edited = TokenizerModel.from_transformers_tokenizer(tokenizer)  # type: ignore[arg-type]
            smaller = edited.remove_tokens_from_vocabulary(gone).to_tokenizer()
            smaller.save(str(Path(scratch) / "tokenizer.json"))
            return load_tokenizer(Path(scratch))
    except Exception as error:
        raise ModelError(
            f"vocabulary: this tokenizer cannot be trimmed: {first_line(error)}", "take this step out of compress.steps"
        ) from error


def _origins(before: PreTrainedTokenizerBase, after: PreTrainedTokenizerBase) -> np.ndarray:
    """(tokens,) the id before of each token after."""
    old, new = before.get_vocab(), after.get_vocab()
    origins = np.zeros(max(new.values()) + 1, np.int64)
    for token, index in new.items():
        origins[index] = old[token]
    return origins


def _changed(before: Encoded, after: Encoded, origin: np.ndarray) -> np.ndarray:
    """(n,) bool: whether a text is now cut into other tokens."""
    found = np.ones(len(before), bool)
    for index in np.flatnonzero(before.lengths == after.lengths):
        one = before.input_ids[before.offsets[index] : before.offsets[index + 1]]
        other = after.input_ids[after.offsets[index] : after.offsets[index + 1]]
        found[index] = bool((one != origin[other]).any())
    return found


def _require_same_reading(encoded: Encoded, changed: np.ndarray, kept: set[int]) -> None:
    """Raise VerificationError if a text is read differently although all its tokens stay."""
    stays = np.isin(encoded.input_ids, sorted(kept))
    whole = np.logical_and.reduceat(stays, encoded.offsets[:-1]) if len(encoded) else np.zeros(0, bool)
    wrong = np.flatnonzero(whole & changed)
    if len(wrong):
        raise VerificationError(
            f"vocabulary: {len(wrong)} texts whose tokens are all kept would be read differently by the trimmed "
            "tokenizer: take this step out of compress.steps"
        )


def _expected_change(encoded: Encoded, tokenizer: PreTrainedTokenizerBase, max_size: int | None) -> float:
    """Share of new texts with a token that goes: of every tenth text, against the tokens of the others."""
    every = np.arange(len(encoded))
    held = every % _HELD_OUT == 0
    if not held.any() or held.all():
        return 0.0
    kept = sorted(_kept(encoded.take(every[~held]), tokenizer, max_size))
    new = encoded.take(every[held])
    lost = ~np.isin(new.input_ids, kept)
    return float(np.logical_or.reduceat(lost, new.offsets[:-1]).mean())


def _trim(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, origin: np.ndarray) -> None:
    """Keep the rows of the table of embeddings that belong to the tokenizer's tokens, in its order."""
    table = model.get_input_embeddings()
    assert isinstance(table, nn.Embedding)
    number = {int(old): new for new, old in enumerate(origin)}
    padding = None if table.padding_idx is None else number.get(table.padding_idx)
    smaller = copy.deepcopy(table)  # architectures have their own kinds of table, with settings
    smaller.weight = nn.Parameter(table.weight.detach()[torch.from_numpy(origin)].clone(), False)
    smaller.num_embeddings, smaller.padding_idx = len(origin), padding
    for module in model.modules():
        for name, child in module.named_children():
            if child is table:
                setattr(module, name, smaller)
    encoder = encoder_of(model)
    for config in {id(each): each for each in (model.config, encoder.config)}.values():
        if hasattr(config, "vocab_size"):
            config.vocab_size = len(origin)
        for key in _IDS:
            old = getattr(config, key, None)
            if isinstance(old, int):
                setattr(config, key, number.get(old, tokenizer.pad_token_id))
    if isinstance(model.config, PooledConfig):
        model.config.encoder = encoder.config.to_dict()
    model.eval()  # type: ignore[no-untyped-call]
