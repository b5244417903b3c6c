"""Classifiers of torch, as transformers saves them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kit.errors import ModelError
from kit.models.backends.backend import Backend
from kit.models.checkpoints.config_file import CONFIG_FILE, EARLY_EXIT_TYPE, read_config
from kit.models.damage import listed_labels
from kit.models.kinds.base import CardExample, SavedKind
from kit.models.kinds.form import Form
from kit.models.kinds.own_code import OwnCode, own_code
from kit.models.predictor import Predictor

_QUANTIZED_BY = {"torchao": " torchao", "bitsandbytes": " bitsandbytes accelerate"}


class TorchClassifier(SavedKind):
    """Classifier of torch in 32 or 16 bits, quantized, or with early exits."""

    name = "transformers"
    backend = Backend.TORCH
    forms = (Form.TORCH, Form.HALF, Form.EARLY_EXIT, Form.QUANTIZED)
    packages = "transformers torch"
    hub_library = "transformers"

    def form(self, folder: Path) -> Form:
        """Return the form that the configuration describes."""
        if (form := saved_form(folder)) is not None:
            return form
        return Form.EARLY_EXIT if read_config(folder).model_type == EARLY_EXIT_TYPE else Form.TORCH

    def predictor(self) -> type[Any]:
        """Return the class of the predictor."""
        from kit.models.classifier import TransformerPredictor

        return TransformerPredictor

    def load(self, folder: Path, trusted: bool) -> Predictor:
        """Load the classifier; its own code runs only if it is trusted."""
        predictor: Predictor = self.predictor().load(folder, trusted)
        return predictor

    def label_names(self, folder: Path) -> tuple[str, ...]:
        """Return the labels in `config.json`."""
        return listed_labels(read_config(folder).content, folder / CONFIG_FILE)

    def format_name(self, folder: Path, run: str, source: str | None) -> str:
        """Return `safetensors`.

        Raise ModelError for early exits, and for a checkpoint with code of its own.
        """
        if self.form(folder) is Form.EARLY_EXIT:
            raise ModelError(
                f"{run} has early exits, which neither transformers nor a graph can load",
                f"export the run it was compressed from: {source}",
            )
        require_no_code(folder, run)
        return "safetensors"

    def arguments(self, folder: Path, form: Form) -> dict[str, Any]:
        """Return truncation, permission to run the code of an architecture of kit, and the type of the weights."""
        arguments: dict[str, Any] = {"truncation": True}
        if own_code(folder) is not None:
            arguments["trust_remote_code"] = True
        if form is Form.HALF:
            # The run was tested in float32; float16 is slow on CPUs without 16-bit arithmetic.
            arguments["dtype"] = "float32"
        return arguments

    def code(self, folder: Path) -> OwnCode | None:
        """Return the module of an architecture of kit; None for other architectures."""
        return own_code(folder)

    def requirements(self, folder: Path) -> str:
        """Return the packages, with the package that quantized the weights."""
        return self.packages + quantizer(folder)

    def example(self, card: CardExample) -> str:
        """Return code for transformers' pipeline."""
        arguments = "".join(f", {name}={value!r}" for name, value in card.arguments.items())
        all_labels = ", top_k=None" if card.multi_label else ""
        return (
            "from transformers import pipeline\n"
            f'classify = pipeline("text-classification", "{card.place}"{arguments})\n'
            f"print(classify({pipeline_input(card)}{all_labels}))"
        )


def require_no_code(folder: Path, run: str) -> None:
    """Raise ModelError if a model needs the code of its checkpoint."""
    if "auto_map" in read_config(folder).content:
        raise ModelError(
            f"{run} needs the code of its checkpoint, which kit does not publish",
            "export a graph instead: --format onnx",
        )


def saved_form(folder: Path) -> Form | None:
    """Return the form of a quantized model or one in 16 bits; None for other models."""
    config = read_config(folder)
    if config.quantized:
        return Form.QUANTIZED
    # A model with early exits has that form in any precision.
    half = config.content.get("dtype") in ("float16", "bfloat16") and config.model_type != EARLY_EXIT_TYPE
    return Form.HALF if half else None


def quantizer(folder: Path) -> str:
    """Return the package that quantized an exported model, after a space.

    The result is empty for other models.
    """
    config = folder / CONFIG_FILE
    content = read_config(folder).content if config.is_file() else {}
    return _QUANTIZED_BY.get((content.get("quantization_config") or {}).get("quant_method", ""), "")


def pipeline_input(card: CardExample) -> str:
    """Return the input of a pipeline, as Python code."""
    return '{"text": "a text", "text_pair": "another"}' if card.reads_pairs else '"a text"'
