"""Detection of the source whose examples changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from kit.data import Prepared, prepare
from kit.data.changes import RowCounts, changed_data
from kit.recipe import DataSection


def rows(start: int, stop: int) -> str:
    return "".join(f"a film that is number {i},{'good' if i % 2 else 'bad'}\n" for i in range(start, stop))


def write(path: Path, start: int, stop: int) -> str:
    path.write_text("text,label\n" + rows(start, stop), "utf-8")
    return str(path)


def recorded(data: Prepared) -> tuple[dict[str, str], RowCounts]:
    return data.fingerprints, data.audit


@pytest.mark.parametrize("form", ["files", "folder"])
@pytest.mark.parametrize(
    ("train", "test", "changed"),
    [
        ((0, 60), (100, 120), ()),
        ((0, 60), (100, 119), ("test",)),
        ((0, 59), (100, 120), ("train",)),
        ((0, 59), (100, 119), ("train", "test")),
        ((0, 60), (55, 75), ("test",)),  # the audit drops five training rows that are now in test
    ],
)
def test_changed_source_is_named(form: str, train, test, changed: tuple[str, ...], tmp_path: Path) -> None:
    paths = {name: tmp_path / f"{name}.csv" for name in ("train", "test")}
    for path, span in zip(paths.values(), ((0, 60), (100, 120)), strict=True):
        write(path, *span)
    places = (
        {"source": str(tmp_path)} if form == "folder" else {"source": str(paths["train"]), "test": str(paths["test"])}
    )
    section = DataSection(text="text", label="label", **places)
    before = recorded(prepare(section, 0))
    for path, span in zip(paths.values(), (train, test), strict=True):
        write(path, *span)
    words = changed_data(*before, prepare(section, 0))
    for name, path in paths.items():
        source = f"split '{name}' of {tmp_path}" if form == "folder" else str(path)
        named = f"the {name if name == 'test' else 'training'} examples ({source})"
        assert (named in words) is (name in changed)
    assert bool(words) is bool(changed)


def test_single_file_is_named_once(tmp_path: Path) -> None:
    section = DataSection(source=write(tmp_path / "all.csv", 0, 80), text="text", label="label")
    before = recorded(prepare(section, 0))
    assert changed_data(*before, prepare(section, 0)) == ""
    write(tmp_path / "all.csv", 0, 81)
    assert changed_data(*before, prepare(section, 0)) == str(tmp_path / "all.csv")
