"""Directive `package-layers`: a picture of kit's packages, drawn from the import contract in pyproject.toml."""

from __future__ import annotations

import ast
import textwrap
import tomllib
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

REPOSITORY = Path(__file__).parents[2]
WIDTH, GAP = 860, 8
TITLE, LINE = 32, 17  # heights of a box with a name only, and of a line below the name
CHARACTER = 7.2  # width, at most on average


def layers() -> list[list[str]]:
    """Return the modules of each layer, the highest layer first."""
    contracts = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    [contract] = [contract for contract in contracts if contract["type"] == "layers"]
    return [[name.strip() for name in layer.split("|")] for layer in contract["layers"]]


def role(module: str) -> str:
    """Return the first sentence of a module's docstring, without the name that some begin with."""
    path = REPOSITORY / module.replace(".", "/")
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    sentence = (ast.get_docstring(ast.parse(file.read_text("utf-8"))) or "").splitlines()[0].rstrip(".").split(". ")[0]
    name, colon, rest = sentence.partition(": ")
    return rest[0].upper() + rest[1:] if colon and module.rpartition(".")[2].startswith(name.lower()) else sentence


def picture() -> str:
    """Return the layers as SVG: one row per layer, a box per package with its purpose."""
    parts, y = [], 0
    for row in layers():
        width = (WIDTH - GAP * (len(row) - 1)) / len(row)
        purposes = [textwrap.wrap(role(module), int(width / CHARACTER)) for module in row]
        height = TITLE + LINE * max(map(len, purposes))
        for place, (module, lines) in enumerate(zip(row, purposes, strict=True)):
            parts.append(_box(place * (width + GAP), y, width - 2, height, [module.rpartition(".")[2], *lines]))
        y += height + GAP
    label = "The packages of kit in layers. Each package imports only packages in layers below it."
    return f'<svg class="layers" viewBox="0 0 {WIDTH} {y}" role="img" aria-label="{label}">{"".join(parts)}</svg>'


def _box(x: float, y: float, width: float, height: float, lines: list[str]) -> str:
    """Return a box with lines of text, the first of which is the name."""
    texts = [
        f'<text class="{"purpose" if number else "name"}" x="{x + 14:g}" y="{y + 22 + LINE * number:g}">'
        f"{escape(line).replace('`', '')}</text>"
        for number, line in enumerate(lines)
    ]
    return f'<rect x="{x + 1:g}" y="{y + 1:g}" width="{width:g}" height="{height:g}" rx="6"/>{"".join(texts)}'


class PackageLayers(SphinxDirective):
    """Picture of the layers, with the purpose of each package."""

    def run(self) -> list[nodes.Node]:
        """Return the picture."""
        for file in (Path(__file__), REPOSITORY / "pyproject.toml", *REPOSITORY.glob("kit/*/__init__.py")):
            self.env.note_dependency(str(file))
        return [nodes.raw("", picture(), format="html")]


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directive to Sphinx."""
    app.add_directive("package-layers", PackageLayers)
    return {"parallel_read_safe": True}
