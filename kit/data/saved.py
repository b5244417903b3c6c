"""Folders written by `save_to_disk` of the `datasets` library: a Dataset, or a DatasetDict with a folder per split."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kit.data.table import Table
from kit.errors import DataError, first_line

_DATASET_FILE, _INFO_FILE, _DICT_FILE = "state.json", "dataset_info.json", "dataset_dict.json"
METADATA = (_DATASET_FILE, _INFO_FILE, _DICT_FILE, "dataset_infos.json")  # JSON files without examples
_SAVE_AGAIN = "save it again with save_to_disk"


def is_saved(folder: Path) -> bool:
    """Return whether a folder holds a single Dataset."""
    return (folder / _DATASET_FILE).is_file() and (folder / _INFO_FILE).is_file()


def saved_splits(folder: Path) -> dict[str, Path] | None:
    """Return the folder of each split ("" for a single Dataset).

    The result is None for folders of another kind.

    Raises:
        DataError: A Dataset lacks a file, or a DatasetDict has no split or lacks a split that it lists.
    """
    if is_saved(folder):
        return {"": folder}
    if not (folder / _DICT_FILE).is_file():
        _refuse_partial(folder)
        return None
    splits = {path.name: path for path in sorted(folder.iterdir()) if is_saved(path)}
    if not splits:
        raise DataError(f"{folder} has no complete split", _SAVE_AGAIN)
    listed = _content(folder / _DICT_FILE).get("splits")
    lacking = [name for name in listed if name not in splits] if isinstance(listed, list) else []
    if lacking:
        raise DataError(f"{folder}: the split {lacking[0]!r} is incomplete", _SAVE_AGAIN)
    return splits


def _refuse_partial(folder: Path) -> None:
    """Raise DataError for a folder of Arrow files that lacks a file of a saved Dataset."""
    lacking = [name for name in (_DATASET_FILE, _INFO_FILE) if not (folder / name).is_file()]
    if len(lacking) == 1 and any(folder.glob("*.arrow")):
        raise DataError(f"{folder} is a folder of save_to_disk without {lacking[0]}", _SAVE_AGAIN)


def _content(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read: {first_line(error)}", _SAVE_AGAIN) from error
    return content if isinstance(content, dict) else {}


def _refuse_outside(folder: Path) -> None:
    """Raise DataError if a folder names data files outside of the folder."""
    files = _content(folder / _DATASET_FILE).get("_data_files")
    for file in files if isinstance(files, list) else []:
        name = file.get("filename") if isinstance(file, dict) else None
        if not isinstance(name, str) or name in ("", "..") or "/" in name or "\\" in name:
            raise DataError(
                f"{folder / _DATASET_FILE} names the data file {name!r}, which is not in its folder", _SAVE_AGAIN
            )


def read_saved(folder: Path) -> Table:
    """Return the rows of a Dataset written by `save_to_disk`.

    Raise DataError if it is damaged.
    """
    from datasets import Dataset

    from kit.data.hub import to_table

    _refuse_outside(folder)
    try:
        return to_table(Dataset.load_from_disk(str(folder)))
    except Exception as error:  # damaged files raise errors of many classes
        message = f"{folder} cannot be read as a folder of save_to_disk: {first_line(error)}"
        raise DataError(message, _SAVE_AGAIN) from error
