"""Format label names for messages and reports."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping, Sequence

from kit.runtime.printable import printable

_SHOWN = 8
_NUMBER = re.compile(r"[+-]?[\d.,]+")


def quoted(name: str) -> str:
    """Return a label name in quotes, on one line."""
    return f"'{printable(name)}'"


def list_item(name: str) -> str:
    """Return a label name for a list without quotes; quoted if it is empty or has a comma or outer spaces."""
    shown = printable(name)
    return f"'{shown}'" if not shown or "," in shown or shown != shown.strip() else shown


def listed(names: Sequence[str], counts: Mapping[str, int] | None = None, most: int = _SHOWN) -> str:
    """Return `'a' (3), 'b' (1)`, cut after `most` names. counts: examples per name; None shows no counts."""
    shown = [f"{quoted(name)} ({counts[name]:,})" if counts else quoted(name) for name in names[:most]]
    return ", ".join(shown) + _rest(names, most)


def in_line(names: Sequence[str], most: int = _SHOWN) -> str:
    """Return `a, b, 'c, d' and 3 more`, with quotes only for names with commas or outer spaces."""
    return ", ".join(list_item(name) for name in names[:most]) + _rest(names, most)


def _rest(names: Sequence[str], most: int) -> str:
    return f" and {len(names) - most:,} more" if len(names) > most else ""


def did_you_mean(names: Sequence[str], known: Collection[str]) -> str:
    """Return a question that proposes a known name in place of a similar one.

    The result is empty if none is similar.

    Numbers are never similar: 1 and -1 are different labels.
    """
    for name in names:
        if _NUMBER.fullmatch(name):
            continue
        near = difflib.get_close_matches(name, list(known), 1)
        if near:
            return f"did you mean {quoted(near[0])} for {quoted(name)}?"
    return ""
