"""Modules of the architectures of kit, which transformers loads as remote code from an exported folder."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from kit.models.checkpoints.config_file import read_config


@dataclass(frozen=True)
class OwnCode:
    """Module of an architecture of kit, which transformers loads as remote code.

    It does not import kit.

    Attributes:
        module: Name of the module.
        config_class: Name of the class of its configuration.
        model_class: Name of the class of the classifier.
    """

    module: str
    config_class: str
    model_class: str

    @property
    def file(self) -> Path:
        """File of the module."""
        return Path(str(getattr(find_spec(self.module), "origin", "")))


_ARCHITECTURES = "kit.models.architectures"
_OWN_CODE = {
    "kit_pooled": OwnCode(f"{_ARCHITECTURES}.pooled", "PooledConfig", "PooledClassifier"),
    "kit_cnn": OwnCode(f"{_ARCHITECTURES}.cnn_bilstm", "TextCnnConfig", "TextCnn"),
    "kit_bilstm": OwnCode(f"{_ARCHITECTURES}.cnn_bilstm", "BiLstmConfig", "BiLstm"),
}


def own_code(folder: Path) -> OwnCode | None:
    """Return the module that transformers needs for an architecture of kit.

    The result is None for other architectures.
    """
    return _OWN_CODE.get(read_config(folder).model_type)
