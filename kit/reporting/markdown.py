"""Markdown: text that is shown as it is, whatever is in it.

Knows Markdown. Knows nothing of what is written.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from kit.reporting.formatting import plain

_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+!|~$<>&-])")


def inline(text: str) -> str:
    """Text as one line that Markdown shows as it is: nothing of it becomes a tag, a link, a heading or a new column."""
    line = " ".join(plain(text).split())
    # `&lt;` and not `\<`: some renderers, among them those that allow raw HTML, look for tags before escapes.
    escaped = _SPECIAL.sub(_escape, line)
    return re.sub(r"^(\d+)([.)])(?=\s|$)", r"\1\\\2", escaped)


def _escape(found: re.Match[str]) -> str:
    letter = found.group(1)
    return {"<": "&lt;", ">": "&gt;", "&": "&amp;"}.get(letter, f"\\{letter}")


def span(text: str) -> str:
    """Text as code within a line, which Markdown shows as it is. Not for tables, whose columns it may cut."""
    line = " ".join(plain(text).split())
    fence = _fence(line, 1)
    return f"{fence} {line} {fence}" if not line or "`" in (line[0], line[-1]) else f"{fence}{line}{fence}"


def code(text: str, language: str) -> str:
    """A fenced block, its fence longer than any run of backticks in the text."""
    fence = _fence(text, 3)
    return f"{fence}{language}\n{plain(text).rstrip()}\n{fence}"


def _fence(text: str, least: int) -> str:
    return "`" * max(least, *(len(run) + 1 for run in re.findall(r"`+", text)), least)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of texts that may be anything."""
    lines = [header, ["---"] * len(header), *([inline(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
