"""Data files of all formats."""

import gzip
import io
import json
import os
import random
import tracemalloc
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kit.data.class_labels import class_names
from kit.data.readers import parse_table, read_table
from kit.data.reading import DEFAULT_READING, Reading
from kit.errors import DataError


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refused(path: Path) -> DataError:
    with pytest.raises(DataError) as caught:
        read_table(path)
    return caught.value


def test_csv_values_are_unchanged_texts(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", '\ufefftext,label\n"null",NA\n007,\n\n"two\nlines, ""quoted""",x\r\n')
    assert read_table(path).columns == {
        "text": ["null", "007", 'two\nlines, "quoted"'],
        "label": ["NA", "", "x"],
    }


def test_gzip_with_semicolons_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv.gz", gzip.compress(b"text;label\na, b;1\n"))
    assert read_table(path).columns == {"text": ["a, b"], "label": ["1"]}


def test_long_texts_are_read(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", f"text,label\n{'word ' * 60_000},1\n")
    assert len(read_table(path).columns["text"][0]) == 300_000


def test_bare_quotes_in_tsv_are_text(tmp_path: Path) -> None:
    path = write(tmp_path / "x.tsv", 'text\tlabel\n"so it begins\t0\nand ends"\t1\n"x" and "y"\t1\n')
    assert read_table(path).columns["text"] == ['"so it begins', 'and ends"', '"x" and "y"']


def test_quoted_tsv_is_unquoted(tmp_path: Path) -> None:
    path = write(tmp_path / "x.tsv", 'text\tlabel\n"a ""b"" c"\t0\n"tab\tinside"\t1\n')
    assert read_table(path).columns["text"] == ['a "b" c', "tab\tinside"]


@pytest.mark.parametrize(
    ("row", "count"), [("one,two,three", 3), ("one", 1)], ids=["too many fields", "too few fields"]
)
def test_error_for_ragged_row_names_the_line(tmp_path: Path, row: str, count: int) -> None:
    path = write(tmp_path / "x.csv", f'text,label\n"over\ntwo lines",1\n{row}\n')
    error = refused(path)
    assert error.message == f"{path}, line 4: {count} field{'s' * (count > 1)} where the header has 2"
    assert "put fields that contain ',' in double quotes; if a comma does not separate" in error.hint


def test_error_for_open_quote_names_the_line(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", 'text,label\nfine,1\n"never closed,1\nfine,0\n')
    assert refused(path).message == f"{path}, line 3: a quote is opened and never closed"


@pytest.mark.parametrize("name", ["x.csv", "x.tsv", "x.jsonl", "x.parquet"])
def test_empty_file_is_an_error(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, "")
    assert refused(path).message == f"{path} is empty"


def test_header_without_rows_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", "text,label\n")
    assert refused(path).message == f"{path} has a header and no rows"


def test_repeated_column_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", "text,text\na,b\n")
    assert refused(path).message == f"{path} has two columns named 'text'"


def test_error_for_other_encoding_names_line_and_byte(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", "text,label\nfine,1\ncafé,0\n".encode("latin1"))
    error = refused(path)
    assert error.message == f"{path} is not UTF-8: byte 0xe9 in line 3 (byte 21 of the file)"
    assert error.hint.startswith("convert it: iconv -f latin1 -t utf-8")
    path = write(tmp_path / "y.csv", "text,label\na,1\n".encode("utf-16"))
    assert refused(path).message == f"{path} is not UTF-8 but UTF-16"


def test_json_lines_keep_types(tmp_path: Path) -> None:
    rows = [{"text": "a\u2028b", "label": 1}, {"text": None, "label": ["x", "y"], "extra": True}]
    path = write(tmp_path / "x.jsonl", "\n\n".join(json.dumps(row, ensure_ascii=False) for row in rows))
    assert read_table(path).columns == {
        "text": ["a\u2028b", None], "label": [1, ["x", "y"]], "extra": [None, True]
    }  # fmt: skip
    assert read_table(write(tmp_path / "x.json", json.dumps(rows))).columns["label"] == [1, ["x", "y"]]


def test_error_for_bad_json_names_the_line(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", '{"text": "a"}\n{"text": \n')
    assert refused(path).message.startswith(f"{path}, line 2: not valid JSON: Expecting value")
    path = write(tmp_path / "y.jsonl", '{"text": "a"}\n3\n')
    assert refused(path).message == f"{path}, line 2: expected an object, got int"


def test_parquet_class_numbers_become_names(tmp_path: Path) -> None:
    features = {
        "label": {"names": ["bad", "good"], "_type": "ClassLabel"},
        "tags": {"feature": {"names": ["x", "y"], "_type": "ClassLabel"}, "_type": "List"},
    }
    table = pa.table({"text": ["a", "b", "c"], "label": [1, 0, -1], "tags": [[0, 1], [], [1]]})
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    pq.write_table(table.replace_schema_metadata(metadata), tmp_path / "x.parquet")
    assert read_table(tmp_path / "x.parquet").columns == {
        "text": ["a", "b", "c"], "label": ["good", "bad", None], "tags": [["x", "y"], [], ["y"]]
    }  # fmt: skip
    assert class_names({"dtype": "int64", "_type": "Value"}) is None


def test_damaged_and_unknown_files_are_an_error(tmp_path: Path) -> None:
    path = write(tmp_path / "x.parquet", b"PAR1 and then nothing")
    assert refused(path).message.startswith(f"{path} is not a valid Parquet file: ")
    path = write(tmp_path / "x.csv.gz", gzip.compress(b"text,label\na,1\n")[:-9])
    assert refused(path).message.startswith(f"{path} is not a valid gzip file: ")
    path = write(tmp_path / "x.xlsx", b"x")
    assert refused(path).message == f"{path} is not in a format that kit reads"


def test_line_separator_inside_a_tsv_text_is_text(tmp_path) -> None:
    path = tmp_path / "x.tsv"
    path.write_text('text\tlabel\n"quoted" he said\u2028and left\ta\nplain\tb\n', "utf-8")
    assert read_table(path).columns["text"] == ['"quoted" he said\u2028and left', "plain"]


def test_half_characters_in_json_become_replacement_characters(tmp_path: Path) -> None:
    lines = [r'{"text": "a \ud83d lamp", "label": "x"}', r'{"text": "a \ud83d\ude00", "label": ["\udc00", "y"]}']
    table = read_table(write(tmp_path / "x.jsonl", "\n".join(lines)))
    assert table.columns == {"text": ["a \ufffd lamp", "a \U0001f600"], "label": ["x", ["\ufffd", "y"]]}
    note = "2 halves of characters were read as U+FFFD, the first in line 1 (lone surrogates)"
    assert table.notes == (f"{tmp_path / 'x.jsonl'}: {note}",)
    assert (
        read_table(write(tmp_path / "x.json", f"[{','.join(lines)}]")).notes[0].endswith("in item 1 (lone surrogates)")
    )


@pytest.mark.parametrize("value", ["[" * 500 + "]" * 500, "[" * 99_999, '{"a":' * 500 + "1" + "}" * 500])
def test_deeply_nested_json_is_an_error(tmp_path: Path, value: str) -> None:
    path = write(tmp_path / "x.jsonl", f'{{"text": "a"}}\n{{"text": "b", "label": {value}}}\n')
    assert refused(path).message == f"{path}, line 2: lists and objects are nested more than 100 levels deep"


def test_repeated_names_are_an_error_in_every_format(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", '{"text": "a"}\n{"text": "b", "text": "c"}\n')
    assert refused(path).message == f"{path}, line 2 has two columns named 'text'"
    path = write(tmp_path / "x.json", '[{"text": "b", "text": "c"}]')
    assert refused(path).message == f"{path} has two columns named 'text'"
    pq.write_table(pa.Table.from_arrays([pa.array(["a"])] * 2, ["text", "text"]), tmp_path / "x.parquet")
    assert refused(tmp_path / "x.parquet").message == f"{tmp_path / 'x.parquet'} has two columns named 'text'"


def test_appended_json_files_are_read(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", '\ufeff{"text": "a"}\n\n\ufeff{"text": "b"}\n')
    table = read_table(path)
    assert (table.columns["text"], table.place(1), table.blank) == (["a", "b"], "line 3", (2,))


def test_error_for_bad_json_item_names_the_line(tmp_path: Path) -> None:
    path = write(tmp_path / "x.json", '[{"text": "a"},\n{"text": "b",}]')
    assert refused(path).message.startswith(f"{path}, line 2: not valid JSON: Expecting property name")


@pytest.mark.parametrize("kind", [pa.float32(), pa.list_(pa.float32()), pa.float64()])
def test_floats_of_parquet_are_read_as_written(tmp_path: Path, kind: pa.DataType) -> None:
    values = [[0.1], [0.3], None] if pa.types.is_list(kind) else [0.1, 0.3, None]
    pq.write_table(pa.table({"label": pa.array(values, kind)}), tmp_path / "x.parquet")
    assert read_table(tmp_path / "x.parquet").columns["label"] == values


def test_error_for_broken_parquet_text_names_the_row(tmp_path: Path) -> None:
    buffers = pa.array([b"fine", b"caf\xe9"]).buffers()
    pq.write_table(pa.table({"text": pa.Array.from_buffers(pa.string(), 2, buffers)}), tmp_path / "x.parquet")
    assert refused(tmp_path / "x.parquet").message == f"{tmp_path / 'x.parquet'}, row 2: column 'text' is not UTF-8"


def test_damaged_parquet_raises_only_data_errors() -> None:
    stream = io.BytesIO()
    pq.write_table(pa.table({"text": [f"text {i}" for i in range(50)], "label": [0, 1] * 25}), stream)
    whole, chance = stream.getvalue(), random.Random(0)
    for _ in range(60):
        damaged = bytearray(whole)
        for _ in range(chance.choice([1, 3, 20])):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        with suppress(DataError):
            parse_table(bytes(damaged), "x.parquet", ".parquet")


def peak_bytes(path: Path, reading: Reading) -> int:
    """Return the peak memory of Python and Arrow while reading a file raises an error."""
    pool = pa.default_memory_pool()
    before = pool.max_memory()
    tracemalloc.start()
    try:
        with pytest.raises(DataError) as caught:
            read_table(path, reading)
        assert "unpacks to more than" in caught.value.message
        assert caught.value.hint == "if you trust the file, set data.max_bytes to the size that it may unpack to"
        return tracemalloc.get_traced_memory()[1] + pool.max_memory() - before
    finally:
        tracemalloc.stop()


def test_small_gzip_cannot_fill_the_memory(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv.gz", gzip.compress(b"text,label\n" + b"a" * 20_000_000 + b",1\n", 1))
    assert peak_bytes(path, Reading(max_bytes=1_000_000)) < 6_000_000
    assert "unpacks to more than 16,000,000" in refused(path).message


def test_limit_on_unpacking_can_be_raised(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv.gz", gzip.compress(b"text,label\n" + b"a,b\n" * 10))
    assert len(read_table(path, Reading(max_bytes=51))) == 10
    with pytest.raises(DataError, match="unpacks to more than 50"):
        read_table(path, Reading(max_bytes=50))


def test_small_parquet_cannot_fill_the_memory(tmp_path: Path) -> None:
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 200, pa.int32()), pa.array(["a" * 900_000]))
    pq.write_table(pa.table({"text": texts}), tmp_path / "x.parquet", store_schema=False)  # holds the text once
    assert peak_bytes(tmp_path / "x.parquet", DEFAULT_READING) < 20_000_000
    pq.write_table(pa.table({"text": ["a" * 9_000] * 300}), tmp_path / "y.parquet", use_dictionary=False)
    assert peak_bytes(tmp_path / "y.parquet", Reading(max_bytes=1_000_000)) < 5_000_000


@pytest.mark.parametrize("name", ["x.csv", "x.parquet", "x.jsonl.gz"])
def test_folder_or_pipe_instead_of_a_file_is_an_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / name).mkdir()
    assert refused(tmp_path / "folder" / name).message.endswith(f"{name} is a folder")
    os.mkfifo(tmp_path / name)
    assert refused(tmp_path / name).message.endswith(f"{name} is not a regular file")


def test_content_without_a_file_is_read() -> None:
    assert parse_table(gzip.compress(b"text\na\n"), "standard input", ".csv").columns == {"text": ["a"]}
    with pytest.raises(DataError, match=r"standard input, line 2: not valid JSON"):
        parse_table(b'{"text": "a"}\nb', "standard input", ".jsonl")
