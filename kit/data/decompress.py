"""Decompression as a stream with a size limit, so that a small file cannot fill the memory."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from kit.data.reading import Reading
from kit.errors import DataError

GZIP_MAGIC = b"\x1f\x8b"
_CHUNK_BYTES = 1 << 20


def unpacked_chunks(stream: BinaryIO, name: str, reading: Reading) -> Iterator[bytes]:
    """Yield the content of a gzip stream in chunks.

    Args:
        stream: Seekable stream of the compressed bytes.
        name: Name of the file for error messages.
        reading: Options with the limit on the unpacked size.

    Raises:
        DataError: The stream is damaged, or unpacks to more than the limit.
    """
    packed = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    limit, unpacked = reading.unpacked_limit(packed), 0
    try:
        with gzip.GzipFile(fileobj=stream) as content:
            while chunk := content.read(_CHUNK_BYTES):
                unpacked += len(chunk)
                if unpacked > limit:
                    raise too_large(name, limit, packed, reading=reading)
                yield chunk
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{name} is not a valid gzip file: {error}", "download or copy it again") from error


def gunzip(data: bytes, name: str, reading: Reading) -> bytes:
    """Return the unpacked content of a gzip file. Raises like `unpacked_chunks`."""
    return b"".join(unpacked_chunks(io.BytesIO(data), name, reading))


def too_large(name: str, limit: int, packed: int, reading: Reading) -> DataError:
    """Return the error for a compressed file that unpacks to more than the limit."""
    hint = "set data.max_bytes to the size that it may unpack to"
    if reading.for_prediction:
        hint = "write its rows to a CSV or JSON lines file that is not compressed, and predict that file"
    return DataError(
        f"{name} has {packed:,} bytes and unpacks to more than {limit:,}",
        f"if you trust the file, {hint}",
    )
