"""Markdown that shows any text literally."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kit.runtime.characters import plain

_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+!|~$<>&-])")


def inline(text: str) -> str:
    """Return the text as one escaped line, which contains no tag, link, heading or column separator."""
    line = " ".join(plain(text).split())
    # `&lt;` and not `\<`: renderers that allow raw HTML may look for tags before they process escapes.
    escaped = _SPECIAL.sub(_escape, line)
    return re.sub(r"^(\d+)([.)])(?=\s|$)", r"\1\\\2", escaped)


def _escape(match: re.Match[str]) -> str:
    character = match.group(1)
    return {"<": "&lt;", ">": "&gt;", "&": "&amp;"}.get(character, f"\\{character}")


def span(text: str) -> str:
    """Return the text as inline code.

    Not for tables, where a `|` in it would start a new column.
    """
    line = " ".join(plain(text).split())
    fence = _fence(line, 1)
    return f"{fence} {line} {fence}" if not line or "`" in (line[0], line[-1]) else f"{fence}{line}{fence}"


def code(text: str, language: str) -> str:
    """Return a fenced code block, with a fence longer than any run of backticks in the text."""
    fence = _fence(text, 3)
    return f"{fence}{language}\n{plain(text).rstrip()}\n{fence}"


def _fence(text: str, min_length: int) -> str:
    return "`" * max(min_length, *(len(run) + 1 for run in re.findall(r"`+", text)), min_length)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table; the cells are escaped, the header is not."""
    lines = [header, ["---"] * len(header), *([inline(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
