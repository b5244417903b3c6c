"""Languages: what a multilingual tokenizer calls them, and how it is told which two it works between.

Knows tokenizers of transformers. Knows nothing of recipes beyond names of languages.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase

from kit.data.language_codes import NAMES, THREE, primary
from kit.errors import RecipeError

_CODE = re.compile(r"[a-z]{2,3}_[A-Z][A-Za-z]{1,3}")  # en_XX, eng_Latn
_SHOWN = 6


@dataclass(frozen=True)
class Route:
    """How a checkpoint is told what to do. codes: of source and target, for its tokenizer. prefix: of every source."""

    codes: tuple[str, str] | None
    prefix: str


def find_route(
    tokenizer: PreTrainedTokenizerBase,
    model_type: str,
    languages: tuple[str, str],
    codes: list[str] | None,
    prefix: str | None,
) -> Route:
    """The route between two languages.

    codes, prefix: what the recipe says; None for what the tokenizer and the kind of model suggest. Raises RecipeError,
    with the nearest codes, for a language that the tokenizer does not know, and for codes where it has none.
    """
    known = known_codes(tokenizer)
    targets = [token for token in getattr(tokenizer, "supported_language_codes", []) if token.startswith(">>")]
    if targets:  # Marian between many languages: the source says which one is wanted
        said = next((token for token in targets if (prefix or "").startswith(token)), "")
        if said and not codes:
            return Route(None, prefix or "")
        wanted = codes[1] if codes else languages[1]
        token = _choose(wanted, [each.strip("><") for each in targets], "translation.codes" if codes else None)
        return Route(None, f">>{token}<< " + (prefix or "").removeprefix(said).lstrip())
    if not known:
        if codes:
            raise RecipeError("this checkpoint's tokenizer has no languages", "leave it out", key="translation.codes")
        return Route(None, _t5_prefix(languages) if prefix is None and model_type in ("t5", "mt5") else prefix or "")
    named = tuple(codes) if codes else languages
    key = "translation.codes" if codes else None
    route = Route((_choose(named[0], known, key), _choose(named[1], known, key)), prefix or "")
    if codes and all(_is_of(code, language) for code, language in zip(codes, reversed(languages), strict=True)):
        raise RecipeError(
            f"{' to '.join(codes)} is the other way round than data.languages",
            f"translation.codes: [{codes[1]}, {codes[0]}]",
            key="translation.codes",
        )
    return route


def known_codes(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """The languages that a tokenizer knows, as it writes them; none for one of a single pair."""
    for name in ("lang_code_to_id", "lang_code_to_token"):
        found = getattr(tokenizer, name, None)
        if isinstance(found, dict) and found:
            return sorted(str(code) for code in found)
    if not hasattr(tokenizer, "src_lang"):
        return []
    return sorted(token for token in tokenizer.all_special_tokens if _CODE.fullmatch(token))


def take_route(tokenizer: Any, route: Route) -> int | None:
    """Set a tokenizer's languages. Returns the token that translations begin with, None where they just begin."""
    if route.codes is None:
        return None
    tokenizer.src_lang, tokenizer.tgt_lang = route.codes
    if hasattr(tokenizer, "get_lang_id"):
        return int(tokenizer.get_lang_id(route.codes[1]))
    return int(tokenizer.convert_tokens_to_ids(route.codes[1]))


def ends_in_language(tokenizer: Any) -> bool:
    """Whether a tokenizer whose languages are set writes the language behind a text, as that of mBART-25 does."""
    return not tokenizer.prefix_tokens and len(tokenizer.suffix_tokens) > 1


def _choose(wanted: str, known: list[str], key: str | None) -> str:
    """The code of a language. key: that it was given under; None if it is only the name of a language."""
    plain = {code.lower().replace("-", "_"): code for code in known}
    name = wanted.lower().replace("-", "_")
    if name in plain:
        return plain[name]
    first = name.split("_")[0]
    beginnings = {first, THREE.get(first, first)}
    found = [code for lower, code in plain.items() if lower.split("_")[0] in beginnings]
    if len(found) == 1 and key is None:
        return found[0]
    near = found or difflib.get_close_matches(name, list(plain), _SHOWN, 0.5) or sorted(plain)[:_SHOWN]
    listed = ", ".join(plain.get(code, code) for code in near[:_SHOWN])
    if found and key is None:
        raise RecipeError(
            f"the checkpoint's tokenizer knows '{wanted}' in {len(found)} forms ({listed})",
            f"say which: translation.codes, source and target, e.g. {found[0]}",
            key="data.languages",
        )
    raise RecipeError(
        f"{key or 'data.languages'}: the checkpoint's tokenizer does not know '{wanted}' (nearest: {listed})",
        f"set translation.codes to two of its {len(known)} languages, or take another checkpoint",
    )


def _is_of(code: str, language: str) -> bool:
    """Whether a code is of a language: deu_Latn of de."""
    return primary(code) == primary(language)


def _t5_prefix(languages: tuple[str, str]) -> str:
    names = [NAMES.get(primary(language)) for language in languages]
    unnamed = [language for language, name in zip(languages, names, strict=True) if name is None]
    if unnamed:
        raise RecipeError(
            f"T5 wants to be told what to do; kit has no English name for {' or '.join(unnamed)}",
            'e.g. translation.prefix: "translate English to German: "',
            key="translation.prefix",
        )
    return f"translate {names[0]} to {names[1]}: "
