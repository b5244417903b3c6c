"""Kinds of saved models, which determine the operations that a model supports."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from kit.errors import MAKE_AGAIN, ModelError
from kit.models.architectures.early_exit import EarlyExitConfig
from kit.models.backends.backend import Backend, backend_in
from kit.models.backends.onnx import FACTS_FILE
from kit.models.checkpoints.config_file import ModelConfig, read_config
from kit.runtime.json_files import read_object


class Kind(StrEnum):
    """Kind of a saved model, with a description for messages."""

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


def kind_of(folder: Path, backend: Backend | None = None) -> Kind:
    """Return the kind of the model saved in a folder.

    Args:
        folder: The model's folder.
        backend: Backend named in the model's manifest; None to detect it from the files.

    Raises:
        ModelError: If the folder does not exist or does not contain a model.
    """
    if not folder.is_dir():
        raise ModelError(
            f"{folder} does not exist: this run kept no model",
            f"{MAKE_AGAIN}; in a study, with `keep_models: true`",
        )
    backend = backend or backend_in(folder)
    if backend is Backend.TFIDF:
        return Kind.TFIDF
    if backend in (Backend.ONNX, Backend.ONNX_TRANSLATOR):
        weights = read_object(folder / FACTS_FILE, ModelError).get("weights")
        return Kind.ONNX if weights == "float32" else Kind.QUANTIZED_ONNX
    if backend is Backend.CT2:
        return Kind.CT2
    return _kind_of_torch(read_config(folder))


def _kind_of_torch(config: ModelConfig) -> Kind:
    if config.quantized:
        return Kind.QUANTIZED
    if config.model_type == EarlyExitConfig.model_type:
        return Kind.EARLY_EXIT
    if config.content.get("dtype") in ("float16", "bfloat16"):
        return Kind.HALF
    if config.is_translator:
        return Kind.WARM_TRANSLATOR if config.model_type == "encoder-decoder" else Kind.TRANSLATOR
    return Kind.TORCH
