"""Configuration of the documentation, which `make docs` builds without a network."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import Any

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "extensions"), str(HERE.parent)]

project = "kit"
author = "the authors of kit"
release = tomllib.loads((HERE.parent / "pyproject.toml").read_text("utf-8"))["project"]["version"]
version = release

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinxcontrib.typer",
    "capability_table",
    "package_layers",
    "recipe_reference",
]
exclude_patterns = ["extensions"]

# Markdown
myst_enable_extensions = ["attrs_block", "attrs_inline", "colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3

# Docstrings: Google sections; `code` between single backticks, as in Markdown.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_use_ivar = True
napoleon_use_rtype = False

# Pages
html_theme = "furo"
html_title = f"kit {release}"
html_static_path = ["static"]
html_css_files = ["kit.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"top_of_page_buttons": []}
copybutton_prompt_text = r"\$ |>>> |\.\.\. "
copybutton_prompt_is_regexp = True
copybutton_line_continuation_character = "\\"
linkcheck_timeout = 20


def _signature(app: Sphinx, what: str, name: str, *more: Any) -> tuple[str, None] | None:
    """Return no signature for Recipe, which would be the whole schema; the page on recipes has it."""
    return ("", None) if name == "kit.Recipe" else None


def setup(app: Sphinx) -> None:
    """Connect the hooks of this file."""
    app.add_lexer("csv", TextLexer)  # Pygments has none
    app.connect("autodoc-process-signature", _signature)
