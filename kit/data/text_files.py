"""Text files: reading, unpacking and decoding, as one text or as lines."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from kit.data.decompress import unpacked_chunks
from kit.data.file_kinds import conversion_hint, encoding_hint, refuse_binary
from kit.data.reading import DEFAULT_READING, Reading
from kit.errors import DataError
from kit.runtime.characters import BYTE_ORDER_MARK

_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_END_OF_DOS_FILE = re.compile("\x1a[\r\n]*\\Z")  # Ctrl-Z
_PROBE_BYTES = 1_000


@contextmanager
def reading_file(path: Path) -> Iterator[None]:
    """Turn errors of the operating system into a DataError; raise DataError unless the path is a regular file."""
    try:
        if path.exists() and not path.is_file():
            kind = "a folder" if path.is_dir() else "not a regular file"
            raise DataError(f"{path} is {kind}", "name a file")
        yield
    except FileNotFoundError as error:
        raise DataError(f"there is no file {path}") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error


def read_bytes(path: Path, reading: Reading = DEFAULT_READING) -> bytes:
    """Return the content of a file, unpacked if it is a .gz.

    Raise DataError if it cannot be read.
    """
    with reading_file(path):
        if path.suffix.lower() != ".gz":
            return path.read_bytes()
        with path.open("rb") as stream:
            return b"".join(unpacked_chunks(stream, str(path), reading))


def decode_text(data: bytes, name: str, suffix: str = "") -> str:
    """Return bytes as text, without a byte order mark.

    Args:
        data: Bytes of a text file.
        name: Name of the file for error messages.
        suffix: Suffix of the converted file in the hint of an error.

    Raises:
        DataError: The bytes are not UTF-8. The message names the line and the byte.
    """
    if data.startswith(_UTF16) or _looks_like_utf16(data):
        raise DataError(f"{name} is not UTF-8 but UTF-16", conversion_hint("utf-16", name, suffix))
    try:
        return _END_OF_DOS_FILE.sub("", data.decode().lstrip(BYTE_ORDER_MARK))
    except UnicodeDecodeError as error:
        refuse_binary(data, name)
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{name} is not UTF-8: byte 0x{data[error.start]:02x} in line {line} (byte {error.start} of the file)",
            encoding_hint(data, error.start, name, suffix=suffix),
        ) from error


def _looks_like_utf16(data: bytes) -> bool:
    """Return whether every other byte is null, as in UTF-16 without a byte order mark."""
    probe = data[:_PROBE_BYTES]
    fewer, more = sorted((probe[::2].count(0), probe[1::2].count(0)))
    return len(probe) > 3 and more * 5 >= len(probe) * 2 and fewer * 20 <= len(probe)


def read_text(path: Path, reading: Reading = DEFAULT_READING) -> str:
    """Return the content of a text file, plain or as .gz.

    Raise DataError if it is missing, damaged or not UTF-8.
    """
    return decode_text(read_bytes(path, reading), str(path), path.suffix)


def read_lines(path: Path, reading: Reading = DEFAULT_READING) -> list[str]:
    """Return the lines of a text file, plain or as .gz. Raise the errors of `read_text`.

    Only a line feed ends a line. U+2028 and similar characters are part of the text; as line ends, they would misalign
    translations.
    """
    return split_lines(read_text(path, reading))


def split_lines(text: str) -> list[str]:
    """Return the lines of a text.

    Only a line feed ends a line, and carriage returns before it are left out.
    """
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    return [line.rstrip("\r") for line in lines]


def file_stream(path: Path) -> Callable[[], Iterator[tuple[int, str]]]:
    """Return a function that yields line numbers and lines of a file without reading it whole."""

    def stream() -> Iterator[tuple[int, str]]:
        with path.open("rb") as source:
            yield from stream_lines(b"", source, str(path))

    return stream


def stream_lines(head: bytes, stream: BinaryIO, name: str) -> Iterator[tuple[int, str]]:
    """Yield line numbers and lines of `head`, the bytes already read, and of the rest of the stream.

    Raises:
        DataError: A line is not UTF-8.
    """
    start = head.rfind(b"\n") + 1
    unfinished = head[start:] + stream.readline()
    lines: Iterable[bytes] = itertools.chain(io.BytesIO(head[:start]), [unfinished] if unfinished else [], stream)
    for number, line in enumerate(lines, start=1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise DataError(
                f"{name} is not UTF-8: byte 0x{line[error.start]:02x} in line {number}",
                encoding_hint(line, error.start, name, suffix=""),
            ) from error
        yield number, text.removesuffix("\n").rstrip("\r")
