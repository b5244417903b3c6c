"""Classifier of torch as a predictor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from accelerate import PartialState
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kit.data.encode import encode
from kit.models.checkpoints.config_file import EARLY_EXIT_TYPE
from kit.models.checkpoints.loading import load_classifier
from kit.models.checkpoints.output_layer import divide_logits
from kit.models.checkpoints.tokenizers import load_tokenizer, longest_text, quiet, save_tokenizer
from kit.models.inference import predict_logits
from kit.models.predictor import Texts


class TransformerPredictor:
    """Classifier with its tokenizer and maximum length.

    Args:
        model: The classifier.
        tokenizer: Tokenizer of the texts.
        max_length: Maximum number of tokens of a text; longer texts are truncated.
        tokenizer_key: Hash of the tokenizer's files, the key for caching tokenized texts; None to cache none.
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

    def divide_logits(self, temperature: np.ndarray) -> bool:
        """Divide all logits, see `Calibratable`; False for quantized models and early exits."""
        if hasattr(self.model, "hf_quantizer") or self.model.config.model_type == EARLY_EXIT_TYPE:
            return False
        tokens = self.tokenizer("a", return_tensors="pt").to(self.model.device)
        accepted = self.tokenizer.model_input_names
        return divide_logits(
            self.model, temperature, tokens={name: tokens[name] for name in tokens if name in accepted}
        )

    def cut(self, texts: Texts) -> np.ndarray:
        """Return (n,) bool: True for texts that are truncated to the model's maximum length."""
        return encode(texts, self.tokenizer, self.max_length, self.tokenizer_key).truncated

    def save(self, folder: Path) -> None:
        """Save weights (safetensors), configuration with label names, and tokenizer with its maximum length."""
        with quiet():
            self.model.save_pretrained(folder)
        save_tokenizer(self.tokenizer, folder, self.max_length)

    @classmethod
    def load(cls, folder: Path, trusted: bool = False) -> TransformerPredictor:
        """Load what `save` wrote, on the best available device.

        Raises:
            ModelError: If it is damaged, or needs its own code and is not trusted.
        """
        model = load_classifier(folder, trusted)
        if not hasattr(model, "hf_quantizer"):  # quantized layers stay on the device that they were loaded on
            model.to(PartialState().device)
        tokenizer = load_tokenizer(folder, trusted)
        return TransformerPredictor(model, tokenizer, longest_text(tokenizer))
