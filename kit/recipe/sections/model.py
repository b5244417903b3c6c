"""The `model` section: pretrained weights."""

from __future__ import annotations

from typing import Literal

from kit.recipe.section import Name, Section


class ModelSection(Section):
    """Which pretrained weights to start from."""

    checkpoint: Name | None = None
    """A model id on the Hub, a local folder, or `package:folder` inside an installed Python package."""
    revision: Name | None = None
    """Revision (branch, tag or commit) of a Hub checkpoint."""
    pooling: Literal["auto", "mean", "cls", "native"] = "auto"
    """How token vectors become one text vector: `auto` takes what the checkpoint declares, and the
    architecture's own classification head (`native`) where it declares nothing."""
    allow_pickle: bool = False
    """Accept weights in pickle files, which can run code when they are loaded."""
    trust_remote_code: bool = False
    """Run a checkpoint's own Python files where transformers lacks its classes: read them first, and pin `revision`."""
