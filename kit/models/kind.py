"""Kinds of saved models: what a folder's model is made of decides what can be done with it.

Knows how saved models look. Knows nothing of what is done with them.
"""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Any

from kit.errors import MAKE_AGAIN, ModelError
from kit.models.ct2 import is_ct2
from kit.models.early_exit import EarlyExitConfig
from kit.models.onnx import FACTS_FILE, is_onnx
from kit.models.tfidf import FILE as TFIDF_FILE


class Kind(StrEnum):
    """Kinds of saved models, in words."""

    TORCH = "a classifier of torch"
    HALF = "a model of torch in 16 bits"
    EARLY_EXIT = "a model with early exits"
    QUANTIZED = "a quantized model of torch"
    ONNX = "a graph for ONNX Runtime"
    QUANTIZED_ONNX = "a quantized graph for ONNX Runtime"
    TRANSLATOR = "a translator of one architecture (Marian, T5, BART and the like)"
    WARM_TRANSLATOR = "a translator made of an encoder and a fresh decoder"
    CT2 = "a translator for CTranslate2"
    TFIDF = "TF-IDF with a linear model"


def kind_of(folder: Path) -> Kind:
    """What the model saved in a folder is. Raises ModelError if there is none."""
    if not folder.is_dir():
        raise ModelError(
            f"{folder} is not there: this run kept no model",
            f"{MAKE_AGAIN}; in a study, with `keep_models: true`",
        )
    if (folder / TFIDF_FILE).is_file():
        return Kind.TFIDF
    if is_onnx(folder):
        weights = json.loads((folder / FACTS_FILE).read_text("utf-8"))["weights"]
        return Kind.ONNX if weights == "float32" else Kind.QUANTIZED_ONNX
    if is_ct2(folder):
        return Kind.CT2
    return _kind_of_torch(json.loads((folder / "config.json").read_text("utf-8")))


def _kind_of_torch(config: dict[str, Any]) -> Kind:
    if "quantization_config" in config:
        return Kind.QUANTIZED
    if config.get("model_type") == EarlyExitConfig.model_type:
        return Kind.EARLY_EXIT
    if config.get("dtype") in ("float16", "bfloat16"):
        return Kind.HALF
    if config.get("is_encoder_decoder"):
        return Kind.WARM_TRANSLATOR if config["model_type"] == "encoder-decoder" else Kind.TRANSLATOR
    return Kind.TORCH
