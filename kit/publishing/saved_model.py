"""Saved models that can predict: the model of a Record or of an exported folder, with its recipe and labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kit.errors import ModelError, RecordError
from kit.measurement.selective import HeldOut
from kit.models.backends.backend import Backend
from kit.publishing.manifest import CARD_FILE, Manifest, read_manifest
from kit.recipe import Recipe
from kit.records.record import Record
from kit.runtime.file_types import MANIFEST_FILE, RECORD_FILE


@dataclass(frozen=True)
class Served:
    """A saved model whose files were checked.

    Attributes:
        name: Id of the run.
        model_folder: Folder of the model's files.
        backend: Library that runs the model.
        recipe: Recipe of the run.
        labels: Labels in the order of the logits.
        text_columns: Names of the texts of an example.
        held_out: Predictions for examples that the model was not trained on; None without any.
    """

    name: str
    model_folder: Path
    backend: Backend
    recipe: Recipe
    labels: tuple[str, ...]
    text_columns: tuple[str, ...]
    held_out: HeldOut | None = None


def find_served(folder: str | Path) -> Served:
    """Return the model in a Record, in an exported folder, or in the folder of one of its formats.

    Raises:
        RecordError: The folder is none of these, or is damaged.
        ModelError: The folder has an adapter without its base model.
    """
    folder = Path(folder)
    if not (folder / RECORD_FILE).is_file():
        for root in (folder, folder.parent):
            if (root / MANIFEST_FILE).is_file():
                return _exported(root, folder)
    record = Record.load(folder)
    recorded = record.content.settings.held_out
    return Served(
        record.id,
        record.model_folder,
        record.backend,
        record.recipe,
        record.labels,
        text_columns=record.content.data.text_columns,
        held_out=None if recorded is None else HeldOut(recorded.confidences, recorded.right),
    )


def _exported(root: Path, folder: Path) -> Served:
    manifest = read_manifest(root)
    place = "." if folder == root else folder.name
    name = next((name for name, inside in manifest.formats.items() if inside == place), None)
    if name is None:
        raise RecordError(f"{root} has no model in {folder.name}", f"it has {', '.join(_folders(manifest))}")
    backend = manifest.backends[name]
    if backend is Backend.ADAPTER:
        raise ModelError(
            f"{folder} is an adapter without its base model, which kit cannot predict with",
            f"{root / CARD_FILE} shows how to load it with peft; `--format safetensors` exports all weights",
        )
    recipe = Recipe.model_validate(manifest.recipe)
    return Served(
        manifest.record,
        folder,
        backend,
        recipe,
        manifest.labels,
        text_columns=manifest.text_columns,
        held_out=_held_out(manifest),
    )


def _held_out(manifest: Manifest) -> HeldOut | None:
    if not manifest.held_out:
        return None
    return HeldOut(tuple(manifest.held_out["confidences"]), tuple(manifest.held_out["right"]))


def _folders(manifest: Manifest) -> list[str]:
    """Return the formats of an exported folder and their places, for messages."""
    return [f"{name} in {'the folder itself' if place == '.' else place}" for name, place in manifest.formats.items()]
