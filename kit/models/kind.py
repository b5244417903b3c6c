"""Kinds of saved models: what a folder's model is made of decides what can be done with it.

Knows how saved models look. Knows nothing of what is done with them.
"""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path

from kit.errors import ModelError
from kit.models.early_exit import EarlyExitConfig
from kit.models.onnx import FACTS_FILE, is_onnx
from kit.models.tfidf import FILE as TFIDF_FILE


class Kind(StrEnum):
    """Kinds of saved models, in words."""

    TORCH = "a model of torch"
    HALF = "a model of torch in 16 bits"
    EARLY_EXIT = "a model with early exits"
    QUANTIZED = "a quantized model of torch"
    ONNX = "a graph for ONNX Runtime"
    QUANTIZED_ONNX = "a quantized graph for ONNX Runtime"
    TFIDF = "TF-IDF with a linear model"


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
        return Kind.ONNX if weights == "float32" else Kind.QUANTIZED_ONNX
    config = json.loads((folder / "config.json").read_text("utf-8"))
    if "quantization_config" in config:
        return Kind.QUANTIZED
    if config.get("model_type") == EarlyExitConfig.model_type:
        return Kind.EARLY_EXIT
    return Kind.HALF if config.get("dtype") in ("float16", "bfloat16") else Kind.TORCH
