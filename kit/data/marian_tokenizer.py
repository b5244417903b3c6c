"""Tokenizers of Marian translators, read by SentencePiece alone, with the tokens that transformers gives.

Such a tokenizer has a SentencePiece model for each side and a vocabulary of its own. Special tokens are not split, and
neither is a language code such as `>>deu<<` at the start of a text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.runtime.json_files import read_object

_SETTINGS_FILE, _VOCABULARY_FILE = "tokenizer_config.json", "vocab.json"
_CODE = re.compile(r">>.*?<<", re.DOTALL)
_SPACE = "\N{LOWER ONE EIGHTH BLOCK}"  # SentencePiece's sign for a space


@dataclass(frozen=True)
class MarianTokenizer:
    """Tokenizer with the attributes of transformers' tokenizers that inference reads.

    Attributes:
        folder: Folder that it was read from.
        source, target: SentencePiece models of both sides.
        ids: Ids of the tokens in the vocabulary.
        special: Ids of special tokens.
        unknown: Id of tokens outside the vocabulary.
        end: Id of the token at the end of a text.
        model_max_length: Maximum number of tokens of a text.
        pad_token_id: Token id that fills short rows.
    """

    folder: Path
    source: Any
    target: Any
    ids: dict[str, int]
    special: dict[str, int]
    unknown: int
    end: int
    model_max_length: float
    pad_token_id: int
    padding_side = "right"

    def rows(self, texts: list[tuple[str, ...]], max_length: int) -> tuple[list[list[int]], None, list[bool]]:
        """Return the token ids of each text with an end token, no token types, and whether the text may be cut."""
        rows = [[*self._encode(text, self.source)[: max_length - 1], self.end] for text, *_ in texts]
        # As for other tokenizers without a Rust backend, a text of the full length counts as cut.
        return rows, None, [len(row) >= max_length for row in rows]

    def convert_ids_to_tokens(self, ids: Sequence[int]) -> list[str]:
        """Return tokens by their ids."""
        tokens = {number: token for token, number in [*self.ids.items(), *self.special.items()]}
        return [tokens[number] for number in ids]

    def convert_tokens_to_ids(self, tokens: Sequence[str]) -> list[int]:
        """Return ids by their tokens."""
        return [self._id(token) for token in tokens]

    def batch_decode(self, ids: Sequence[Sequence[int]], skip_special_tokens: bool = False) -> list[str]:
        """Return the text of each sequence of token ids; the source's model joins the pieces, as in transformers."""
        skipped = set(self.special.values()) if skip_special_tokens else set()
        return [self._joined(self.convert_ids_to_tokens([i for i in row if i not in skipped])) for row in ids]

    def count_tokens(self, lines: list[str]) -> int:
        """Return the number of tokens of translations, without special tokens and truncation."""
        return sum(len(self._encode(line, self.target)) for line in lines)

    def _encode(self, text: str, model: Any) -> list[int]:
        special = "|".join(re.escape(token) for token in sorted(self.special, key=len, reverse=True))
        tokens: list[str] = []
        for part in re.split(f"({special})", text):
            if part in self.special:
                tokens.append(part)
            elif part:
                code = _CODE.match(part)
                tokens += [code[0]] if code else []
                tokens += model.encode(part[code.end() :] if code else part, out_type=str)
        return self.convert_tokens_to_ids(tokens)

    def _id(self, token: str) -> int:
        return self.special.get(token, self.ids.get(token, self.unknown))

    def _joined(self, tokens: list[str]) -> str:
        text, pieces = "", list[str]()
        for token in tokens:
            if token in self.special:
                text += f"{self.source.decode_pieces(pieces)}{token} "
                pieces = []
            else:
                pieces.append(token)
        return f"{text}{self.source.decode_pieces(pieces)}".replace(_SPACE, " ").strip()


def read_marian_tokenizer(folder: Path) -> MarianTokenizer | None:
    """Read the tokenizer in a folder; None if it is of another kind, or has settings that transformers must read."""
    import sentencepiece

    settings = read_object(folder / _SETTINGS_FILE)
    added = settings.get("added_tokens_decoder") or {}
    names = [settings.get(name) for name in ("eos_token", "pad_token", "unk_token")]
    special = {token["content"]: int(number) for number, token in added.items()}
    plain = not any(token.get(key) for token in added.values() for key in ("lstrip", "rstrip", "single_word"))
    options = ("separate_vocabs", "sp_model_kwargs", "clean_up_tokenization_spaces", "split_special_tokens", "auto_map")
    if settings.get("tokenizer_class") != "MarianTokenizer" or any(settings.get(name) for name in options):
        return None
    if not plain or set(special) != set(names) or {"padding_side", "truncation_side"} & set(settings):
        return None
    ids = read_object(folder / _VOCABULARY_FILE)
    end, pad, unknown = (special[str(name)] for name in names)
    return MarianTokenizer(
        folder,
        sentencepiece.SentencePieceProcessor(model_file=str(folder / "source.spm")),
        sentencepiece.SentencePieceProcessor(model_file=str(folder / "target.spm")),
        ids=ids,
        special=special,
        unknown=unknown,
        end=end,
        model_max_length=settings.get("model_max_length", 512),
        pad_token_id=pad,
    )
