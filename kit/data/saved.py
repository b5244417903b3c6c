"""Folders that `save_to_disk` of the `datasets` library writes: a Dataset, or a DatasetDict with a folder per split."""

from __future__ import annotations

from pathlib import Path

from kit.data.table import Table
from kit.errors import DataError, first_line

_DATASET_FILE, _DICT_FILE = "state.json", "dataset_dict.json"


def is_saved(folder: Path) -> bool:
    """Return whether a folder holds one Dataset."""
    return (folder / _DATASET_FILE).is_file() and (folder / "dataset_info.json").is_file()


def saved_splits(folder: Path) -> dict[str, Path] | None:
    """Return the folder of each split ("" for a single Dataset); None for folders of another kind.

    Raises:
        DataError: A DatasetDict lists no split, or one that is missing.
    """
    if is_saved(folder):
        return {"": folder}
    if not (folder / _DICT_FILE).is_file():
        return None
    splits = {path.name: path for path in sorted(folder.iterdir()) if is_saved(path)}
    if not splits:
        raise DataError(f"{folder} has no split that is whole", "save it again with save_to_disk")
    return splits


def read_saved(folder: Path) -> Table:
    """Return the rows of a Dataset that `save_to_disk` wrote. Raises DataError if it is damaged."""
    from datasets import Dataset

    from kit.data.hub import to_table

    try:
        return to_table(Dataset.load_from_disk(str(folder)))
    except Exception as error:  # damaged files raise about every class of error
        message = f"{folder} cannot be read as a folder of save_to_disk: {first_line(error)}"
        raise DataError(message, "save it again with save_to_disk") from error
