"""Manifest of an exported folder, `kit.json`: its files, and what a model needs beside its weights.

exported/README.md       the model card
         kit.json        the manifest
         ...             files of the first format, which `from_pretrained` and `kit predict` read
         <format>/...    files of each further format, complete in themselves
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from kit.errors import RecordError
from kit.models.backends.backend import Backend
from kit.recipe import Recipe
from kit.runtime.file_types import MANIFEST_FILE, ManifestContent, require_types
from kit.runtime.files import file_sha256, write_atomically
from kit.runtime.json_files import read_object, require_format
from kit.runtime.names import plain_name, plain_path, regular_files
from kit.runtime.seals import require_seal, sealed

CARD_FILE = "README.md"
_FORMAT = 2
_UNSEALED = 1  # format of earlier versions, which has no hash of the manifest and no backends
_EXPORT_AGAIN = "export it again"
_MAX_SHOWN = 5
_TOOL_FILES = (".git", ".gitattributes", ".gitignore", ".cache")  # files of git and of the Hub client
# Documents that people add to a model; no library reads them when it loads the model.
_DOCUMENTS = re.compile(r"(LICEN[CS]E|NOTICE|CITATION)(\.(txt|cff))?|[^/]+\.(md|png|jpe?g|gif|svg|pdf)", re.IGNORECASE)


@dataclass(frozen=True)
class Manifest:
    """Content of an exported folder.

    Attributes:
        record: Id of the exported run.
        how: Method, and the compression of the model.
        recipe: Recipe of the run, without local paths.
        labels: Labels in the order of the logits.
        text_columns: Names of the texts of an example.
        formats: Folder of each format, relative to the exported folder.
        backends: Library that runs each format.
        proven: Result of the verification, see `kit.publishing.reuse`.
        held_out: Confidences of held-out predictions, see `kit.records.content.RecordedHeldOut`; empty without any.
    """

    record: str
    how: str
    recipe: dict[str, Any]
    labels: tuple[str, ...]
    text_columns: tuple[str, ...]
    formats: dict[str, str]
    backends: dict[str, Backend]
    proven: dict[str, Any] = field(default_factory=dict)
    held_out: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write kit.json with a hash of itself and of every file except the card, which people may edit."""
        files = {
            name: file_sha256(path)
            for name, path in regular_files(folder).items()
            if name not in (MANIFEST_FILE, CARD_FILE)
        }
        content = sealed({"made_by": "kit", "format": _FORMAT, **asdict(self), "files": files})
        write_atomically(folder / MANIFEST_FILE, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def read_manifest(folder: Path, whole: bool = True) -> Manifest:
    """Return the manifest of an exported folder, checked against its own hash.

    Args:
        folder: Exported folder.
        whole: Whether to check that the folder consists of the exported files. Files of git and of the Hub client, and
            documents that people add, are ignored.

    Raises:
        RecordError: The manifest is missing, the manifest or a file was changed, or a file is missing or unlisted.
    """
    path = folder / MANIFEST_FILE
    content = read_object(path, hint=_EXPORT_AGAIN)
    if content.get("made_by") != "kit":
        raise RecordError(f"{path} was not written by `kit export`", _EXPORT_AGAIN)
    _require_intact(path, content)
    require_types(path, content, ManifestContent, hint=_EXPORT_AGAIN)
    _require_recipe(path, content["recipe"])
    manifest = Manifest(
        record=plain_name(content["record"], f"{path}: record"),
        how=content["how"],
        recipe=content["recipe"],
        labels=tuple(content["labels"]),
        text_columns=tuple(content["text_columns"]),
        formats=_folders(path, content["formats"]),
        backends=_backends(path, content),
        proven=content.get("proven", {}),
        held_out=content.get("held_out", {}),
    )
    for name in content["files"]:
        plain_path(name, f"{path}: files")
    if whole:
        _require_exact(folder, content["files"])
    return manifest


def written_files(folder: Path) -> set[str] | None:
    """Return the paths of the files that `kit export` wrote into a folder.

    The result is None without a valid manifest.

    Manifests of earlier versions have no hash of themselves. Their list of files is accepted here, as it only
    decides whether the folder may be replaced.
    """
    path = folder / MANIFEST_FILE
    try:
        content = read_object(path)
        if content["made_by"] != "kit":
            return None
        if content["format"] != _UNSEALED:
            _require_intact(path, content)
        return {plain_path(name, f"{path}: files") for name in content["files"]} | {MANIFEST_FILE, CARD_FILE}
    except (OSError, ValueError, KeyError, TypeError, RecursionError, RecordError):
        return None


def _require_intact(path: Path, content: dict[str, Any]) -> None:
    """Raise RecordError if a manifest has another format version or was changed."""
    if content.get("format") == _UNSEALED:
        raise RecordError(f"{path} was written by an earlier version of kit, without a hash of itself", _EXPORT_AGAIN)
    require_format(path, content, _FORMAT, hint=_EXPORT_AGAIN)
    require_seal(path, content, _EXPORT_AGAIN)


def _require_recipe(path: Path, content: object) -> None:
    """Raise RecordError if the recipe of a manifest is invalid."""
    try:
        Recipe.model_validate(content)
    except ValueError as error:
        raise RecordError(f"{path} is damaged: its recipe is not valid", _EXPORT_AGAIN) from error


def _backends(path: Path, content: dict[str, Any]) -> dict[str, Backend]:
    """Return the library that runs each format.

    Raise RecordError if kit.json does not name one.
    """
    try:
        return {name: Backend(content["backends"][name]) for name in content["formats"]}
    except (KeyError, ValueError) as error:
        raise RecordError(
            f"{path} is damaged: backends does not name the library of each format", _EXPORT_AGAIN
        ) from error


def _folders(path: Path, formats: dict[str, str]) -> dict[str, str]:
    """Return the folder of each format.

    Raise RecordError for a folder outside the exported folder.
    """
    for name, folder in formats.items():
        plain_name(name, f"{path}: formats")
        if folder != ".":
            plain_name(folder, f"{path}: formats")
    return dict(formats)


def _require_exact(folder: Path, files: dict[str, str]) -> None:
    """Raise RecordError if a listed file is missing or changed, or if the folder has an unlisted file."""
    present = regular_files(folder, skip=_TOOL_FILES, listed=files)
    for name, expected in files.items():
        if name not in present:
            raise RecordError(f"{folder} is damaged: {name} is missing", _EXPORT_AGAIN)
        if file_sha256(present[name]) != expected:
            raise RecordError(f"{folder} is damaged: {name} was changed", _EXPORT_AGAIN)
    unlisted = sorted(name for name in set(present) - set(files) - {MANIFEST_FILE} if not _DOCUMENTS.fullmatch(name))
    if unlisted:
        raise RecordError(
            f"{folder} has files that {MANIFEST_FILE} does not list: {', '.join(unlisted[:_MAX_SHOWN])}",
            f"move them out of the folder, or {_EXPORT_AGAIN}",
        )
