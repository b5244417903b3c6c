"""Folders written by `save_to_disk`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from kit.data.locate import Files, locate
from kit.data.readers import read_table
from kit.errors import DataError


def some_rows(count: int) -> Dataset:
    features = Features(
        {"text": Value("string"), "label": ClassLabel(names=["bad", "good"]), "score": Value("float32")}
    )
    rows = {"text": [f"text {i}" for i in range(count)], "label": [i % 2 for i in range(count)], "score": [0.1] * count}
    return Dataset.from_dict(rows, features=features)


def split_sizes(folder: Path) -> dict[str, int]:
    files = locate(str(folder), "data.source")
    assert isinstance(files, Files)
    return {split: len(read_table(*paths)) for split, paths in files.splits.items()}


def test_saved_dataset_is_read(tmp_path: Path) -> None:
    some_rows(4).save_to_disk(tmp_path / "one")
    assert split_sizes(tmp_path / "one") == {"": 4}
    table = read_table(tmp_path / "one")
    assert table.columns["label"] == ["bad", "good", "bad", "good"]
    assert table.columns["score"] == [0.1] * 4


def test_splits_of_a_saved_dataset_dict_are_read(tmp_path: Path) -> None:
    DatasetDict({"train": some_rows(4), "test": some_rows(2)}).save_to_disk(tmp_path / "all")
    assert split_sizes(tmp_path / "all") == {"test": 2, "train": 4}


def test_damaged_folders_are_an_error(tmp_path: Path) -> None:
    DatasetDict({"train": some_rows(4)}).save_to_disk(tmp_path / "all")
    (arrow,) = (tmp_path / "all" / "train").glob("*.arrow")
    arrow.write_bytes(arrow.read_bytes()[:200])
    with pytest.raises(DataError, match="cannot be read as a folder of save_to_disk"):
        split_sizes(tmp_path / "all")
    (tmp_path / "all" / "train" / "state.json").unlink()
    with pytest.raises(DataError, match="has no complete split"):
        split_sizes(tmp_path / "all")


@pytest.mark.parametrize("name", ["state.json", "dataset_info.json"])
def test_folder_that_lacks_a_file_is_an_error(tmp_path: Path, name: str) -> None:
    some_rows(4).save_to_disk(tmp_path / "one")
    (tmp_path / "one" / name).unlink()
    with pytest.raises(DataError, match=f"a folder of save_to_disk without {name}"):
        split_sizes(tmp_path / "one")


def test_incomplete_listed_split_is_an_error(tmp_path: Path) -> None:
    DatasetDict({"train": some_rows(4), "test": some_rows(2)}).save_to_disk(tmp_path / "all")
    (tmp_path / "all" / "test" / "state.json").unlink()
    with pytest.raises(DataError, match="the split 'test' is incomplete"):
        split_sizes(tmp_path / "all")


def test_data_files_outside_of_the_folder_are_an_error(tmp_path: Path) -> None:
    some_rows(4).save_to_disk(tmp_path / "one")
    state = tmp_path / "one" / "state.json"
    (arrow,) = (tmp_path / "one").glob("*.arrow")
    arrow.rename(tmp_path / arrow.name)
    for path in (f"../{arrow.name}", str(tmp_path / arrow.name)):
        state.write_text(json.dumps(json.loads(state.read_text()) | {"_data_files": [{"filename": path}]}))
        with pytest.raises(DataError, match="which is not in its folder"):
            split_sizes(tmp_path / "one")
