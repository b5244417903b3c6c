"""Directive `capability-table`: the uses of a model after each compression technique, as the tests verify them."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class CapabilityTable(SphinxDirective):
    """Table of the techniques."""

    def run(self) -> list[nodes.Node]:
        """Return the nodes of the table."""
        from kit.compression import capabilities

        self.env.note_dependency(str(capabilities.__file__))
        return self.parse_text_to_nodes(capabilities.capability_table())


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directive to Sphinx."""
    app.add_directive("capability-table", CapabilityTable)
    return {"parallel_read_safe": True}
