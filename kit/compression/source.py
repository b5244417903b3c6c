"""What a Record's model is made of, and whether a technique can work on that.

Knows how saved models look. Knows nothing of techniques.
"""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path

from kit.errors import ModelError
from kit.models.onnx import FACTS_FILE, is_onnx
from kit.models.tfidf import FILE as TFIDF_FILE


class Kind(StrEnum):
    """Kinds of saved models, in words."""

    TORCH = "a model of torch"
    QUANTIZED = "a quantized model of torch"
    ONNX = "a graph for ONNX Runtime"
    INT8_ONNX = "a graph in 8 bits for ONNX Runtime"
    TFIDF = "TF-IDF with a linear model"


_WAY_OUT = {
    Kind.QUANTIZED: "compress the run it was made of: quantization comes last",
    Kind.ONNX: "take this step before onnx, on a model of torch",
    Kind.INT8_ONNX: "compress the run it was made of: int8-onnx comes last",
    Kind.TFIDF: "it is small and fast already; compress a run with a checkpoint",
}


def kind_of(folder: Path) -> Kind:
    """What the model saved in a folder is. Raises ModelError if there is none."""
    if not folder.is_dir():
        raise ModelError(
            f"{folder} is not there: this run kept no model",
            "run it again with --force, or with `keep_models: true` in a study",
        )
    if (folder / TFIDF_FILE).is_file():
        return Kind.TFIDF
    if is_onnx(folder):
        weights = json.loads((folder / FACTS_FILE).read_text("utf-8"))["weights"]
        return Kind.ONNX if weights == "float32" else Kind.INT8_ONNX
    config = json.loads((folder / "config.json").read_text("utf-8"))
    return Kind.QUANTIZED if "quantization_config" in config else Kind.TORCH


def require_kind(technique: str, found: Kind, taken: tuple[Kind, ...], what: str) -> None:
    """Raise ModelError, with the way out, unless a step takes models of this kind. what: the model's name."""
    if found not in taken:
        raise ModelError(
            f"{technique}: {what} is {found}; this step works on {' or '.join(taken)}", _WAY_OUT.get(found, "")
        )
