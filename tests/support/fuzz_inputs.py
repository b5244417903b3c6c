"""Whole files of every kind that kit reads, and ways to damage them, the same in every run."""

from __future__ import annotations

import gzip
import json
import random
import re
from collections.abc import Callable
from pathlib import Path

Change = Callable[[random.Random, bytes], bytes]
_VALUES = (
    b"null", b"true", b"-1", b"0", b"1e999", b"NaN", b'""', b'"\\u0000\\ud800"', b"[]", b"{}", b"[[[]]]",
    b"12345678901234567890", b"9" * 5_000, b'"' + b"x" * 300 + b'"', b'"../../victim"', b"[" * 3_000 + b"]" * 3_000,
)  # fmt: skip
_PARTS = (b"\0", b"\xff\xfe", b'"', b"\r", b"\n\n", b"\xed\xa0\x80", b"{", b"]", b"&a *a ", b"\t", b"\x1b[2J")
_WHOLES = (
    b"", b"\0" * 1_000, b"[]", b"null", b"{" * 100_000, b"\xff" * 100, b"PAR1PAR1", b"\x1f\x8b\x08", b"- " * 50_000,
)  # fmt: skip


def _cut(chance: random.Random, content: bytes) -> bytes:
    return content[: chance.randrange(len(content) or 1)]


def _flip(chance: random.Random, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(chance.choice((1, 4, 64))):
        if changed:
            changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _insert(chance: random.Random, content: bytes) -> bytes:
    place = chance.randrange(len(content) + 1)
    what = chance.choice(
        (b"\0", b"\xff\xfe", b'"', b"\r", b"\n\n", b"\xed\xa0\x80", b"{", b"]", b"&a *a ", b"\t", b"\x1b[2J")
    )
    return content[:place] + what * chance.choice((1, 1, 50)) + content[place:]


def _swap_value(chance: random.Random, content: bytes) -> bytes:
    """Replace one JSON value by one of another type."""
    values = list(re.finditer(rb'(?<=: )("(?:[^"\\]|\\.)*"|-?[0-9][0-9.e+-]*|null|true|false|\[\]|\{\})', content))
    if not values:
        return _flip(chance, content)
    found = chance.choice(values)
    return content[: found.start()] + chance.choice(_VALUES) + content[found.end() :]


def _repeat(chance: random.Random, content: bytes) -> bytes:
    lines = content.splitlines(keepends=True) or [b""]
    place = chance.randrange(len(lines))
    return b"".join([*lines[:place], lines[place] * chance.choice((2, 1_000)), *lines[place + 1 :]])


def _replace_whole(chance: random.Random, content: bytes) -> bytes:
    return chance.choice(
        (
            b"",
            b"\0" * 1_000,
            b"[]",
            b"null",
            b"{" * 100_000,
            b"\xff" * 100,
            b"PAR1PAR1",
            b"\x1f\x8b\x08",
            b"- " * 50_000,
        )
    )


BINARY: tuple[Change, ...] = (_cut, _flip, _flip, _insert, _replace_whole)
TEXT: tuple[Change, ...] = (_cut, _flip, _insert, _insert, _repeat, _replace_whole)
JSON: tuple[Change, ...] = (*(_swap_value,) * 12, *TEXT)


def damaged(path: Path, changes: tuple[Change, ...], seed: int) -> bytes:
    """Return the content of a file with one change, or two, that the seed decides."""
    chance = random.Random(f"{path.name} {seed}")
    packed = path.suffix == ".gz" and chance.random() < 0.5
    content = gzip.decompress(path.read_bytes()) if packed else path.read_bytes()
    for _ in range(chance.choice((1, 1, 2))):
        content = chance.choice(changes)(chance, content)
    return gzip.compress(content, mtime=0) if packed else content


def write_data(folder: Path) -> list[Path]:
    """Write the same 40 examples in every format of data, and a translation memory."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [{"text": f"a film, number {i}", "label": "good" if i % 2 else "bad"} for i in range(40)]
    csv = "text,label\n" + "".join(f'"{row["text"]}",{row["label"]}\n' for row in rows)
    units = "".join(
        f'<tu><tuv xml:lang="en"><seg>one {i}</seg></tuv><tuv xml:lang="de"><seg>eins {i}</seg></tuv></tu>'
        for i in range(20)
    )
    contents = {
        "data.csv": csv.encode(),
        "data.tsv": csv.replace(",", "\t").encode(),
        "data.json": json.dumps(rows, indent=1).encode(),
        "data.jsonl": "".join(json.dumps(row) + "\n" for row in rows).encode(),
        "data.csv.gz": gzip.compress(csv.encode()),
        "data.tmx": f'<?xml version="1.0"?><tmx version="1.4"><header/><body>{units}</body></tmx>'.encode(),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    pq.write_table(pa.Table.from_pylist(rows), folder / "data.parquet")
    return [*(folder / name for name in contents), folder / "data.parquet"]
