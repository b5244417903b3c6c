"""Arguments of `kit predict` as names of files or texts."""

from __future__ import annotations

from pathlib import Path

import pytest

from kit.errors import DataError
from kit.workflows.prediction.arguments import sort_arguments


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("a.csv", "my tickets.csv", "notes", "data/x.txt"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("text\none\n", "utf-8")
    return tmp_path


@pytest.mark.parametrize(
    "text",
    ["a fine film", "", " ", "what is this?", "Is it 3.5 or 4.0?", "https://example.com", "a\nb.csv",
     "It ends here.", "...", ":/", "5 * 3", "long " * 900, "word" * 900 + ".csv", "e.g.", "a@b.com!"],
)  # fmt: skip
def test_texts_are_texts(folder: Path, text: str) -> None:
    arguments = sort_arguments([text])
    assert arguments.texts == (text,) and not arguments.files and not arguments.notes


@pytest.mark.parametrize(
    "name",
    ["b.csv", "B.CSV", "my other tickets.csv", "texts.TXT", "b.csv.gz", "*.tsv", "data/*.csv", "data/y", "./b", "../b",
     "/tmp/nowhere/b", "~/nowhere-b", "C:\\b", "b.xlsx", "b.tmx", "x?.parquet", "b.csv ", "nowhere/"],
)  # fmt: skip
def test_names_of_missing_files_are_refused(folder: Path, name: str) -> None:
    with pytest.raises(DataError, match=r"there is no file|no file matches"):
        sort_arguments([name])
    with pytest.raises(DataError, match=r"there is no file|no file matches"):
        sort_arguments(["a fine film", name])


def test_files_keep_their_order(folder: Path) -> None:
    assert sort_arguments(["notes", "a.csv"]).files == (Path("notes"), Path("a.csv"))
    assert sort_arguments(["my tickets.csv"]).files == (Path("my tickets.csv"),)


@pytest.mark.parametrize("name", ["data", "./data", ".", "/"])
def test_a_folder_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(DataError, match="is a folder"):
        sort_arguments([name])


def test_texts_beside_files_are_refused(folder: Path) -> None:
    with pytest.raises(DataError, match=r"a\.csv is a file and 'a fine film' is not"):
        sort_arguments(["a fine film", "a.csv"])
    with pytest.raises(DataError, match="standard input"):
        sort_arguments(["a fine film", "-"])


def test_a_quoted_pattern_names_its_files(folder: Path) -> None:
    with pytest.raises(DataError, match="matches 2 files"):
        sort_arguments(["*.csv"])


@pytest.mark.parametrize("word", ["tickets.data1", "Node.js", "/shrug", "f***", "nowhere/x", "and/or"])
def test_a_word_like_a_file_name_gets_a_note(folder: Path, word: str) -> None:
    arguments = sort_arguments([word])
    assert arguments.texts == (word,)
    assert arguments.notes == (f"{word!r} is predicted as a text: there is no file of this name",)
