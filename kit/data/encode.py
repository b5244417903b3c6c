"""Tokenized texts as flat arrays, cached on disk by their content.

A million short texts are three flat arrays instead of a million Python lists. Another run, or another cell of a study,
on the same texts reads them from the cache.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile

import numpy as np

from kit.data.marian_tokenizer import MarianTokenizer
from kit.data.saved_tokenizer import SavedTokenizer
from kit.errors import ModelError, OutputError, first_line
from kit.runtime.cache_folders import cache_root
from kit.runtime.files import write_atomically

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

    AnyTokenizer = PreTrainedTokenizerBase | SavedTokenizer | MarianTokenizer
    # Per text: token ids, token types (None without types), and whether the text was cut.
    _Rows = tuple[list[list[int]], list[list[int]] | None, list[bool]]

IGNORED = -100  # a target that losses leave out: the filling of short rows, and examples without a label
_FORMAT = b"1"  # part of every cache key; increase it when the layout changes
_CHUNK_TEXTS = 20_000  # tokenized per call, to bound memory


@dataclass(frozen=True)
class Encoded:
    """Token ids of n texts in a flat array: text i is `input_ids[offsets[i]:offsets[i + 1]]`.

    Attributes:
        input_ids: (total,) int32.
        token_types: (total,) int8; None if the tokenizer has no token types.
        offsets: (n + 1,) int64.
        truncated: (n,) bool, whether the text was cut at the maximum length.
    """

    input_ids: np.ndarray
    token_types: np.ndarray | None
    offsets: np.ndarray
    truncated: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """(n,) tokens per text."""
        return np.diff(self.offsets)

    def take(self, indices: np.ndarray) -> Encoded:
        """Return the texts at these positions, in this order."""
        pieces = [np.arange(self.offsets[i], self.offsets[i + 1]) for i in indices]
        flat = np.concatenate(pieces) if pieces else np.zeros(0, np.int64)
        types = None if self.token_types is None else self.token_types[flat]
        offsets = np.concatenate([[0], np.cumsum(self.lengths[indices])]).astype(np.int64)
        return Encoded(self.input_ids[flat], types, offsets, truncated=self.truncated[indices])

    def joined(self, other: Encoded) -> Encoded:
        """Append the texts of `other`, which must be encoded by the same tokenizer."""
        types = None
        if self.token_types is not None and other.token_types is not None:
            types = np.concatenate([self.token_types, other.token_types])
        return Encoded(
            np.concatenate([self.input_ids, other.input_ids]),
            types,
            np.concatenate([self.offsets, self.offsets[-1] + other.offsets[1:]]),
            truncated=np.concatenate([self.truncated, other.truncated]),
        )


def encode(
    texts: list[tuple[str, ...]],
    tokenizer: AnyTokenizer,
    max_length: int,
    cache_key: str | None = None,
    as_target: bool = False,
) -> Encoded:
    """Tokenize texts or text pairs, cut at `max_length` tokens.

    Args:
        texts: Tuples of one text, or of two texts.
        tokenizer: Tokenizer of the model.
        max_length: Maximum number of tokens per text or pair, special tokens included.
        cache_key: Identifier of the tokenizer (sha256 of its files), under which the result is cached on disk. None:
            do not use the cache.
        as_target: Whether the texts are translations, which some tokenizers encode with another language code.

    Raises:
        ModelError: The tokenizer is damaged.
    """
    path = None if cache_key is None else _cache_path(texts, cache_key, max_length)
    if path is not None and path.is_file():
        cached = _read(path)
        if cached is not None:
            return cached
    encoded = _tokenize(texts, tokenizer, max_length, as_target=as_target)
    if path is not None:
        _write(path, encoded)
    return encoded


def cache_folder() -> Path:
    """Return the folder for tokenized texts."""
    return cache_root() / "tokens"


def _tokenize(texts: list[tuple[str, ...]], tokenizer: AnyTokenizer, max_length: int, as_target: bool) -> Encoded:
    ids: list[np.ndarray] = []
    types: list[np.ndarray] = []
    lengths: list[int] = []
    truncated: list[bool] = []
    for start in range(0, len(texts), _CHUNK_TEXTS):
        chunk = texts[start : start + _CHUNK_TEXTS]
        try:
            rows, kinds, cut = _rows(chunk, tokenizer, max_length, as_target=as_target)
        except Exception as error:
            if type(error) is not Exception:  # Rust tokenizers raise only the base class
                raise
            raise ModelError(f"the tokenizer is damaged: {first_line(error)}", "download or copy it again") from error
        lengths += [len(row) for row in rows]
        ids.append(np.concatenate([np.asarray(row, np.int32) for row in rows]))
        if kinds is not None:
            types.append(np.concatenate([np.asarray(row, np.int8) for row in kinds]))
        truncated += cut
    return Encoded(
        np.concatenate(ids) if ids else np.zeros(0, np.int32),
        np.concatenate(types) if types else None,
        np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64),
        truncated=np.asarray(truncated, bool),
    )


def _rows(texts: list[tuple[str, ...]], tokenizer: AnyTokenizer, max_length: int, as_target: bool) -> _Rows:
    if isinstance(tokenizer, MarianTokenizer):
        return tokenizer.rows(texts, max_length)
    if isinstance(tokenizer, SavedTokenizer):
        return _by_backend(texts, tokenizer, tokenizer.backend_tokenizer, max_length=max_length)
    if as_target or _is_customized(tokenizer):
        return _by_transformers(texts, tokenizer, max_length, as_target=as_target)
    return _by_backend(texts, tokenizer, tokenizer.backend_tokenizer, max_length=max_length)


def _by_transformers(
    texts: list[tuple[str, ...]], tokenizer: PreTrainedTokenizerBase, max_length: int, as_target: bool
) -> _Rows:
    columns = [list(column) for column in zip(*texts, strict=True)]
    inputs = {"text_target": columns[0]} if as_target else dict(zip(("text", "text_pair"), columns, strict=False))
    batch = tokenizer(**inputs, truncation=True, max_length=max_length)
    if batch.encodings:
        cut = [bool(encoding.overflowing) for encoding in batch.encodings]
    else:  # a tokenizer without a Rust backend does not report cuts; a full-length text was almost certainly cut
        cut = [len(row) >= max_length for row in batch["input_ids"]]
    return batch["input_ids"], batch.get("token_type_ids"), cut


def _by_backend(
    texts: list[tuple[str, ...]],
    tokenizer: PreTrainedTokenizerBase | SavedTokenizer,
    backend: Tokenizer,
    max_length: int,
) -> _Rows:
    """Tokenize like `_by_transformers`, in half the time for a single text."""
    backend.no_padding()
    backend.enable_truncation(max_length, direction=tokenizer.truncation_side)
    backend.encode_special_tokens = tokenizer.split_special_tokens
    if len(texts) == 1:
        first, *rest = texts[0]
        rows = [backend.encode(first, rest[0] if rest else None)]
    else:
        rows = backend.encode_batch_fast([row[0] if len(row) == 1 else row for row in texts])
    kinds = [row.type_ids for row in rows] if "token_type_ids" in tokenizer.model_input_names else None
    return [row.ids for row in rows], kinds, [bool(row.overflowing) for row in rows]


def _is_customized(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Return False if calling the Rust tokenizer directly gives the same result as transformers."""
    from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

    kind = type(tokenizer)
    return (
        not issubclass(kind, PreTrainedTokenizerFast)
        or kind.__call__ is not PreTrainedTokenizerBase.__call__
        or kind._encode_plus is not PreTrainedTokenizerFast._encode_plus
        or hasattr(kind, "_switch_to_input_mode")
    )


def _cache_path(texts: list[tuple[str, ...]], cache_key: str, max_length: int) -> Path:
    digest = hashlib.sha256(_FORMAT + f"{cache_key} {max_length} {len(texts)}".encode())
    for row in texts:
        digest.update(repr(row).encode())
    return cache_folder() / f"{digest.hexdigest()}.npz"


def _read(path: Path) -> Encoded | None:
    """Return the cached arrays; None for a damaged file."""
    try:
        with np.load(path) as arrays:
            return Encoded(
                arrays["input_ids"], arrays.get("token_types"), arrays["offsets"], truncated=arrays["truncated"]
            )
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None


def _write(path: Path, encoded: Encoded) -> None:
    arrays = {"input_ids": encoded.input_ids, "offsets": encoded.offsets, "truncated": encoded.truncated}
    if encoded.token_types is not None:
        arrays["token_types"] = encoded.token_types
    buffer = BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    try:
        write_atomically(path, buffer.getvalue())
    except OutputError:
        return  # the cache only saves time: if it cannot be written, the next run tokenizes again
