"""Backends: the library that runs a saved model, derived from the names of its files."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path

from kit.errors import ModelError
from kit.models.checkpoints.config_file import CONFIG_FILE


class Backend(StrEnum):
    """Library that runs a saved model, as `record.json` and `kit.json` name it."""

    TORCH = "torch"
    ONNX = "onnx"
    ONNX_TRANSLATOR = "onnx-translator"
    CT2 = "ctranslate2"
    TFIDF = "tfidf"
    ADAPTER = "adapter"  # weights for peft, without the base model


# File that only models of a backend have, the most specific first.
_MARKS = {
    "tfidf.json": Backend.TFIDF,
    "ct2.json": Backend.CT2,
    "decoder.onnx": Backend.ONNX_TRANSLATOR,
    "onnx.json": Backend.ONNX,
    "adapter_config.json": Backend.ADAPTER,
}
_WEIGHTS = re.compile(r"model(-\d+-of-\d+)?\.safetensors|pytorch_model.*\.bin")


def backend_of(files: Iterable[str], where: Path) -> Backend:
    """Return the backend of the model that consists of these files.

    Args:
        files: Paths relative to the model's folder.
        where: The folder, for messages.

    Raises:
        ModelError: If the files belong to no model, or to models of several backends.
    """
    names = {name for name in files if "/" not in name}
    marks = {backend: mark for mark, backend in _MARKS.items() if mark in names}
    if Backend.ONNX_TRANSLATOR in marks:
        marks.pop(Backend.ONNX, None)
    if weights := sorted(filter(_WEIGHTS.fullmatch, names)):
        marks[Backend.TORCH] = weights[0]
    if len(marks) > 1:
        raise ModelError(
            f"{where} has files of several models: {', '.join(sorted(marks.values()))}",
            "remove the files that do not belong to the model, or create the model again",
        )
    if not marks and CONFIG_FILE not in names:
        raise ModelError(f"{where} does not contain a model that kit can load")
    return next(iter(marks), Backend.TORCH)


def backend_in(folder: Path) -> Backend:
    """Return the backend of the model in a folder without a manifest. Raises ModelError, see `backend_of`."""
    return backend_of((path.name for path in folder.iterdir() if path.is_file()), folder)
