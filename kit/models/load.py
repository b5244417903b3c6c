"""Loading of saved models of any kind, and of their label names."""

from __future__ import annotations

from pathlib import Path

from kit.data.label_words import in_line
from kit.errors import ModelError
from kit.models.backends.backend import Backend
from kit.models.damage import loading, remedy
from kit.models.kinds import kind_in
from kit.models.predictor import Predictor


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
        return kind_in(folder, backend).load(folder, trusted)


def label_names(folder: Path, backend: Backend | None = None) -> tuple[str, ...]:
    """Return the label names saved with a model, in logit order; empty for a translator.

    Raises:
        ModelError: If the model was not kept or its list of labels is damaged.
    """
    _require_kept(folder)
    return kind_in(folder, backend).label_names(folder)


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
