"""The manifest of an exported folder, `kit.json`: what is in it, and what a model must know beside its weights.

    exported/README.md       the model card
             kit.json        this
             ...             the first format's files: what `from_pretrained` and `kit predict` read
             <format>/...    those of each other format, whole in themselves

Knows the folder's layout and checks that it is whole.
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
_UNSEALED = 1  # format of earlier versions, without the manifest's own hash and the backends
_MEND = "export it again"
_SHOWN = 5
_OF_TOOLS = (".git", ".gitattributes", ".gitignore", ".cache")  # what git and the Hub's client put beside the files
# Files that no library reads with a model: what people write about it.
_DOCUMENTS = re.compile(r"(LICEN[CS]E|NOTICE|CITATION)(\.(txt|cff))?|[^/]+\.(md|png|jpe?g|gif|svg|pdf)", re.IGNORECASE)


@dataclass(frozen=True)
class Manifest:
    """What an exported folder is.

    record: id of the run it was made of. how: how its model came about. recipe: the run's, without local paths. labels:
    in logit order. text_columns: names of the texts of an example. formats: folder of each inside the exported one.
    backends: library that runs each format. proven: what was proven of it, see `kit.publishing.reuse`.
    """

    record: str
    how: str
    recipe: dict[str, Any]
    labels: tuple[str, ...]
    text_columns: tuple[str, ...]
    formats: dict[str, str]
    backends: dict[str, Backend]
    proven: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write kit.json with its own hash and that of every file except the card, which people may edit."""
        files = {
            name: file_sha256(path)
            for name, path in regular_files(folder).items()
            if name not in (MANIFEST_FILE, CARD_FILE)
        }
        content = sealed({"made_by": "kit", "format": _FORMAT, **asdict(self), "files": files})
        write_atomically(folder / MANIFEST_FILE, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def read_manifest(folder: Path, whole: bool = True) -> Manifest:
    """Return the manifest of an exported folder, checked by its own hash.

    whole: Check that the folder consists of the files that were written, except for what git, the Hub's client and
    people put beside them, and no library reads.

    Raises RecordError if there is no manifest, it or a file was changed, or a file is missing or unknown.
    """
    path = folder / MANIFEST_FILE
    content = read_object(path, hint=_MEND)
    if content.get("made_by") != "kit":
        raise RecordError(f"{path} was not written by `kit export`", _MEND)
    _require_vouched(path, content)
    require_types(path, content, ManifestContent, _MEND)
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
    )
    for name in content["files"]:
        plain_path(name, f"{path}: files")
    if whole:
        _require_exact(folder, content["files"])
    return manifest


def written_files(folder: Path) -> set[str] | None:
    """Return the paths of the files that `kit export` put into a folder; None if its manifest does not vouch for them.

    Manifests of earlier versions have no hash of their own; their lists are good enough to replace a folder by.
    """
    path = folder / MANIFEST_FILE
    try:
        content = read_object(path)
        if content["made_by"] != "kit":
            return None
        if content["format"] != _UNSEALED:
            _require_vouched(path, content)
        return {plain_path(name, f"{path}: files") for name in content["files"]} | {MANIFEST_FILE, CARD_FILE}
    except (OSError, ValueError, KeyError, TypeError, RecursionError, RecordError):
        return None


def _require_vouched(path: Path, content: dict[str, Any]) -> None:
    """Raise RecordError if a manifest is of another format or was changed."""
    if content.get("format") == _UNSEALED:
        raise RecordError(f"{path} was written by an earlier version of kit, without a hash of its own", _MEND)
    require_format(path, content, _FORMAT, _MEND)
    require_seal(path, content, _MEND)


def _require_recipe(path: Path, content: object) -> None:
    """Raise RecordError if a manifest's recipe is not one."""
    try:
        Recipe.model_validate(content)
    except ValueError as error:
        raise RecordError(f"{path} is damaged: its recipe is not valid", _MEND) from error


def _backends(path: Path, content: dict[str, Any]) -> dict[str, Backend]:
    """Return the library that runs each format. Raises RecordError where kit.json names none."""
    try:
        return {name: Backend(content["backends"][name]) for name in content["formats"]}
    except (KeyError, ValueError) as error:
        raise RecordError(f"{path} is damaged: backends does not name the library of each format", _MEND) from error


def _folders(path: Path, formats: dict[str, str]) -> dict[str, str]:
    """Return the folder of each format. Raises RecordError for one outside the exported folder."""
    for name, folder in formats.items():
        plain_name(name, f"{path}: formats")
        if folder != ".":
            plain_name(folder, f"{path}: formats")
    return dict(formats)


def _require_exact(folder: Path, files: dict[str, str]) -> None:
    """Raise RecordError if a listed file is missing or changed, or a file is there that is not listed."""
    present = regular_files(folder, skip=_OF_TOOLS, listed=files)
    for name, expected in files.items():
        if name not in present:
            raise RecordError(f"{folder} is damaged: {name} is missing", _MEND)
        if file_sha256(present[name]) != expected:
            raise RecordError(f"{folder} is damaged: {name} was changed", _MEND)
    unlisted = sorted(name for name in set(present) - set(files) - {MANIFEST_FILE} if not _DOCUMENTS.fullmatch(name))
    if unlisted:
        raise RecordError(
            f"{folder} has files that {MANIFEST_FILE} does not list: {', '.join(unlisted[:_SHOWN])}",
            f"move them out of the folder, or {_MEND}",
        )
