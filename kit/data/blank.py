"""Blank texts: empty, white space, or invisible characters only."""

from __future__ import annotations

import unicodedata

# Letters and marks by category, yet without a visible form: joiners, fillers and the blank Braille pattern.
_FILLERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
_VARIATION_SELECTORS = (("\u180b", "\u180f"), ("\ufe00", "\ufe0f"), ("\U000e0100", "\U000e01ef"))


def is_invisible(character: str) -> bool:
    """Return whether a character has no visible form: white space, controls, joiners, fillers, selectors."""
    if character.isspace() or unicodedata.category(character) in ("Cc", "Cf", "Zs", "Zl", "Zp"):
        return True
    return character in _FILLERS or any(low <= character <= high for low, high in _VARIATION_SELECTORS)


def is_blank(text: str) -> bool:
    """Return whether a text has no visible character."""
    return all(map(is_invisible, text))


def strip_invisible(text: str) -> str:
    """Return the text without invisible characters at its ends."""
    start, end = 0, len(text)
    while start < end and is_invisible(text[start]):
        start += 1
    while end > start and is_invisible(text[end - 1]):
        end -= 1
    return text[start:end]
