"""Saved models whose files hold something else than was written, with hashes that fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from kit.errors import EXPORT_AGAIN, MAKE_AGAIN, ModelError, damage_words
from kit.runtime.file_types import MANIFEST_FILE, RECORD_FILE

_DAMAGE = (ArithmeticError, AttributeError, LookupError, OSError, SafetensorError, TypeError, ValueError)


@contextmanager
def loading(folder: Path) -> Iterator[None]:
    """Raise ModelError in the place of errors that follow from the content of a model's files."""
    try:
        yield
    except _DAMAGE as error:
        raise ModelError(f"the model in {folder} cannot be loaded: {damage_words(error)}", remedy(folder)) from error


def remedy(folder: Path) -> str:
    """Return what to do about a model's damaged folder: of a run, of an exported folder, or of neither."""
    if any((place / MANIFEST_FILE).is_file() for place in (folder, folder.parent)):
        return EXPORT_AGAIN
    return MAKE_AGAIN if (folder.parent / RECORD_FILE).is_file() else "download or copy it again"


def listed_labels(content: Mapping[str, Any], file: Path) -> tuple[str, ...]:
    """Return the label names in logit order. Raises ModelError unless id2label numbers them 0, 1, 2, ..."""
    names = content.get("id2label")
    numbers = [str(index) for index in range(len(names))] if isinstance(names, dict) else []
    if not numbers or not isinstance(names, dict) or set(names) != set(numbers):
        raise ModelError(f"{file} is damaged: id2label does not name the labels 0, 1, 2, ...", remedy(file.parent))
    return tuple(str(names[number]) for number in numbers)
