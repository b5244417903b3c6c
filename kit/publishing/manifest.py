"""The manifest of an exported folder, `kit.json`: what is in it, and what a model must know beside its weights.

    exported/README.md       the model card
             kit.json        this
             ...             the first format's files: what `from_pretrained` and `kit predict` read
             <format>/...    those of each other format, whole in themselves

Knows the folder's layout and checks that it is whole.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from kit.errors import RecordError
from kit.files import file_sha256, write_atomically
from kit.recipe import Recipe
from kit.record import MANIFEST_FILE

CARD_FILE = "README.md"
_FORMAT = 1
_MEND = "export it again"


@dataclass(frozen=True)
class Manifest:
    """What an exported folder is.

    record: id of the run it was made of. how: how its model came about. recipe: the run's, without local paths. labels:
    in logit order. text_columns: names of the texts of an example. formats: folder of each inside the exported one.
    proven: what was proven of it, see `kit.publishing.again`.
    """

    record: str
    how: str
    recipe: dict[str, Any]
    labels: tuple[str, ...]
    text_columns: tuple[str, ...]
    formats: dict[str, str]
    proven: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write it, with the sha256 of every file of the folder but the card, which people may edit."""
        files = {
            path.relative_to(folder).as_posix(): file_sha256(path)
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.name not in (MANIFEST_FILE, CARD_FILE)
        }
        content = {"made_by": "kit", "format": _FORMAT, **asdict(self), "files": files}
        write_atomically(folder / MANIFEST_FILE, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def read_manifest(folder: Path, whole: bool = True) -> Manifest:
    """The manifest of an exported folder. whole: check that every file is the one that was written.

    Raises RecordError if there is none, or something was changed.
    """
    path = folder / MANIFEST_FILE
    try:
        content = json.loads(path.read_text("utf-8"))
        if content["format"] != _FORMAT:
            raise RecordError(f"{path} has format {content['format']}; this version of kit reads {_FORMAT}")
        files = dict(content["files"])
        Recipe.model_validate(content["recipe"])
        found = Manifest(
            record=str(content["record"]),
            how=str(content["how"]),
            recipe=content["recipe"],
            labels=tuple(content["labels"]),
            text_columns=tuple(content["text_columns"]),
            formats=dict(content["formats"]),
            proven=dict(content.get("proven", {})),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RecordError(f"{path} is damaged: {error}", _MEND) from error
    for name, expected in files.items() if whole else ():
        file = folder / name
        if not file.resolve().is_relative_to(folder.resolve()):
            raise RecordError(f"{path} names a file outside its folder: {name}", _MEND)
        if not file.is_file():
            raise RecordError(f"{folder} is damaged: {name} is missing", _MEND)
        if file_sha256(file) != expected:
            raise RecordError(f"{folder} is damaged: {name} was changed", _MEND)
    return found


def is_exported(folder: Path) -> bool:
    """Whether a folder was made by `kit export`."""
    try:
        return bool(json.loads((folder / MANIFEST_FILE).read_text("utf-8")).get("made_by") == "kit")
    except (OSError, ValueError, AttributeError):
        return False


def written_files(folder: Path) -> set[str] | None:
    """Paths of the files that `kit export` put into a folder, as its manifest says; None if it did not make it."""
    try:
        content = json.loads((folder / MANIFEST_FILE).read_text("utf-8"))
        return {*content["files"], MANIFEST_FILE, CARD_FILE} if content["made_by"] == "kit" else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
