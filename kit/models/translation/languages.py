"""Language codes of multilingual tokenizers, and the codes or prefix that select a pair of languages."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase

from kit.data.language_codes import NAMES, THREE, primary
from kit.errors import RecipeError

_CODE = re.compile(r"[a-z]{2,3}_[A-Z][A-Za-z]{1,3}")  # en_XX, eng_Latn
_MAX_LISTED = 6


@dataclass(frozen=True)
class Route:
    """Settings that make a checkpoint translate between two languages.

    Attributes:
        codes: Codes of source and target for the tokenizer; None if it has no languages.
        prefix: Text before every source.
    """

    codes: tuple[str, str] | None
    prefix: str


def find_route(
    tokenizer: PreTrainedTokenizerBase,
    model_type: str,
    languages: tuple[str, str],
    codes: list[str] | None,
    prefix: str | None,
) -> Route:
    """Return the route between two languages.

    Args:
        tokenizer: Tokenizer of the checkpoint.
        model_type: Architecture in the checkpoint's configuration.
        languages: Source and target.
        codes: Codes in the recipe; None to derive them from the languages.
        prefix: Prefix in the recipe; None for the default of the architecture.

    Raises:
        RecipeError: If the tokenizer does not have a language or code, or has no languages and `codes` is set.
    """
    known = known_codes(tokenizer)
    targets = [token for token in getattr(tokenizer, "supported_language_codes", []) if token.startswith(">>")]
    if targets:  # multilingual Marian: a token in the source selects the target language
        chosen = next((token for token in targets if (prefix or "").startswith(token)), "")
        if chosen and not codes:
            return Route(None, prefix or "")
        wanted = codes[1] if codes else languages[1]
        token = _choose(wanted, [target.strip("><") for target in targets], "translation.codes" if codes else None)
        return Route(None, f">>{token}<< " + (prefix or "").removeprefix(chosen).lstrip())
    if not known:
        if codes:
            raise RecipeError("this checkpoint's tokenizer has no languages", "leave it out", key="translation.codes")
        return Route(None, _t5_prefix(languages) if prefix is None and model_type in ("t5", "mt5") else prefix or "")
    named = tuple(codes) if codes else languages
    key = "translation.codes" if codes else None
    route = Route((_choose(named[0], known, key), _choose(named[1], known, key)), prefix or "")
    if codes and all(_is_code_of(code, language) for code, language in zip(codes, reversed(languages), strict=True)):
        raise RecipeError(
            f"{' to '.join(codes)} is the reverse of data.languages",
            f"translation.codes: [{codes[1]}, {codes[0]}]",
            key="translation.codes",
        )
    return route


def known_codes(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Return the language codes of a tokenizer; none if it is for a single pair of languages."""
    for name in ("lang_code_to_id", "lang_code_to_token"):
        codes = getattr(tokenizer, name, None)
        if isinstance(codes, dict) and codes:
            return sorted(str(code) for code in codes)
    if not hasattr(tokenizer, "src_lang"):
        return []
    return sorted(token for token in tokenizer.all_special_tokens if _CODE.fullmatch(token))


def set_languages(tokenizer: Any, route: Route) -> int | None:
    """Set a tokenizer's languages.

    Returns:
        Token of the target language that translations begin with; None if there is none.
    """
    if route.codes is None:
        return None
    tokenizer.src_lang, tokenizer.tgt_lang = route.codes
    if hasattr(tokenizer, "get_lang_id"):
        return int(tokenizer.get_lang_id(route.codes[1]))
    return int(tokenizer.convert_tokens_to_ids(route.codes[1]))


def ends_in_language(tokenizer: Any) -> bool:
    """Return True if a tokenizer puts the language after a text, like that of mBART-25, once its languages are set."""
    return not tokenizer.prefix_tokens and len(tokenizer.suffix_tokens) > 1


def _choose(wanted: str, known: list[str], key: str | None) -> str:
    """Return a tokenizer's code for a language.

    Args:
        wanted: Code or name of the language.
        known: Codes of the tokenizer.
        key: Recipe key of `wanted` if it is a code; None if it is the name of a language.

    Raises:
        RecipeError: If there is no code for it, or several.
    """
    plain = {code.lower().replace("-", "_"): code for code in known}
    name = wanted.lower().replace("-", "_")
    if name in plain:
        return plain[name]
    first = name.split("_")[0]
    beginnings = {first, THREE.get(first, first)}
    candidates = [code for lower, code in plain.items() if lower.split("_")[0] in beginnings]
    if len(candidates) == 1 and key is None:
        return candidates[0]
    near = candidates or difflib.get_close_matches(name, list(plain), _MAX_LISTED, 0.5) or sorted(plain)[:_MAX_LISTED]
    listed = ", ".join(plain.get(code, code) for code in near[:_MAX_LISTED])
    if candidates and key is None:
        raise RecipeError(
            f"the checkpoint's tokenizer has {len(candidates)} codes for '{wanted}' ({listed})",
            f"set translation.codes to those of source and target, e.g. {candidates[0]}",
            key="data.languages",
        )
    raise RecipeError(
        f"the checkpoint's tokenizer does not have '{wanted}' (nearest: {listed})",
        f"set translation.codes to two of its {len(known)} languages, or use another checkpoint",
        key=key or "data.languages",
    )


def _is_code_of(code: str, language: str) -> bool:
    """Return True if a code is for a language: deu_Latn is for de."""
    return primary(code) == primary(language)


def _t5_prefix(languages: tuple[str, str]) -> str:
    names = [NAMES.get(primary(language)) for language in languages]
    unnamed = [language for language, name in zip(languages, names, strict=True) if name is None]
    if unnamed:
        raise RecipeError(
            f"T5 needs a prefix with the names of the languages; kit has no English name for {' or '.join(unnamed)}",
            'e.g. translation.prefix: "translate English to German: "',
            key="translation.prefix",
        )
    return f"translate {names[0]} to {names[1]}: "
