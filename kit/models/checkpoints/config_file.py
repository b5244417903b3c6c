"""Configuration of a checkpoint or saved model: config.json, as transformers writes it, read and checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.errors import ModelError
from kit.runtime.json_files import read_object

CONFIG_FILE = "config.json"
EARLY_EXIT_TYPE = "kit_early_exit"  # model_type of a classifier with early exits
_TYPES: dict[str, tuple[type, str]] = {
    "model_type": (str, "text"),
    "architectures": (list, "a list"),
    "id2label": (dict, "an object"),
    "quantization_config": (dict, "an object"),
    "decoder": (dict, "an object"),
}


@dataclass(frozen=True)
class ModelConfig:
    """Content of a config.json, with properties for what kit needs to know before it loads the model.

    Attributes:
        content: Everything in the file; keys depend on the architecture.
    """

    content: dict[str, Any]

    @property
    def model_type(self) -> str:
        """Name of the architecture in transformers; empty if the file does not contain it."""
        return self.content.get("model_type") or ""

    @property
    def architectures(self) -> list[str]:
        """Names of the classes that the weights were saved from."""
        return [str(name) for name in self.content.get("architectures") or []]

    @property
    def is_translator(self) -> bool:
        """True for an encoder with a decoder."""
        return bool(self.content.get("is_encoder_decoder"))

    @property
    def quantized(self) -> bool:
        """True if the weights are saved quantized."""
        return "quantization_config" in self.content

    @property
    def shares_embeddings(self) -> bool:
        """True if the encoder and the decoder have the same table of embeddings."""
        return bool(self.content.get("share_encoder_decoder_embeddings", True))

    @property
    def decoder(self) -> dict[str, Any]:
        """Configuration of the decoder, which is the whole configuration unless the decoder has one."""
        return self.content.get("decoder") or self.content

    @property
    def prefix(self) -> str:
        """Text before every source text of a translator."""
        return str(self.content.get("prefix") or "")


def read_config(folder: Path, hint: str = "") -> ModelConfig:
    """Read the configuration of a model.

    Args:
        folder: The model's folder.
        hint: What the user can do about a damaged file.

    Raises:
        ModelError: The file is missing or damaged.
    """
    path = folder / CONFIG_FILE
    content = read_object(path, ModelError, hint)
    for key, (kind, words) in _TYPES.items():
        if not isinstance(content.get(key), kind | None):
            raise ModelError(f"{path} is damaged: {key} is not {words}", hint)
    return ModelConfig(content)
