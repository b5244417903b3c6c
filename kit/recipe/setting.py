"""Recipe keys with values in messages, and their translation into options of a command."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence

from kit.runtime.printable import printable

_PLAIN = re.compile(r"[^\W\d][\w.-]*")
_NOT_TEXT = ("true", "false", "null", "yes", "no", "on", "off", "y", "n")  # in YAML, unless quoted
_SCALAR = r"""'(?:[^']|'')*'|"(?:[^"\\]|\\.)*"|\w[\w.-]*"""
_VALUE = rf"\[(?:{_SCALAR})(?:, (?:{_SCALAR}))*\]|{_SCALAR}"
_REPEATED = ("data.source", "data.test", "data.text", "data.label")  # keys whose options are repeated, once per name


def setting(key: str, value: str | bool | Sequence[str] | Mapping[str, str | None]) -> str:
    """Return `key: value` as a recipe has it, in a form that `with_options` recognizes in a message."""
    if isinstance(value, bool):
        return f"{key}: {str(value).lower()}"
    if isinstance(value, str):
        return f"{key}: {_quoted(value)}"
    if isinstance(value, Mapping):
        pairs = (f"{_quoted(old)}: {'null' if new is None else _quoted(new)}" for old, new in value.items())
        return f"{key}: {{{', '.join(pairs)}}}"
    return f"{key}: [{', '.join(map(_quoted, value))}]"


def with_options(text: str, options: Mapping[str, str]) -> str:
    """Return a message with options of a command instead of recipe keys.

    Args:
        text: Message with keys, or with settings that `setting` returned.
        options: Option per key; other keys stay.
    """
    keys = "|".join(sorted(map(re.escape, options), key=len, reverse=True))
    text = re.sub(rf"\b({keys}): ({_VALUE})", lambda match: _option(match[1], match[2], options), text)
    return re.sub(rf"\b(?:{keys})\b(?!\.\w)", lambda match: options[match[0]], text)


def _option(key: str, value: str, options: Mapping[str, str]) -> str:
    option = options[key]
    if value == "true":
        return option
    items = re.findall(_SCALAR, value)
    if key in _REPEATED or len(items) == 1:
        return " ".join(f"{option} {_shell_word(item)}" for item in items)
    names = [f'"{name}"' if "," in name else name for name in map(_plain, items)]
    return f"{option} {shlex.quote(','.join(names))}"


def _quoted(value: str) -> str:
    if _PLAIN.fullmatch(value) and value.lower() not in _NOT_TEXT:
        return value
    escaped = printable(value.replace("\\", "\\\\"))
    if escaped == value:
        return "'" + value.replace("'", "''") + "'"
    return '"' + escaped.replace('"', '\\"') + '"'


def _plain(item: str) -> str:
    """Return a value without its quotes."""
    return item[1:-1].replace("''", "'") if item.startswith("'") else item.strip('"')


def _shell_word(item: str) -> str:
    if item.startswith('"'):
        return "$'" + item[1:-1].replace('\\"', '"').replace("'", "\\'") + "'"
    return shlex.quote(_plain(item))
