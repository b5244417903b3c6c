"""Characters that are not text: the byte order mark, surrogates, which no encoding can hold, and control characters."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Any

from kit.errors import DataError

BYTE_ORDER_MARK = "\ufeff"
_DIRECTION_CONTROLS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def has_surrogates(text: str) -> bool:
    """Return whether a string contains a lone surrogate: half an emoji from JSON, or bytes that were not UTF-8."""
    return _SURROGATE.search(text) is not None


def without_surrogates(text: str) -> str:
    """Return a string that UTF-8 can encode: pairs of surrogates joined, each lone one replaced by U+FFFD."""
    if not has_surrogates(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def without_surrogates_inside(value: Any) -> Any:
    """Return plain data in which all texts and keys can be encoded as UTF-8; see `without_surrogates`."""
    if isinstance(value, str):
        return without_surrogates(value)
    if isinstance(value, list):
        return [without_surrogates_inside(item) for item in value]
    if isinstance(value, dict):
        return {without_surrogates_inside(key): without_surrogates_inside(item) for key, item in value.items()}
    return value


def require_utf8(arguments: Iterable[str]) -> None:
    """Raise DataError for an argument whose bytes are not UTF-8: recipes and Records could not hold it."""
    for argument in arguments:
        if has_surrogates(argument):
            raise DataError(
                f"the argument {without_surrogates(argument)!r} has bytes that are not UTF-8",
                "a terminal with another encoding may have changed it; rename a file or folder that is called so",
            )


def plain(text: object) -> str:
    """Return the text without characters that a format cannot represent.

    Lone surrogates, control characters except tab and newline, and characters that change the direction of the text
    after them are replaced.
    """
    return "".join("\ufffd" if _is_unsafe(character) else character for character in str(text))


def _is_unsafe(character: str) -> bool:
    if character in _DIRECTION_CONTROLS:
        return True
    return unicodedata.category(character) in ("Cc", "Cs") and character not in "\t\n"
