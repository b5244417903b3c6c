"""The `model` section: pretrained weights."""

from __future__ import annotations

from typing import Literal

from kit.recipe.section import Name, Section


class ModelSection(Section):
    """Pretrained weights to start from."""

    checkpoint: Name | None = None
    """Model id on the Hub, local folder, or `package:folder` for a folder inside an installed Python package."""
    revision: Name | None = None
    """Revision (branch, tag or commit) of a Hub checkpoint."""
    pooling: Literal["auto", "mean", "cls", "native"] = "auto"
    """Pooling of token vectors into one text vector. `auto`: the pooling that the checkpoint declares, or the
    architecture's own classification head (`native`) if it declares none."""
    allow_pickle: bool = False
    """Accept weights in pickle files, which can execute code when they are loaded."""
    trust_remote_code: bool = False
    """Run the Python files of a checkpoint if transformers lacks its classes. Read the files first, and pin
    `revision`."""
