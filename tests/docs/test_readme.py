"""The README: short, with links that lead somewhere. Its code blocks are tested with those of the documentation."""

from __future__ import annotations

import re

from tests.support.documentation import REPOSITORY, Page

README = Page(REPOSITORY / "README.md")
MAX_LINES, MAX_WORDS = 180, 1_300


def test_readme_is_short() -> None:
    assert len(README.text.splitlines()) <= MAX_LINES
    assert len(README.text.split()) <= MAX_WORDS


def test_links_and_images_lead_to_files() -> None:
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)|src=\"([^\"]+)\"", README.text)
    local = [target for pair in targets for target in pair if target and not target.startswith("http")]
    assert local
    assert not [target for target in local if not (REPOSITORY / target).exists()]


def test_readme_names_the_two_commands() -> None:
    assert "make demo" in README.text and "make test" in README.text


def test_code_blocks_have_a_language() -> None:
    blocks = [block for block in README.blocks if block.language in ("indented", "")]
    assert not [block.place for block in blocks]
    assert README.code("console") and README.code("python")
