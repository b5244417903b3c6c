"""Tables from Parquet files."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.data.class_labels import declared_features, name_classes
from kit.data.decompress import too_large
from kit.data.delimited import two_columns
from kit.data.reading import Reading
from kit.data.table import Table
from kit.errors import DataError, first_line

if TYPE_CHECKING:
    import pyarrow.parquet

_BATCH_ROWS = 1_000
_CELL_BYTES = 8  # least memory per cell, even if the cells compress well


def read_parquet(data: bytes | Path, name: str, reading: Reading) -> Table:
    """Return the rows of a Parquet file.

    Args:
        data: Path of the file, or its content.
        name: Name of the file for error messages.
        reading: Limit on the unpacked size.

    Raises:
        DataError: The file is damaged, unpacks to more than the limit, or has two columns of the same name.
    """
    import pyarrow.parquet

    packed = len(data) if isinstance(data, bytes) else data.stat().st_size
    if not packed:
        raise DataError(f"{name} is empty")
    with _whole(name):
        schema, kinds = _open(data).schema_arrow, pyarrow.types
        has_text = (kinds.is_string, kinds.is_large_string, kinds.is_string_view)
        texts = [field.name for field in schema if any(check(field.type) for check in has_text)]
        file = _open(data, texts)
        _require_distinct(schema.names, name)
        _require_small(file.metadata, name, reading, packed=packed)
        batches = list(_limited(file.iter_batches(_BATCH_ROWS), name, reading, packed=packed))
        table = pyarrow.Table.from_batches(batches, file.schema_arrow)
        kept = [column for column in schema.names if not column.startswith("__index_level_")]
        columns = {column: _values(table[column], column, name) for column in kept}
        return Table.of(name_classes(columns, declared_features(schema.metadata)), "row", range(1, table.num_rows + 1))


def _open(data: bytes | Path, texts: Sequence[str] = ()) -> pyarrow.parquet.ParquetFile:
    """Open a file. texts: columns to read as dictionaries, so that repeated texts take memory once."""
    import pyarrow.parquet

    return pyarrow.parquet.ParquetFile(io.BytesIO(data) if isinstance(data, bytes) else data, read_dictionary=[*texts])


@contextmanager
def _whole(name: str) -> Iterator[None]:
    """Turn the errors that pyarrow raises for damaged content into a DataError."""
    try:
        yield
    except (DataError, FileNotFoundError, PermissionError):
        raise
    except Exception as error:  # damaged files raise errors of many classes
        raise DataError(
            f"{name} is not a valid Parquet file: {first_line(error)}", "download or copy it again"
        ) from error


def _require_distinct(names: list[str], name: str) -> None:
    repeated = sorted({column for column in names if names.count(column) > 1})
    if repeated:
        raise two_columns(name, repeated[0])


def _require_small(metadata: Any, name: str, reading: Reading, packed: int) -> None:
    """Raise DataError if the sizes in the footer exceed the limit, before unpacking anything."""
    groups = [metadata.row_group(place) for place in range(metadata.num_row_groups)]
    unpacked = sum(group.total_byte_size for group in groups)
    cells = sum(group.num_rows for group in groups) * max(1, metadata.num_columns)
    limit = reading.unpacked_limit(packed)
    if unpacked > limit or cells * _CELL_BYTES > _most_cells(limit):
        raise too_large(name, limit, packed, reading=reading)


def _most_cells(limit: int) -> int:
    """Return the limit on the memory of cells; at least 100 MB, since columns of few classes compress very well."""
    return max(limit, 100_000_000)


def _limited(batches: Iterator[Any], name: str, reading: Reading, packed: int) -> Iterator[Any]:
    """Yield batches; raise DataError once they exceed the limit, because the sizes in the footer may be wrong."""
    limit, unpacked = _most_cells(reading.unpacked_limit(packed)), 0
    for batch in batches:
        unpacked += sum(_size(column) for column in batch.columns)
        if unpacked > limit:
            raise too_large(name, limit, packed, reading=reading)
        yield batch


def _size(column: Any) -> int:
    """Return the memory in bytes of a column in which every row has its own text."""
    import pyarrow
    import pyarrow.compute

    if not pyarrow.types.is_dictionary(column.type):
        return int(column.nbytes)
    lengths = pyarrow.compute.binary_length(column.dictionary)
    return int(pyarrow.compute.sum(lengths.take(column.indices).cast("int64")).as_py() or 0)


def _values(column: Any, title: str, name: str) -> list[Any]:
    """Return the cells of a column, with short floats as their shortest decimal numbers."""
    import pyarrow

    try:
        values = column.to_pylist()
    except UnicodeDecodeError as error:
        raise DataError(
            f"{name}, row {_first_broken(column)}: column '{title}' is not UTF-8", "write the column again as UTF-8"
        ) from error
    return [shortest_float(value) for value in values] if _has_short_floats(column.type, pyarrow) else values


def _first_broken(column: Any) -> int:
    """Return the number of the first row, from 1, that is not UTF-8."""
    for row, value in enumerate(column, start=1):
        try:
            value.as_py()
        except UnicodeDecodeError:
            return row
    return len(column)


def _has_short_floats(kind: Any, pyarrow: Any) -> bool:
    if pyarrow.types.is_list(kind) or pyarrow.types.is_large_list(kind) or pyarrow.types.is_fixed_size_list(kind):
        return _has_short_floats(kind.value_type, pyarrow)
    return bool(pyarrow.types.is_float32(kind) or pyarrow.types.is_float16(kind))


def shortest_float(value: Any) -> Any:
    """Return the shortest decimal number that rounds to a 32-bit float: 0.1, not 0.10000000149011612.

    Items of lists are converted as well, and other values returned unchanged.
    """
    import numpy as np

    if isinstance(value, list):
        return [shortest_float(item) for item in value]
    return float(str(np.float32(value))) if isinstance(value, float) else value
