"""Tokenizers of checkpoints and saved models: loading and saving."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from kit.data.marian_tokenizer import MarianTokenizer
from kit.data.saved_tokenizer import SavedTokenizer, read_saved_tokenizer
from kit.errors import ModelError, damage_words
from kit.models.damage import remedy

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from kit.data.encode import AnyTokenizer

TARGET = "target"  # subfolder of a translator with the tokenizer of the target, if it differs from the source's
_LONGEST = 8_192  # tokens of a text if the tokenizer sets no maximum; recipes do not allow more


def load_tokenizer(folder: Path, trusted: bool = False) -> PreTrainedTokenizerBase:
    """Load the tokenizer saved in a folder.

    Raises:
        ModelError: If it cannot be read, or needs its own code and is not trusted.
    """
    from transformers import AutoTokenizer

    try:
        with quiet():
            tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder, trust_remote_code=trusted)
    except Exception as error:
        if not trusted and "trust_remote_code" in str(error):
            raise ModelError(
                f"the tokenizer in {folder} needs to run its own code",
                "read that code; if you trust it, `kit predict` and `kit evaluate` run it with --trust-remote-code, "
                "training with `model.trust_remote_code: true`",
            ) from error
        raise ModelError(f"the tokenizer in {folder} cannot be read: {damage_words(error)}", remedy(folder)) from error
    return tokenizer


def load_for_inference(folder: Path, decodes: bool = False) -> AnyTokenizer:
    """Load the tokenizer saved in a folder, without transformers if possible: importing it takes seconds.

    Args:
        folder: Folder of the tokenizer's files.
        decodes: True if token ids are to be turned into text.

    Raises:
        ModelError: If it cannot be read, or needs its own code.
    """
    return read_saved_tokenizer(folder, decodes) or load_tokenizer(folder)


def longest_text(tokenizer: AnyTokenizer) -> int:
    """Return the maximum number of tokens of a text: that of a tokenizer, or of recipes if it is smaller.

    Raises:
        ValueError: If the tokenizer's maximum is not a positive number.
    """
    length = tokenizer.model_max_length
    if not isinstance(length, int | float) or length < 1:
        raise ValueError("model_max_length in tokenizer_config.json is not a positive number")
    return int(min(length, _LONGEST))


def save_tokenizer(tokenizer: AnyTokenizer, folder: Path, max_length: int) -> None:
    """Save a tokenizer with its maximum length, without its last settings of truncation and padding.

    The Rust part of a tokenizer remembers these settings, and the saved file would depend on them.
    """
    if isinstance(tokenizer, SavedTokenizer | MarianTokenizer):
        tokenizer = load_tokenizer(tokenizer.folder)
    tokenizer.model_max_length = max_length
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        backend.no_truncation()
        backend.no_padding()
    with quiet():
        tokenizer.save_pretrained(folder)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence transformers' progress bars and load reports; kit raises its own errors."""
    from transformers.utils import logging as transformers_logging

    level = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
