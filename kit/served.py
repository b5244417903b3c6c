"""What answers texts: the model of a Record, or of an exported folder, with what is known of its texts and labels.

Knows both kinds of folders. Knows nothing of how models compute.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kit.errors import ModelError, RecordError
from kit.publishing.manifest import CARD_FILE, is_exported, read_manifest
from kit.recipe import Recipe
from kit.record import RECORD_FILE, Record


@dataclass(frozen=True)
class Served:
    """A model that is whole. name: the run's. text_columns: names of the texts of an example."""

    name: str
    model_folder: Path
    recipe: Recipe
    labels: tuple[str, ...]
    text_columns: tuple[str, ...]


def columns_of(folder: str | Path) -> tuple[str, ...]:
    """Names of the texts that the model in a folder takes, without a check of its files. Raises RecordError."""
    folder = Path(folder)
    if not (folder / RECORD_FILE).is_file():
        for place in (folder, folder.parent):
            if is_exported(place):
                return read_manifest(place, whole=False).text_columns
    return tuple(Record.read(folder).content["data"]["text_columns"])


def find_served(folder: str | Path) -> Served:
    """The model that a folder holds: a Record, an exported folder, or the folder of one of its formats.

    Raises RecordError if it is none of them, or damaged, ModelError for an adapter alone.
    """
    folder = Path(folder)
    if not (folder / RECORD_FILE).is_file():
        if is_exported(folder):
            return _exported(folder, folder)
        if is_exported(folder.parent):
            return _exported(folder.parent, folder)
    record = Record.load(folder)
    columns = tuple(record.content["data"]["text_columns"])
    return Served(record.id, record.model_folder, record.recipe, record.labels, columns)


def _exported(root: Path, folder: Path) -> Served:
    manifest = read_manifest(root)
    if folder != root and folder.name not in manifest.formats.values():
        raise RecordError(f"{folder} is no format of {root}", f"formats: {', '.join(manifest.formats)}")
    if (folder / "adapter_config.json").is_file():
        raise ModelError(
            f"{folder} is an adapter alone, which kit does not answer with",
            f"{root / CARD_FILE} says how peft does; `--format safetensors` exports all weights",
        )
    recipe = Recipe.model_validate(manifest.recipe)
    return Served(manifest.record, folder, recipe, manifest.labels, manifest.text_columns)
