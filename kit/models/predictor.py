"""Predictors: a fitted model with all it needs to answer, and how it is kept on disk.

Knows how fitted models are saved and loaded. Knows nothing of how they were fitted.
"""

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
from kit.models.checkpoints.loading import load_classifier, load_tokenizer, longest_text, quiet, save_tokenizer
from kit.models.damage import listed_labels, loading, remedy
from kit.models.inference import predict_logits
from kit.models.translation.translator import Translator
from kit.runtime.json_files import read_object

Texts = list[tuple[str, ...]]


class Predictor(Protocol):
    """What every fitted model can do."""

    @property
    def parameters(self) -> int:
        """Number of weights."""

    @property
    def depends_on_batch(self) -> bool:
        """Whether an answer depends on the texts that are answered beside it."""

    def outputs(self, texts: Texts) -> np.ndarray:
        """One row a text: of a classifier (n, labels) float32 logits, of a translator (n,) strings."""

    def cut(self, texts: Texts) -> np.ndarray:
        """(n,) bool: which texts are longer than the model reads."""

    def save(self, folder: Path) -> None:
        """Write everything that `load_predictor` needs into a folder."""


class TransformerPredictor:
    """A classifier with its tokenizer and longest length."""

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
        """Whether an answer may depend on the texts that are answered beside it: where activations are rounded."""
        return hasattr(self.model, "hf_quantizer")

    def outputs(self, texts: Texts, bf16: bool = False) -> np.ndarray:
        """(n, labels) float32, one row a text. bf16: see `inference.run_batches`."""
        encoded = encode(texts, self.tokenizer, self.max_length, self.tokenizer_key)
        return predict_logits(self.model, encoded, self.tokenizer, bf16)

    def cut(self, texts: Texts) -> np.ndarray:
        """(n,) bool: which texts are longer than the model reads."""
        return encode(texts, self.tokenizer, self.max_length, self.tokenizer_key).truncated

    def save(self, folder: Path) -> None:
        """Weights (safetensors), configuration with label names, tokenizer with its longest length."""
        with quiet():
            self.model.save_pretrained(folder)
        save_tokenizer(self.tokenizer, folder, self.max_length)


def load_predictor(folder: Path, trusted: bool = False, backend: Backend | None = None) -> Predictor:
    """Load the fitted model saved in a folder, on the best device there is.

    Args:
        folder: The model's folder.
        trusted: Whether the model may run code of its own.
        backend: Library that runs the model, as its manifest names it; None for a folder that has no manifest.

    Raises:
        ModelError: If the model needs code and is not trusted, is damaged, or is not one that kit can load.
    """
    _require_kept(folder)
    with loading(folder):
        return _load(folder, trusted, backend or backend_in(folder))


def _load(folder: Path, trusted: bool, backend: Backend) -> Predictor:
    if backend in _LOADERS:
        return _LOADERS[backend](folder)
    if backend is Backend.ADAPTER or not (folder / "config.json").is_file():
        raise ModelError(f"{folder} holds no model that kit can load")
    if read_object(folder / "config.json", ModelError).get("is_encoder_decoder"):
        return Translator.load(folder)
    model = load_classifier(folder, trusted)
    if not hasattr(model, "hf_quantizer"):  # layers in few bits are where they were loaded
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
    """Return the label names in logit order, as saved with the model; none for a translator.

    Raises ModelError if the model was not kept.
    """
    _require_kept(folder)
    backend = backend or backend_in(folder)
    if backend in (Backend.CT2, Backend.ONNX_TRANSLATOR):
        return ()
    file = folder / (TFIDF_FILE if backend is Backend.TFIDF else "config.json")
    content = read_object(file, ModelError)
    if content.get("is_encoder_decoder"):
        return ()  # a translator
    return listed_labels(content, file)


def require_labels(folder: Path, labels: tuple[str, ...], backend: Backend | None = None) -> None:
    """Raise ModelError if the model saved in a folder decides between other labels, or in another order."""
    found = label_names(folder, backend)
    if found != labels:
        raise ModelError(
            f"{folder} decides between {in_line(found)}, its Record between {in_line(labels)}",
            f"one of them was changed: {remedy(folder)}",
        )


def _require_kept(folder: Path) -> None:
    if not folder.is_dir():
        raise ModelError(
            f"{folder} is not there: this run kept no model",
            "it is of a study with `keep_models: false`; set that to true, and start the study again",
        )
