"""Every page of the documentation: its place, its beginning, its words and its code blocks.

Conventions of pages (docs/**/*.md, and README.md for the code blocks):

- The page is in a table of contents of docs/index.md, and has one title. Its first paragraph begins with "After this
  page", and names what the reader then has or can do. At most 300 lines.
- The first use of a term of docs/glossary.md in a sentence is a link: {term}`pool`, or {term}`pools <pool>` where the
  form differs. Titles, tables, code and links do not count. {key}`data.budget` links a recipe key to its reference.
- Code blocks have a language:
    console   `$ kit ...` lines, followed by their real output. Every command and option must exist, every key of
              `--set` too. Also `$ accelerate launch ... -m kit.finetune ...`. `<id>` may stand for a name. Lines
              continue with a backslash, comments begin with #.
    yaml      a whole recipe, or some of its keys; both are validated. Other YAML has the comment `% not a recipe`.
    python    must compile. On a page with `runnable: true` in its front matter, and in README.md, all Python blocks run
              in order in one namespace, without a network, in a folder with recipes/ and reviews.csv (id, review,
              sentiment), with the packages of `small_packages` (a tiny checkpoint, 1,500 reviews). `% not executed`
              excludes a block.
    others    text, csv, json, html, bash, makefile, dockerfile, toml, diff: not checked.
- Comments that are not shown, on the line before a block: `% ...`, or `<!-- ... -->` in README.md. On runnable pages,
  `% file: NAME` writes the block to that file, and `% executed` runs the `$ kit` lines of a console block, which must
  succeed; `runs/...` stands for the newest run, except for studies.
- Generated tables: ```{capability-table}``` (compression techniques), ```{package-layers}``` (architecture).
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.documentation import Page, contents, glossary, pages

PAGES = {page.name: page for page in pages()}
INCLUDED = [name for name, page in PAGES.items() if page.text.startswith("```{include}")]  # files of the repository
LANGUAGES = (
    "console",
    "yaml",
    "python",
    "text",
    "csv",
    "json",
    "html",
    "bash",
    "makefile",
    "dockerfile",
    "toml",
    "diff",
)
GENERATED = ("reference/recipe", "reference/cli", "reference/python")
MAX_LINES = 300
# Words of the glossary that are also everyday words: linked only where a page explains them.
EVERYDAY = {"advice", "agreement", "cell", "chance", "head", "interval", "majority", "method", "probe", "run", "seed"}


def page_names(*without: str) -> list[str]:
    return [name for name in PAGES if name not in without]


def test_every_page_is_in_the_table_of_contents() -> None:
    names = contents()
    assert len(set(names)) == len(names)
    assert set(page_names("index")) == set(names)


@pytest.mark.parametrize("name", page_names("index", *INCLUDED))
def test_pages_begin_with_what_the_reader_will_have(name: str) -> None:
    text = PAGES[name].text
    assert len(re.findall(r"^# ", without_code(text), re.MULTILINE)) == 1
    first = "".join(text for _, text in PAGES[name].paragraphs[0])
    assert first.startswith("After this page"), first


@pytest.mark.parametrize("name", page_names("benchmark-log"))
def test_pages_are_short(name: str) -> None:
    assert len(PAGES[name].text.splitlines()) <= MAX_LINES


@pytest.mark.parametrize("name", page_names())
def test_code_blocks_have_a_language(name: str) -> None:
    blocks = [block for block in PAGES[name].blocks if not block.language.startswith("{")]
    unknown = [f"{block.place}: {block.language or 'none'}" for block in blocks if block.language not in LANGUAGES]
    assert not unknown, "\n".join(unknown)


@pytest.mark.parametrize("name", page_names("index", "glossary", "benchmark-log", *GENERATED))
def test_terms_are_linked_to_the_glossary_at_their_first_use(name: str) -> None:
    unlinked = [
        f"{term}: {sentence}"
        for term in glossary()
        if term.lower() not in EVERYDAY and (sentence := first_use_without_link(PAGES[name], term))
    ]
    assert not unlinked, "\n".join(unlinked)


def first_use_without_link(page: Page, term: str) -> str:
    """Return the beginning of the first paragraph that uses a term, unless the first use is a link."""
    flags = re.IGNORECASE if term.islower() else re.NOFLAG  # a Record is not a record
    word = re.compile(rf"(?<![\w-]){re.escape(term)}s?(?![\w-]|'s t\b)", flags)
    for paragraph in page.paragraphs:
        for kind, text in paragraph:
            if kind == "term" and text.lower() == term.lower():
                return ""
            if kind == "text" and word.search(text):
                return "".join(text for _, text in paragraph)[:90]
    return ""


def without_code(text: str) -> str:
    return re.sub(r"^(`{3,}).*?^\1", "", text, flags=re.MULTILINE | re.DOTALL)


def test_first_uses_are_found(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text(
        "# A pool\n\n| pool |\n|---|\n| pool |\n\n`pool` and [pool](a.md)\n\n- the\n  {term}`pools <pool>`\n\nA pool.\n"
    )
    page = Page(path)
    assert first_use_without_link(page, "pool") == ""
    path.write_text("The\npools and the {term}`pool`.\n")
    assert first_use_without_link(Page(path), "pool").startswith("The pools")
    assert first_use_without_link(Page(path), "Pool") == ""
