"""Forms of saved models, which determine the compression steps that a model can go through."""

from __future__ import annotations

from enum import StrEnum


class Form(StrEnum):
    """Form of a saved model, with a description for messages."""

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


# Forms that only store a model in another way, so that an export can compute them.
STORED = (Form.HALF, Form.QUANTIZED, Form.ONNX, Form.QUANTIZED_ONNX, Form.CT2)
