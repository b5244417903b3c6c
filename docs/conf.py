"""Configuration of the documentation, which `make docs` builds without a network."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

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
    "package_layers",
    "recipe_reference",
]
exclude_patterns = ["extensions"]

# Markdown
myst_enable_extensions = ["attrs_block", "attrs_inline", "colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3
# Pages that are being written: remove these lines once every page of the table of contents exists.
suppress_warnings = ["toc.not_readable", "myst.xref_missing", "ref.term"]

# Docstrings: Google sections; `code` between single backticks, as in Markdown.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
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
