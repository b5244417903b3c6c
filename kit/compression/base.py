"""The Technique interface: make a fitted model smaller or faster.

Knows what a technique is given and what it gives back. Knows nothing of any one technique.
"""

from __future__ import annotations

from typing import Any, Protocol

from kit.compression.source import Kind
from kit.methods import Fitted, Job
from kit.record import Record


class Technique(Protocol):
    """One way to compress. A step is its section in the recipe, see `kit.recipe.compressing`."""

    @property
    def takes(self) -> tuple[Kind, ...]:
        """Kinds of models that it works on."""

    @property
    def gives(self) -> Kind:
        """Kind of the model that comes of it."""

    def require(self, step: Any, source: Record) -> None:
        """Raise ModelError, with the reason and the way out, for what would keep the step from working.

        source: the Record that the chain starts from.
        """

    def compress(self, step: Any, source: Record, job: Job) -> Fitted:
        """The compressed model of a source of a kind that it takes.

        job: the source's recipe, task and data; texts and labels are taken from its budget and pool, never from test.
        """
