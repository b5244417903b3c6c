"""Predictors: fitted models with everything that predictions need; saving and loading them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
from accelerate import PartialState
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kit.data.encode import encode
from kit.data.label_words import in_line
from kit.errors import ModelError
from kit.models.backends.backend import Backend, backend_in
from kit.models.backends.ctranslate2 import Ct2Translator
from kit.models.backends.onnx import OnnxPredictor
from kit.models.backends.onnx_translator import OnnxTranslator
from kit.models.backends.tfidf import FILE as TFIDF_FILE
from kit.models.backends.tfidf import TfidfPredictor
from kit.models.checkpoints.config_file import CONFIG_FILE, read_config
from kit.models.checkpoints.loading import load_classifier
from kit.models.checkpoints.tokenizers import load_tokenizer, longest_text, quiet, save_tokenizer
from kit.models.damage import listed_labels, loading, remedy
from kit.models.inference import predict_logits
from kit.models.translation.translator import Translator
from kit.runtime.json_files import read_object

Texts = list[tuple[str, ...]]


class Predictor(Protocol):
    """Interface of every fitted model."""

    @property
    def parameters(self) -> int:
        """Number of weights."""

    @property
    def depends_on_batch(self) -> bool:
        """True if a prediction can depend on the other texts of its batch."""

    def outputs(self, texts: Texts) -> np.ndarray:
        """Return a row per text: (n, labels) float32 logits of a classifier, or (n,) strings of a translator."""

    def cut(self, texts: Texts) -> np.ndarray:
        """Return (n,) bool: True for texts that are truncated to the model's maximum length."""

    def save(self, folder: Path) -> None:
        """Write everything that `load_predictor` needs into a folder."""


class TransformerPredictor:
    """Classifier with its tokenizer and maximum length.

    Args:
        model: The classifier.
        tokenizer: Tokenizer of the texts.
        max_length: Maximum number of tokens of a text; longer texts are truncated.
        tokenizer_key: Hash of the tokenizer's files, the key for caching tokenised texts; None to cache none.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        max_length: int,
        tokenizer_key: str | None = None,
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.tokenizer_key = tokenizer_key

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    @property
    def depends_on_batch(self) -> bool:
        """True if the model is quantized: rounded activations can depend on the other texts of the batch."""
        return hasattr(self.model, "hf_quantizer")

    def outputs(self, texts: Texts, bf16: bool = False) -> np.ndarray:
        """Return logits (n, labels) in float32; see `inference.run_batches` for `bf16`."""
        encoded = encode(texts, self.tokenizer, self.max_length, self.tokenizer_key)
        return predict_logits(self.model, encoded, self.tokenizer, bf16)

    def cut(self, texts: Texts) -> np.ndarray:
        """Return (n,) bool: True for texts that are truncated to the model's maximum length."""
        return encode(texts, self.tokenizer, self.max_length, self.tokenizer_key).truncated

    def save(self, folder: Path) -> None:
        """Save weights (safetensors), configuration with label names, and tokenizer with its maximum length."""
        with quiet():
            self.model.save_pretrained(folder)
        save_tokenizer(self.tokenizer, folder, self.max_length)


def load_predictor(folder: Path, trusted: bool = False, backend: Backend | None = None) -> Predictor:
    """Load the fitted model saved in a folder, on the best available device.

    Args:
        folder: The model's folder.
        trusted: Allow the model to run its own code.
        backend: Backend named in the model's manifest; None to detect it from the files.

    Raises:
        ModelError: If the model needs its own code and is not trusted, is damaged, or cannot be loaded by kit.
    """
    _require_kept(folder)
    with loading(folder):
        return _load(folder, trusted, backend or backend_in(folder))


def _load(folder: Path, trusted: bool, backend: Backend) -> Predictor:
    if backend in _LOADERS:
        return _LOADERS[backend](folder)
    if backend is Backend.ADAPTER or not (folder / CONFIG_FILE).is_file():
        raise ModelError(f"{folder} does not contain a model that kit can load")
    if read_config(folder).is_translator:
        return Translator.load(folder)
    model = load_classifier(folder, trusted)
    if not hasattr(model, "hf_quantizer"):  # quantized layers stay on the device that they were loaded on
        model.to(PartialState().device)
    tokenizer = load_tokenizer(folder, trusted)
    return TransformerPredictor(model, tokenizer, longest_text(tokenizer))


_LOADERS: dict[Backend, Callable[[Path], Predictor]] = {
    Backend.TFIDF: TfidfPredictor.load,
    Backend.ONNX: OnnxPredictor.load,
    Backend.ONNX_TRANSLATOR: OnnxTranslator.load,
    Backend.CT2: Ct2Translator.load,
}


def label_names(folder: Path, backend: Backend | None = None) -> tuple[str, ...]:
    """Return the label names saved with a model, in logit order; empty for a translator.

    Raises:
        ModelError: If the model was not kept or its list of labels is damaged.
    """
    _require_kept(folder)
    backend = backend or backend_in(folder)
    if backend in (Backend.CT2, Backend.ONNX_TRANSLATOR):
        return ()
    file = folder / (TFIDF_FILE if backend is Backend.TFIDF else CONFIG_FILE)
    content = read_object(file, ModelError)
    if content.get("is_encoder_decoder"):
        return ()  # a translator
    return listed_labels(content, file)


def require_labels(folder: Path, labels: tuple[str, ...], backend: Backend | None = None) -> None:
    """Raise ModelError if a saved model has other labels, or the same labels in another order."""
    saved = label_names(folder, backend)
    if saved != labels:
        raise ModelError(
            f"{folder} predicts the labels {in_line(saved)}, its Record lists {in_line(labels)}",
            f"one of them was changed: {remedy(folder)}",
        )


def _require_kept(folder: Path) -> None:
    if not folder.is_dir():
        raise ModelError(
            f"{folder} does not exist: this run kept no model",
            "its study has `keep_models: false`; set it to true and run the study again",
        )
