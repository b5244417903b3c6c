"""The `model` section: pretrained weights."""

from __future__ import annotations

from typing import Annotated, Literal

from kit.recipe.section import NOT_IN_ID, InId, Name, Section

_BY_CONTENT = InId(unless=("start", "checkpoint"))  # ids have the hash of the weights


class ModelSection(Section):
    """Pretrained weights to start from."""

    checkpoint: Annotated[Name | None, _BY_CONTENT] = None
    """Model id on the Hub, local folder, or `package:folder` for a folder inside an installed Python package."""
    revision: Annotated[Name | None, _BY_CONTENT] = None
    """Revision (branch, tag or commit) of a Hub checkpoint."""
    pooling: Literal["auto", "mean", "cls", "native"] = "auto"
    """Pooling of token vectors into one text vector. `auto`: the pooling that the checkpoint declares, or the
    architecture's own classification head (`native`) if it declares none."""
    allow_pickle: Annotated[bool, NOT_IN_ID] = False
    """Accept weights in pickle files, which can execute code when they are loaded."""
    trust_remote_code: Annotated[bool, NOT_IN_ID] = False
    """Run the Python files of a checkpoint if transformers lacks its classes. Read the files first, and pin
    `revision`."""
