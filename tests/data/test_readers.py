import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kit.data.class_labels import class_names
from kit.data.readers import read_table
from kit.errors import DataError


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refused(path: Path) -> DataError:
    with pytest.raises(DataError) as caught:
        read_table(path)
    return caught.value


def test_csv_values_are_the_texts_in_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", '\ufefftext,label\n"null",NA\n007,\n\n"two\nlines, ""quoted""",x\r\n')
    assert read_table(path).columns == {
        "text": ["null", "007", 'two\nlines, "quoted"'],
        "label": ["NA", "", "x"],
    }


def test_semicolons_are_recognised_and_gzip_is_read(tmp_path: Path) -> None:
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
def test_ragged_rows_name_their_line(tmp_path: Path, row: str, count: int) -> None:
    path = write(tmp_path / "x.csv", f'text,label\n"over\ntwo lines",1\n{row}\n')
    error = refused(path)
    assert error.message == f"{path}, line 4: {count} field{'s' * (count > 1)} where the header has 2"
    assert error.hint.startswith("put fields that contain ',' in double quotes; if a comma does not separate")


def test_an_open_quote_names_its_line(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", 'text,label\nfine,1\n"never closed,1\nfine,0\n')
    assert refused(path).message == f"{path}, line 3: a quote is opened and never closed"


@pytest.mark.parametrize("name", ["x.csv", "x.tsv", "x.jsonl", "x.parquet"])
def test_empty_files(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, "")
    assert refused(path).message == f"{path} is empty"


def test_a_header_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", "text,label\n")
    assert refused(path).message == f"{path} has a header and no rows"


def test_a_doubled_column(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", "text,text\na,b\n")
    assert refused(path).message == f"{path} has two columns named 'text'"


def test_other_encodings_name_line_and_byte(tmp_path: Path) -> None:
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


def test_bad_json_lines_name_their_line(tmp_path: Path) -> None:
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


def test_damaged_and_foreign_files(tmp_path: Path) -> None:
    path = write(tmp_path / "x.parquet", b"PAR1 and then nothing")
    assert refused(path).message.startswith(f"{path} is not a whole Parquet file: ")
    path = write(tmp_path / "x.csv.gz", gzip.compress(b"text,label\na,1\n")[:-9])
    assert refused(path).message.startswith(f"{path} is not a whole gzip file: ")
    path = write(tmp_path / "x.xlsx", b"x")
    assert refused(path).message == f"{path} is of no kind that kit reads"


def test_a_line_separator_inside_a_tsv_text_is_text(tmp_path) -> None:
    path = tmp_path / "x.tsv"
    path.write_text('text\tlabel\n"quoted" he said\u2028and left\ta\nplain\tb\n', "utf-8")
    assert read_table(path).columns["text"] == ['"quoted" he said\u2028and left', "plain"]
