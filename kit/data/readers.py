"""File formats: CSV, TSV, JSON lines and Parquet, each read whole into a Table.

A file that cannot be read exactly is refused with the line to look at; nothing is skipped or repaired.

Knows formats and encodings. Knows nothing of recipes, splits or labels.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kit.data.class_labels import declared_features, name_classes
from kit.data.table import Table
from kit.errors import DataError

FORMATS = (".csv", ".tsv", ".jsonl", ".json", ".ndjson", ".parquet")
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def data_format(path: Path) -> str | None:
    """The extension that says how to read a file (`.csv` for x.csv.gz), None if kit cannot read it."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
        if suffixes and suffixes[-1] == ".parquet":
            return None
    return suffixes[-1] if suffixes and suffixes[-1] in FORMATS else None


def read_table(path: Path) -> Table:
    """All rows of one file.

    Raises DataError naming the file, and the line where there is one, if it is missing, empty, damaged or not UTF-8.
    """
    kind = data_format(path)
    if kind is None:
        raise DataError(
            f"{path} is of no kind that kit reads",
            f"kit reads {', '.join(FORMATS)} (text also as .gz); a pair of aligned files wants data.languages",
        )
    if kind == ".parquet":
        table = _read_parquet(path)
    else:
        text = read_text(path)
        if not text.strip():
            raise DataError(f"{path} is empty")
        table = _read_json(path, text) if kind in (".jsonl", ".json", ".ndjson") else _read_csv(path, text, kind)
    if not len(table):
        raise DataError(f"{path} has no rows")
    return table


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise DataError(f"there is no file {path}") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path} is not a whole gzip file: {error}", "download or copy it again") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error


def read_text(path: Path) -> str:
    """What a text file holds, plain or as .gz. Raises DataError if it is missing, damaged or not UTF-8."""
    with _reading(path):
        data = gzip.decompress(path.read_bytes()) if path.suffix.lower() == ".gz" else path.read_bytes()
    if data.startswith(_UTF16):
        raise DataError(
            f"{path} is not UTF-8 but UTF-16", f"convert it: iconv -f utf-16 -t utf-8 {path} > new{path.suffix}"
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path} is not UTF-8: byte 0x{data[error.start]:02x} in line {line} (byte {error.start} of the file)",
            f"convert it: iconv -f latin1 -t utf-8 {path} > new{path.suffix} (latin1 is the usual other encoding)",
        ) from error


def read_lines(path: Path) -> list[str]:
    """Lines of a text file, plain or as .gz. Raises like `read_text`.

    Only a line feed ends a line: U+2028 and the like are part of the text, and would shift one side of a translation.
    """
    lines = read_text(path).split("\n")
    if not lines[-1]:
        lines.pop()
    return [line.rstrip("\r") for line in lines]


def _read_csv(path: Path, text: str, kind: str) -> Table:
    header_line = text.lstrip("\r\n").split("\n", 1)[0]
    delimiter = "\t" if kind == ".tsv" else ","
    if kind == ".csv" and "," not in header_line:
        delimiter = next((mark for mark in ";\t" if mark in header_line), ",")
    quoted = delimiter != "\t" or _is_quoted_tsv(text)
    numbered = list(_records(path, text, delimiter, quoted))
    if not numbered:
        raise DataError(f"{path} is empty")
    header = [name.strip() or f"column {place}" for place, name in enumerate(numbered[0][1], start=1)]
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise DataError(f"{path} has two columns named {twice[0]!r}", "give each column a name of its own")
    if len(numbered) == 1:
        raise DataError(f"{path} has a header and no rows")
    for line, record in numbered:
        if len(record) != len(header):
            raise DataError(
                f"{path}, line {line}: {len(record)} fields where the header has {len(header)}",
                f"put fields that contain {'a tab' if delimiter == chr(9) else delimiter!r} in double quotes",
            )
    columns = zip(*(record for _, record in numbered[1:]), strict=True)
    return Table.of({name: list(values) for name, values in zip(header, columns, strict=True)})


def _records(path: Path, text: str, delimiter: str, quoted: bool) -> Iterator[tuple[int, list[str]]]:
    """Line number (from 1, of the record's first line) and fields of every record that is not a blank line."""
    stream = io.StringIO(text, newline="")
    limit = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # the default refuses texts above 128 KiB
    line = 1
    try:
        quoting: Any = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
        reader = csv.reader(stream, delimiter=delimiter, quoting=quoting, strict=True)
        for record in reader:
            if record:
                yield line, record
            line = reader.line_num + 1
    except csv.Error as error:
        reason = "a quote is opened and never closed" if "unexpected end" in str(error) else str(error)
        raise DataError(f"{path}, line {line}: {reason}", 'double the quotes inside quoted fields: ""') from error
    finally:
        csv.field_size_limit(limit)


def _is_quoted_tsv(text: str) -> bool:
    """Whether quotes in a TSV delimit fields; many TSV files hold bare quotes that are part of the text.

    They are part of the text where the file is regular without reading them and some field that begins with one
    is not a well-formed quoted field.
    """
    lines = [line.split("\t") for line in text.replace("\r\n", "\n").split("\n") if line]
    if any(len(fields) != len(lines[0]) for fields in lines):
        return True
    opened = (field for fields in lines for field in fields if field.startswith('"'))
    return all(len(f) > 1 and f.endswith('"') and '"' not in f[1:-1].replace('""', "") for f in opened)


def _read_json(path: Path, text: str) -> Table:
    objects = _json_array(text) if text.lstrip().startswith("[") else None
    rows = [(place, item) for place, item in enumerate(objects, start=1)] if objects is not None else []
    if objects is None:
        for line, content in enumerate(text.split("\n"), start=1):
            if content.strip():
                try:
                    rows.append((line, json.loads(content)))
                except ValueError as error:
                    raise DataError(
                        f"{path}, line {line}: not valid JSON: {error}",
                        'one object a line: {"text": "...", "label": "..."}',
                    ) from error
    columns: dict[str, None] = {}
    for line, row in rows:
        if not isinstance(row, dict):
            place = "item" if objects is not None else "line"
            raise DataError(
                f"{path}, {place} {line}: expected an object, got {type(row).__name__}",
                'one object a line: {"text": "...", "label": "..."}',
            )
        columns.update(dict.fromkeys(row))
    return Table.of({name: [row.get(name) for _, row in rows] for name in columns})


def _json_array(text: str) -> list[Any] | None:
    """The items of a file that is one JSON array; None if it is not."""
    try:
        items = json.loads(text)
    except ValueError:
        return None
    return items if isinstance(items, list) else None


def _read_parquet(path: Path) -> Table:
    import pyarrow
    import pyarrow.parquet

    with _reading(path):
        if path.is_file() and not path.stat().st_size:
            raise DataError(f"{path} is empty")
        try:
            table = pyarrow.parquet.ParquetFile(path).read()
        except pyarrow.ArrowException as error:
            raise DataError(f"{path} is not a whole Parquet file: {str(error).splitlines()[0]}") from error
    features = declared_features(table.schema.metadata)
    kept = table.select([name for name in table.column_names if not name.startswith("__index_level_")])
    return Table.of(name_classes(kept.to_pydict(), features))
