"""Directive `package-layers`: a picture of kit's packages, drawn from the import contract in pyproject.toml."""

from __future__ import annotations

import ast
import tomllib
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

REPOSITORY = Path(__file__).parents[2]
WIDTH, ROW, GAP = 860, 34, 6


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
    """Return the layers as SVG: one row per layer, a box per package."""
    rows = layers()
    height = len(rows) * (ROW + GAP)
    parts = [
        f'<svg class="layers" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="The layers of kit, each of which imports only those below it">'
    ]
    for number, row in enumerate(rows):
        width = (WIDTH - GAP * (len(row) - 1)) / len(row)
        for place, module in enumerate(row):
            x, y = place * (width + GAP), number * (ROW + GAP)
            name = module.rpartition(".")[2]
            parts.append(
                f'<rect x="{x + 1:g}" y="{y + 1}" width="{width - 2:g}" height="{ROW - 2}" rx="5"/>'
                f'<text x="{x + width / 2:g}" y="{y + 22}" text-anchor="middle" font-size="15">{escape(name)}</text>'
            )
    return "".join([*parts, "</svg>"])


class PackageLayers(SphinxDirective):
    """Picture of the layers, and a table with the purpose of each package."""

    def run(self) -> list[nodes.Node]:
        """Return the nodes of the picture and the table."""
        for name in ("pyproject.toml", "kit/__init__.py"):
            self.env.note_dependency(str(REPOSITORY / name))
        rows = [f"| `{module}` | {role(module)} |" for row in layers() for module in row]
        table = "\n".join(["| package | purpose |", "|---|---|", *rows])
        return [nodes.raw("", picture(), format="html"), *self.parse_text_to_nodes(table)]


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directive to Sphinx."""
    app.add_directive("package-layers", PackageLayers)
    return {"parallel_read_safe": True}
