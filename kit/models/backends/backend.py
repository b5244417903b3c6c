"""Backends: the libraries that run saved models."""

from __future__ import annotations

import re
from enum import StrEnum


class Backend(StrEnum):
    """Library that runs a saved model, as `record.json` and `kit.json` name it."""

    TORCH = "torch"
    ONNX = "onnx"
    ONNX_TRANSLATOR = "onnx-translator"
    CT2 = "ctranslate2"
    TFIDF = "tfidf"
    ADAPTER = "adapter"  # weights for peft, without the base model


WEIGHTS = re.compile(r"model(-\d+-of-\d+)?\.safetensors|pytorch_model.*\.bin")  # files of torch models
