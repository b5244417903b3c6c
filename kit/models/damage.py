"""Errors for saved models with invalid content, and hints on how to restore them."""

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
    """Replace errors caused by the content of a model's files by ModelError."""
    try:
        yield
    except _DAMAGE as error:
        raise ModelError(f"the model in {folder} cannot be loaded: {damage_words(error)}", remedy(folder)) from error


def remedy(folder: Path) -> str:
    """Return a hint on how to restore a damaged model: export, run, or copy it again."""
    if any((place / MANIFEST_FILE).is_file() for place in (folder, folder.parent)):
        return EXPORT_AGAIN
    return MAKE_AGAIN if (folder.parent / RECORD_FILE).is_file() else "download or copy it again"


def listed_labels(content: Mapping[str, Any], file: Path) -> tuple[str, ...]:
    """Return the label names of a configuration in logit order.

    Args:
        content: Content of a file with a table `id2label`.
        file: The file, for messages.

    Raises:
        ModelError: If the keys of `id2label` are not 0, 1, 2, ...
    """
    names = content.get("id2label")
    numbers = [str(index) for index in range(len(names))] if isinstance(names, dict) else []
    if not numbers or not isinstance(names, dict) or set(names) != set(numbers):
        raise ModelError(f"{file} is damaged: id2label does not name the labels 0, 1, 2, ...", remedy(file.parent))
    return tuple(str(names[number]) for number in numbers)
