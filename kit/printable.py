"""Text from data, made safe to print: control and invisible characters are shown as escapes."""

from __future__ import annotations

import unicodedata

_ESCAPED = {"Cc", "Cf", "Cs", "Cn", "Zl", "Zp"}  # controls, invisible marks, half characters, line separators
_JOINERS = "\u200c\u200d"  # part of emoji and of words in several scripts


def printable(text: str) -> str:
    r"""Return the text on one line, with `\x1b` and the like in place of characters that a terminal would obey.

    Joiners stay inside emoji and words of scripts that need them.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown(text, place) for place in range(len(text)))


def _shown(text: str, place: int) -> str:
    char = text[place]
    if unicodedata.category(char) not in _ESCAPED or (char in _JOINERS and _joins(text, place)):
        return char
    return char.encode("unicode_escape").decode()


def _joins(text: str, place: int) -> bool:
    around = text[place - 1 : place] + text[place + 1 : place + 2]
    return len(around) == 2 and not any(char.isascii() or char in _JOINERS for char in around)
