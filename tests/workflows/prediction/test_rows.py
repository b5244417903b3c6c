"""Rows to predict from files and standard input: all rows in order, or an error with the line."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import pytest

from kit.data.reading import Reading
from kit.errors import DataError
from kit.workflows.prediction.rows import PredictionInput, from_files, from_standard_input

OBJECTS = '[\n  {\n    "text": "one"\n  },\n  {\n    "text": "two"\n  }\n]'


def texts(source: PredictionInput) -> list[str]:
    return [row.texts[0] for row in source.rows()]


def from_pipe(content: str | bytes, columns: tuple[str, ...] = ("text",), format: str | None = None) -> PredictionInput:
    data = content.encode() if isinstance(content, str) else content
    return from_standard_input(columns, Reading(), format, io.BytesIO(data))


@pytest.fixture
def read(tmp_path: Path):  # type: ignore[no-untyped-def]
    def read(name: str, content: str | bytes, columns: tuple[str, ...] = ("text",)) -> PredictionInput:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return from_files([path], columns, Reading())

    return read


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.json", OBJECTS, ["one", "two"]),
        ("a.json", '[{"text": "one"}, {"text": null}, {"text": 3}]', ["one", "", "3"]),
        ("A.JSONL", '  {"text": "one"}\n\n{"text": "two"}\n', ["one", "two"]),
        ("a.ndjson", '{\n "text": "one"\n}\n{\n "text": "two"\n}\n', ["one", "two"]),
        ("a.jsonl", '"one"\n"two"\n', ["one", "two"]),
        ("a.json", '["one", "two"]', ["one", "two"]),
        ("a.csv", "text\none\n\ntwo\n\n", ["one", "", "two", ""]),
        ("a.csv", 'text\none\n""\ntwo\n', ["one", "", "two"]),
        ("a.csv", "id,text\n1,one\n\n2,two\n\n", ["one", "", "two"]),
        ("a.csv", 'text\r\n"one\r\nmore"\r\n', ["one\r\nmore"]),
        ("a.csv", "text\na lovely\rlamp\ntwo\n", ["a lovely\rlamp", "two"]),
        ("my file.TSV", "text\tid\none, more\t1\n", ["one, more"]),
        ("a.txt", "one\rmore\r\n\ntwo\u2028\x85\x0b\x0c\n", ["one\rmore", "", "two\u2028\x85\x0b\x0c"]),
        ("a.txt", '\ufeff{"text": "one"}\n{"text": null}\n', ["one", ""]),
        ("a.txt", OBJECTS, ["one", "two"]),
        ("a.txt", "[1] one\n{two}\n", ["[1] one", "{two}"]),
        ("tickets", "one\n\n", ["one", ""]),
    ],
)
def test_a_file_and_a_pipe_have_the_same_rows(read, name: str, content: str, expected: list[str]) -> None:  # type: ignore[no-untyped-def]
    assert texts(read(name, content)) == expected
    assert texts(read(f"{name}.gz", gzip.compress(content.encode()))) == expected
    assert texts(from_pipe(content)) == expected
    assert texts(from_pipe(gzip.compress(content.encode()))) == expected


def test_parquet_is_read_from_a_file_and_a_pipe(read, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    import pandas as pd

    pd.DataFrame({"text": ["one", None, "two"], "id": [1, 2, 3]}).to_parquet(tmp_path / "a.parquet")
    content = (tmp_path / "a.parquet").read_bytes()
    assert texts(read("b.parquet", content)) == texts(from_pipe(content)) == ["one", "", "two"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '{"text": "one"}\n{"text": "two", }\n', "line 2: not valid JSON"),
        ("a.jsonl", '{"text": "one"}\n{"txt": "two"}\n', r"line 2: no key 'text' \(keys: txt\)"),
        ("a.json", '[{"text": "one"}, {"txt": "two"}]', r"item 2: no key 'text'"),
        ("a.json", '[\n{"text": "one"},\n{"text": "two",}\n]', "line 3: not valid JSON"),
        ("a.jsonl", '{"text": ["one"]}\n', "line 1: the value of 'text' is a list"),
        ("a.jsonl", '{"text": "one"}\n7\n', "line 2: expected an object, got int"),
        ("a.txt", 'one\n{"text": "two"}\n', "line 2 is a JSON object, but lines before it are not"),
        ("a.csv", "body,id\none,1\n", r"column 'text' is not in .* \(columns: body, id\)"),
        ("a.csv", "id,text\n1,one\n2\n", "line 3: 1 field where the header has 2"),
        ("a.txt", b"one\ncaf\xe9\n", "not UTF-8: byte 0xe9 in line 2"),
        ("a.xlsx", b"PK", r"kit does not read \.xlsx files"),
        ("a.tmx", "<tmx/>", r"kit does not read \.tmx files"),
        ("a.txt.gz", gzip.compress(b"one\n" * 1000, mtime=0)[:-12], "not a valid gzip file"),
    ],
)
def test_damaged_content_is_an_error_with_its_place(read, name: str, content: str | bytes, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(DataError, match=message):
        texts(read(name, content))


@pytest.mark.parametrize(
    ("content", "expected", "note"),
    [
        ("text\none\n", ["one"], "was read as CSV, because its first line names the column text"),
        ("id\ttext\n1\tone\n", ["one"], "was read as TSV"),
        ('"one"\n"two"\n', ["one", "two"], "one string per line"),
        ('["one", "two"]', ["one", "two"], "a JSON array of 2 strings"),
        ("one\rtwo", ["one\rtwo"], "carriage returns and no line feed"),
    ],
)
def test_a_guess_about_a_pipe_is_noted(content: str, expected: list[str], note: str) -> None:
    source = from_pipe(content)
    assert texts(source) == expected
    assert len(source.notes) == 1 and note in source.notes[0]
    if "\r" not in content:
        assert len(texts(from_pipe(content, format="text"))) == content.rstrip("\n").count("\n") + 1


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", ""),
        ("a.csv", ""),
        ("a.csv", "text\n"),
        ("a.json", "[]"),
        ("a.txt.gz", gzip.compress(b"", mtime=0)),
    ],
)
def test_nothing_to_predict_is_an_error(read, name: str, content: str | bytes) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(DataError, match=r"is empty|no rows"):
        read(name, content)
    with pytest.raises(DataError, match=r"standard input (is empty|has .*no rows)"):
        from_pipe(content)


@pytest.mark.parametrize("content", ['{"text": "one"}\n', '[{"text": "one"}]', "id,text\n1,one\n"])
def test_a_text_file_read_as_a_table_is_noted(read, content: str) -> None:  # type: ignore[no-untyped-def]
    source = read("a.txt", content)
    assert texts(source) == ["one"]
    assert source.notes[0].startswith(str(source.files[0])) and "--format text" in source.notes[0]


@pytest.mark.parametrize(
    ("name", "content", "hint"),
    [
        ("a.txt", '{"a": 1}\nplain\n', 'one object per line: {"text": "..."}; --format text predicts'),
        ("a.txt", "text, please\na lamp\n", "--format text predicts every line"),
        (
            "a.csv",
            "body,id\nthe lamp is lovely,1\nit never arrived,2\n",
            "rename the column 'body' to 'text', in the first",
        ),
        ("a.jsonl", '{"text": "one"}\n7\n', 'one object per line: {"text": "..."}'),
        ("a.csv", "text,id\none\n", "columns may be separated by a comma,"),
    ],
)
def test_hints_name_command_options(read, name: str, content: str, hint: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(DataError) as caught:
        read(name, content)
    assert hint in caught.value.hint and "data." not in caught.value.hint


def test_a_header_in_a_text_file_is_a_text_with_a_note(read) -> None:  # type: ignore[no-untyped-def]
    source = read("a.txt", "text\none\n")
    assert texts(source) == ["text", "one"] and "--format csv" in source.notes[0]


def test_nested_translations_are_read_by_their_source() -> None:
    content = '{"translation": {"en": "Two dogs.", "de": "Zwei Hunde."}}\n{"translation": {"en": "One."}}\n'
    assert texts(from_pipe(content, ("en",))) == ["Two dogs.", "One."]
    with pytest.raises(DataError, match="line 1: no key 'fr'"):
        from_pipe(content, ("fr",))


def test_pairs_of_texts_need_both_columns() -> None:
    pairs = from_pipe('{"premise": "a", "hypothesis": "b"}', ("premise", "hypothesis"))
    assert [row.texts for row in pairs.rows()] == [("a", "b")]
    with pytest.raises(DataError, match="reads premise and hypothesis together"):
        from_pipe("a\nb\n", ("premise", "hypothesis"))


def test_large_plain_text_is_a_stream(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("kit.workflows.prediction.rows._WHOLE_BYTES", 20)
    content = "\ufeffone\r\n\ntwo\rmore\n" + "word " * 10 + "\nlast"
    expected = ["one", "", "two\rmore", "word " * 10, "last"]
    path = tmp_path / "a.txt"
    path.write_text(content, "utf-8", newline="")
    for source in (from_pipe(content), from_files([path], ("text",), Reading())):
        assert source.count is None and texts(source) == expected
        assert [row.place for row in source.rows()][1:2] in ([], ["line 2"])
    assert texts(from_pipe('{"text": "one"}\n' * 5)) == ["one"] * 5


@pytest.mark.parametrize("mark", ["^", "~", "\x01"])
def test_unusual_separators_are_found_in_files_and_pipes(read, mark: str) -> None:  # type: ignore[no-untyped-def]
    content = "".join(f"{number}{mark}{text}\n" for number, text in (("ticket_id", "text"), *enumerate("abcd")))
    assert texts(read("a.csv", content)) == texts(from_pipe(content)) == [*"abcd"]


def test_hints_do_not_rename_the_first_text(read) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(DataError) as caught:
        read("a.csv", "good fun\nbad dull\nlovely day\n")
    assert caught.value.hint.startswith("add the line text above the first line of the file; --format text")
    with pytest.raises(DataError) as caught:
        read("a.csv", "T1,fine\nT2,a bad film\nT3,a good film\n")
    assert "if that line is an example, add a line with the names of the columns above it" in caught.value.hint


def test_columns_missing_in_some_files_are_listed(tmp_path: Path) -> None:
    paths = [tmp_path / "a.csv", tmp_path / "b.csv"]
    paths[0].write_text("text,id\none,1\n")
    paths[1].write_text("text\ntwo\n")
    assert from_files(paths, ["text"], Reading()).partial_columns == {"id": str(paths[1])}


def test_format_text_is_not_proposed_for_text_pairs(read) -> None:  # type: ignore[no-untyped-def]
    for content in ("premise,other\na,b\n", "premise,hypothesis\n"):
        with pytest.raises(DataError) as caught:
            read("a.csv", content, ("premise", "hypothesis"))
        assert "--format text" not in caught.value.hint
    piped = from_pipe("premise,hypothesis\na,b\n", ("premise", "hypothesis"))
    assert not any("--format text" in note for note in piped.notes)


def test_standard_input_in_utf16_names_a_pipe() -> None:
    with pytest.raises(DataError) as caught:
        from_pipe("a film".encode("utf-16"))
    assert caught.value.hint == "convert it: ... | iconv -f utf-16 -t utf-8 | kit predict RUN"
