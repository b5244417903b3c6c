"""Tokenizers of saved models, read by the `tokenizers` library alone: transformers takes seconds to import."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.data.marian_tokenizer import MarianTokenizer, read_marian_tokenizer
from kit.runtime.json_files import read_object

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# Classes of transformers that encode exactly as their `tokenizer.json`, and whether their models read token types.
CLASSES = {
    "TokenizersBackend": False, "PreTrainedTokenizerFast": False, "BertTokenizer": True, "BertTokenizerFast": True,
    "ElectraTokenizer": True, "DistilBertTokenizer": False, "MPNetTokenizer": False, "RobertaTokenizer": False,
    "XLMRobertaTokenizer": False, "DebertaTokenizer": True, "DebertaV2Tokenizer": True, "AlbertTokenizer": False,
    "CamembertTokenizer": False, "BartTokenizer": False, "T5Tokenizer": False, "NllbTokenizer": False,
    "MBartTokenizer": False, "MBart50Tokenizer": False,
}  # fmt: skip
# Settings that name the tokens which these classes add to a source text, in order.
LANGUAGES = {
    "NllbTokenizer": ("src_lang", "eos_token"),
    "MBart50Tokenizer": ("src_lang", "eos_token"),
    "MBartTokenizer": ("eos_token", "src_lang"),
}
_FILE, _SETTINGS_FILE = "tokenizer.json", "tokenizer_config.json"
_UNLIMITED = 10**30  # as in transformers
_NAMES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
# Settings that change what transformers reads from `tokenizer.json`.
_CHANGES = ("auto_map", "add_bos_token", "add_eos_token", "added_tokens_decoder", "model_input_names")


@dataclass(frozen=True)
class SavedTokenizer:
    """Tokenizer of a saved model, with the attributes of transformers' tokenizers that inference reads.

    Attributes:
        folder: Folder that it was read from.
        backend_tokenizer: The tokenizer.
        model_input_names: Names of the arrays that its models read.
        model_max_length: Maximum number of tokens of a text.
        pad_token_id: Token id that fills short rows; None without one.
        padding_side, truncation_side: `left` or `right`.
        split_special_tokens: True if special tokens in a text are tokenized like other words.
    """

    folder: Path
    backend_tokenizer: Tokenizer
    model_input_names: tuple[str, ...]
    model_max_length: float
    pad_token_id: int | None
    padding_side: str
    truncation_side: str
    split_special_tokens: bool

    def convert_ids_to_tokens(self, ids: Sequence[int]) -> list[str | None]:
        """Return tokens by their ids; None for an id outside the vocabulary."""
        return [self.backend_tokenizer.id_to_token(number) for number in ids]

    def convert_tokens_to_ids(self, tokens: Sequence[str]) -> list[int | None]:
        """Return ids by their tokens."""
        return [self.backend_tokenizer.token_to_id(token) for token in tokens]

    def batch_decode(self, ids: Sequence[Sequence[int]], skip_special_tokens: bool = False) -> list[str]:
        """Return the text of each sequence of token ids."""
        return [self.backend_tokenizer.decode(row, skip_special_tokens=skip_special_tokens) for row in ids]

    def count_tokens(self, lines: list[str]) -> int:
        """Return the number of tokens of texts, without special tokens and truncation."""
        self.backend_tokenizer.no_truncation()
        return sum(len(row) for row in self.backend_tokenizer.encode_batch_fast(lines, add_special_tokens=False))


def read_saved_tokenizer(folder: Path, decodes: bool = False) -> SavedTokenizer | MarianTokenizer | None:
    """Read the tokenizer in a folder without transformers.

    Args:
        folder: Folder of the tokenizer's files.
        decodes: True if token ids are to be turned into text.

    Returns:
        None if transformers is needed: for classes that do not encode as their `tokenizer.json`, for settings that
        change it, and for files that cannot be read.
    """
    from tokenizers import Tokenizer

    try:
        settings = read_object(folder / _SETTINGS_FILE)
        if settings.get("tokenizer_class") == "MarianTokenizer":
            return read_marian_tokenizer(folder)
        if not _is_plain(settings) or (decodes and settings.get("clean_up_tokenization_spaces")):
            return None
        special = {name: _content(settings[name]) for name in _NAMES if settings.get(name) is not None}
        extra = [_content(token) for token in settings.get("extra_special_tokens", [])]
        backend = Tokenizer.from_file(str(folder / _FILE))
    except Exception:  # the tokenizers library raises only the base class; transformers reports the damage
        return None
    unknown = any(backend.token_to_id(token) is None for token in [*special.values(), *extra])
    if unknown or backend.truncation or backend.padding:
        return None
    languages = LANGUAGES.get(settings["tokenizer_class"])
    if languages and backend.encode("").tokens != [_content(settings.get(name, "")) for name in languages]:
        return None
    types = ("token_type_ids",) * CLASSES[settings["tokenizer_class"]]
    return SavedTokenizer(
        folder,
        backend,
        model_input_names=("input_ids", *types, "attention_mask"),
        model_max_length=settings.get("model_max_length", _UNLIMITED),
        pad_token_id=backend.token_to_id(special["pad_token"]) if "pad_token" in special else None,
        padding_side=settings.get("padding_side", "right"),
        truncation_side=settings.get("truncation_side", "right"),
        split_special_tokens=bool(settings.get("split_special_tokens")),
    )


def _is_plain(settings: dict[str, Any]) -> bool:
    """Return True if these settings leave the tokens as `tokenizer.json` has them."""
    return (
        settings.get("backend") == "tokenizers"  # written by transformers 5, which saves the tokenizer that it uses
        and settings.get("tokenizer_class") in CLASSES
        and not any(settings.get(name) for name in _CHANGES)
        and isinstance(settings.get("extra_special_tokens", []), list)
    )


def _content(token: str | dict[str, Any]) -> str:
    """Return the text of a special token, which is an object if it has settings of its own."""
    return token if isinstance(token, str) else str(token["content"])
