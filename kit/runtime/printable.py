"""Text from data, made safe to print: control and invisible characters are shown as escapes."""

from __future__ import annotations

import re
import unicodedata

_ESCAPED = {"Cc", "Cf", "Cs", "Cn", "Zl", "Zp"}  # controls, invisible marks, lone surrogates, line separators
# C1 controls, marks of direction, line separators, lone surrogates; JSON escapes C0 controls itself.
_OBEYED = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufeff\ud800-\udfff]")
_JOINERS = "\u200c\u200d"  # part of emoji and of words in several scripts


def printable(text: str) -> str:
    r"""Return the text on one line, with control characters as escapes such as `\x1b`.

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


def printable_lines(text: str) -> str:
    """Return a text with every line made printable and lines after the first indented.

    The indent keeps a line break inside data from starting a line that looks like one of kit's messages.
    """
    first, *others = text.split("\n")
    shown = [printable(line.rstrip("\r")) for line in others]
    return "\n".join(
        [printable(first.rstrip("\r")), *(line if not line or line[0] == " " else f"  {line}" for line in shown)]
    )


def printable_json(text: str) -> str:
    r"""Return JSON with terminal control characters as `\u` escapes; its content stays the same."""
    return _OBEYED.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
