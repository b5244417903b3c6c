"""Readers of whole data files of all formats into tables, for training and prediction.

A file that cannot be read exactly is an error that names the line. Assumptions and repairs are in the table's notes.
"""

from __future__ import annotations

from pathlib import Path

from kit.data.decompress import GZIP_MAGIC, gunzip
from kit.data.delimited import read_delimited
from kit.data.file_kinds import refuse_stand_ins
from kit.data.json_rows import read_json
from kit.data.parquet import read_parquet
from kit.data.reading import DEFAULT_READING, Reading
from kit.data.saved import is_saved, read_saved
from kit.data.table import Table
from kit.data.text_files import decode_text, read_bytes, reading_file
from kit.errors import DataError

FORMATS = (".csv", ".tsv", ".jsonl", ".json", ".ndjson", ".parquet")
DELIMITED = (".csv", ".tsv")


def data_format(path: Path) -> str | None:
    """Return the extension of a data file (`.csv` for x.csv.gz), None for other files."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
        if suffixes and suffixes[-1] == ".parquet":
            return None
    return suffixes[-1] if suffixes and suffixes[-1] in FORMATS else None


def read_table(path: Path, reading: Reading = DEFAULT_READING) -> Table:
    """Return all rows of one file, or of a folder that `save_to_disk` wrote.

    Raises:
        DataError: The file is missing, empty, damaged, too large once unpacked, or not UTF-8. The message names the
            file, and the line if there is one.
    """
    kind = data_format(path)
    if is_saved(path):
        return _with_rows(read_saved(path), str(path))
    if kind is None:
        raise DataError(
            f"{path} is not in a format that kit reads",
            f"kit reads {', '.join(FORMATS)} (text also as .gz); a pair of aligned files needs data.languages",
        )
    if kind == ".parquet":
        with reading_file(path):
            return _with_rows(read_parquet(path, str(path), reading), str(path))
    return _parse_text(read_bytes(path, reading), str(path), kind, reading=reading)


def parse_table(data: bytes, name: str, kind: str, reading: Reading = DEFAULT_READING) -> Table:
    """Return all rows of content that is not in a file, such as standard input; unpack gzip.

    Args:
        data: Content of the file.
        name: Name of the source for error messages.
        kind: One of `FORMATS`.
        reading: Header, separator and limits.

    Raises:
        DataError: Like `read_table`.
    """
    if kind == ".parquet":
        return _with_rows(read_parquet(data, name, reading), name)
    return _parse_text(
        gunzip(data, name, reading) if data.startswith(GZIP_MAGIC) else data, name, kind, reading=reading
    )


def _parse_text(data: bytes, name: str, kind: str, reading: Reading) -> Table:
    refuse_stand_ins(data, name)
    text = decode_text(data, name, Path(name).suffix)
    if not text.strip():
        raise DataError(f"{name} is empty")
    if kind in DELIMITED:
        return _with_rows(read_delimited(text, name, kind, reading=reading), name)
    return _with_rows(read_json(text, name, reading.required), name)


def _with_rows(table: Table, name: str) -> Table:
    if not len(table):
        raise DataError(f"{name} has no rows")
    return table
