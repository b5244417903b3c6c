"""Pages of the documentation as tests need them: code blocks, prose, the table of contents, the glossary."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.colon_fence import colon_fence_plugin
from mdit_py_plugins.deflist import deflist_plugin
from mdit_py_plugins.front_matter import front_matter_plugin
from mdit_py_plugins.myst_blocks import myst_block_plugin

REPOSITORY = Path(__file__).parents[2]
DOCS = REPOSITORY / "docs"
MARKDOWN = (
    MarkdownIt("commonmark")
    .enable("table")
    .use(front_matter_plugin)
    .use(deflist_plugin)
    .use(colon_fence_plugin)
    .use(myst_block_plugin)
)
DIRECTIVE = re.compile(r"\{([\w-]+)\}\s*(.*)")
NO_PROSE = ("toctree", "image", "eval-rst", "typer", "include", "glossary", "raw", "math", "figure")


@dataclass(frozen=True)
class Block:
    """A code block or directive of a page.

    Attributes:
        place: File and line.
        language: Language of a code block, or `{name}` of a directive.
        content: Text between the fences.
        marker: Text of the comment (`% ...`) on the line before; empty without one.
        argument: Text after the name of a directive.
    """

    place: str
    language: str
    content: str
    marker: str = ""
    argument: str = ""


@dataclass(frozen=True)
class Page:
    """A Markdown file."""

    path: Path

    @property
    def name(self) -> str:
        """Name in the table of contents, such as `guides/translation`; the file name outside of docs."""
        if self.path.is_relative_to(DOCS):
            return str(self.path.relative_to(DOCS).with_suffix(""))
        return self.path.name

    @cached_property
    def text(self) -> str:
        return self.path.read_text("utf-8")

    @cached_property
    def front_matter(self) -> Mapping[str, Any]:
        first = next(iter(MARKDOWN.parse(self.text)), None)
        return yaml.safe_load(first.content) or {} if first is not None and first.type == "front_matter" else {}

    @cached_property
    def blocks(self) -> list[Block]:
        """Code blocks and directives, those inside of directives included."""
        return list(self._blocks(self.text, 0))

    def code(self, language: str) -> list[Block]:
        """Return the code blocks in a language."""
        return [block for block in self.blocks if block.language == language]

    @cached_property
    def paragraphs(self) -> list[list[tuple[str, str]]]:
        """Paragraphs and items of lists as (kind, text): `text`, `term` for a link to the glossary, `code`, `link`."""
        return list(self._paragraphs(self.text))

    def _blocks(self, text: str, offset: int) -> Iterator[Block]:
        marker = ""
        for token in MARKDOWN.parse(text):
            comment = re.fullmatch(r"(?:<!--|%)?(.*?)(?:-->)?", token.content.strip())
            if token.type in ("myst_line_comment", "html_block") and comment:
                marker = comment[1].strip()
                continue
            if token.type in ("fence", "colon_fence"):
                yield from self._block(token, offset, marker)
            elif token.type == "code_block":
                yield Block(self._place(token, offset), "indented", token.content, marker)
            marker = ""

    def _block(self, token: Token, offset: int, marker: str) -> Iterator[Block]:
        info, place = token.info.strip(), self._place(token, offset)
        directive = DIRECTIVE.fullmatch(info)
        if directive is None:
            yield Block(place, info.split()[0] if info else "", token.content, marker)
        elif directive[1] in ("code-block", "code"):
            content = re.sub(r"\A(:[\w-]+:.*\n)+\n?", "", token.content)
            yield Block(place, directive[2].strip(), content, marker)
        else:
            yield Block(place, f"{{{directive[1]}}}", token.content, marker, directive[2].strip())
            if directive[1] not in NO_PROSE:
                yield from self._blocks(token.content, offset + (token.map or [0])[0] + 1)

    def _place(self, token: Token, offset: int) -> str:
        return f"{self.path.relative_to(REPOSITORY)}:{offset + (token.map or [0])[0] + 1}"

    def _paragraphs(self, text: str) -> Iterator[list[tuple[str, str]]]:
        outer = ""
        for token in MARKDOWN.parse(text):
            if token.type in ("heading_open", "tr_open"):
                outer = token.type
            elif token.type in ("heading_close", "tr_close"):
                outer = ""
            elif token.type == "inline" and not outer:
                yield list(_parts(token.children or []))
            elif token.type in ("fence", "colon_fence"):
                directive = DIRECTIVE.fullmatch(token.info.strip())
                if directive and directive[1] not in (*NO_PROSE, "code-block", "code"):
                    yield from self._paragraphs(re.sub(r"\A(:[\w-]+:.*\n)+", "", token.content))


def _parts(tokens: list[Token]) -> Iterator[tuple[str, str]]:
    """Yield the parts of a line of text, each with its kind."""
    in_link, role = False, ""
    for token in tokens:
        if token.type in ("link_open", "link_close"):
            in_link = token.type == "link_open"
        elif token.type == "code_inline":
            target = re.fullmatch(r".*<(.+)>", token.content)
            yield (role or "code", target[1] if role and target else token.content)
            role = ""
        elif token.type in ("text", "softbreak"):
            text = " " if token.type == "softbreak" else token.content
            named = re.search(r"\{([\w:-]+)\}\Z", text)
            role, text = (named[1], text[: named.start()]) if named else ("", text)
            if text:
                yield ("link" if in_link else "text", text)


def pages() -> list[Page]:
    """Return all pages of the documentation."""
    return [Page(path) for path in sorted(DOCS.rglob("*.md"))]


def contents() -> list[str]:
    """Return the names of the pages in the tables of contents."""
    return [
        line.strip()
        for page in pages()
        for block in page.blocks
        if block.language == "{toctree}"
        for line in block.content.splitlines()
        if line.strip() and not line.startswith(":")
    ]


def glossary() -> list[str]:
    """Return the terms of the glossary; none before the page exists."""
    path = DOCS / "glossary.md"
    blocks = Page(path).blocks if path.exists() else []
    return [
        line.strip()
        for block in blocks
        if block.language == "{glossary}"
        for line in block.content.splitlines()
        if line.strip() and not line.startswith((" ", ":", "\t", ".."))
    ]
