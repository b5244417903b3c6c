"""Kinds of saved models.

To add a kind, write a module in this package and add an instance to KINDS.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from kit.errors import MAKE_AGAIN, ModelError
from kit.models.backends.backend import WEIGHTS, Backend
from kit.models.checkpoints.config_file import CONFIG_FILE, read_config
from kit.models.kinds.adapter import Adapter
from kit.models.kinds.base import CardExample, SavedKind, refuse
from kit.models.kinds.ctranslate2 import Ct2Kind
from kit.models.kinds.form import STORED, Form
from kit.models.kinds.onnx_classifier import OnnxClassifier
from kit.models.kinds.onnx_translator import OnnxTranslatorKind
from kit.models.kinds.tfidf import TfidfKind
from kit.models.kinds.torch_classifier import TorchClassifier
from kit.models.kinds.torch_translator import TorchTranslator

KINDS: dict[str, SavedKind] = {
    kind.name: kind
    for kind in (
        TorchClassifier(),
        TorchTranslator(),
        OnnxClassifier(),
        OnnxTranslatorKind(),
        Ct2Kind(),
        TfidfKind(),
        Adapter(),
    )
}


def backend_of(files: Iterable[str], where: Path) -> Backend:
    """Return the backend of the model that consists of these files.

    Args:
        files: Paths relative to the model's folder.
        where: The folder, for messages.

    Raises:
        ModelError: If the files belong to no model, or to models of several backends.
    """
    names = {name for name in files if "/" not in name}
    marks = {kind.backend: kind.mark for kind in KINDS.values() if kind.mark in names}
    if Backend.ONNX_TRANSLATOR in marks:
        marks.pop(Backend.ONNX, None)
    if weights := sorted(filter(WEIGHTS.fullmatch, names)):
        marks[Backend.TORCH] = weights[0]
    if len(marks) > 1:
        raise ModelError(
            f"{where} has files of several models: {', '.join(sorted(marks.values()))}",
            "remove the files that do not belong to the model, or create the model again",
        )
    if not marks and CONFIG_FILE not in names:
        raise refuse(where)
    return next(iter(marks), Backend.TORCH)


def backend_in(folder: Path) -> Backend:
    """Return the backend of the model in a folder without a manifest.

    Raises ModelError, see `backend_of`.
    """
    return backend_of((path.name for path in folder.iterdir() if path.is_file()), folder)


def kind_in(folder: Path, backend: Backend | None = None) -> SavedKind:
    """Return the kind of the model in a folder.

    Args:
        folder: The model's folder.
        backend: Backend named in the model's manifest; None to detect it from the files.

    Raises:
        ModelError: If the folder does not contain a model.
    """
    backend = backend or backend_in(folder)
    kinds = [kind for kind in KINDS.values() if kind.backend is backend]
    if len(kinds) == 1:
        return kinds[0]
    if not (folder / CONFIG_FILE).is_file():
        raise refuse(folder)
    translates = read_config(folder).is_translator
    return next(kind for kind in kinds if kind.translates is translates)


def kind_of(form: Form, translates: bool) -> SavedKind:
    """Return the kind of translators or classifiers of a form."""
    return next(kind for kind in KINDS.values() if form in kind.forms and kind.translates is translates)


def form_of(folder: Path, backend: Backend | None = None) -> Form:
    """Return the form of the model saved in a folder.

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
    return kind_in(folder, backend).form(folder)


__all__ = [
    "KINDS",
    "STORED",
    "CardExample",
    "Form",
    "SavedKind",
    "backend_in",
    "backend_of",
    "form_of",
    "kind_in",
    "kind_of",
]
