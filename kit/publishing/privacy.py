"""Search of exported files for private content: local paths, user names in paths, and access tokens."""

from __future__ import annotations

import getpass
import os
import re
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kit.errors import ExportError

_CHUNK_BYTES, _OVERLAP_BYTES = 1 << 24, 1 << 9
_MIN_CHARACTERS = 5  # of a path or a token: `/` and `/tmp` identify nobody
# Tokens of the Hub, of clouds and of code hosts, and private keys. The patterns begin with letters. The characters
# before a match are checked afterwards: a lookbehind at every byte takes a minute for a model of 100 MB.
_SECRETS = re.compile(
    rb"hf_[A-Za-z0-9]{24,}|gh[pousr]_[A-Za-z0-9]{30,}|AKIA[0-9A-Z]{16}|sk-[A-Za-z0-9_\-]{32,}"
    rb"|xox[abp]-[A-Za-z0-9\-]{20,}|-----BEGIN [A-Z ]*PRIVATE KEY-----"
)
_HOMES = re.compile(rb"/(?:home|Users)/[\w.\-]+/|/root/\w|[A-Z]:\\+Users\\+[\w.\-]+")
_MAX_SHOWN = 8
_WORD = re.compile(rb"\w")
_INSIDE = re.compile(rb"[\w.:-]|:/")  # before a path: the path is part of another path, or of a URL


@dataclass(frozen=True)
class Leak:
    """Private content in a file; `what` describes the content without repeating a secret."""

    file: str
    what: str


def require_private(folder: Path, local: tuple[Path, ...]) -> None:
    """Raise ExportError, with files and kinds of content, if a file of the folder contains private content.

    Args:
        folder: Folder to search.
        local: Private paths, in addition to the user's home, the current folder and the folders of Python.
    """
    leaks = list(scan(folder, local))
    if leaks:
        lines = "\n".join(f"  {leak.file}: {leak.what}" for leak in leaks[:_MAX_SHOWN])
        raise ExportError(
            f"the files to export contain private details of this machine:\n{lines}",
            "use relative paths for the data and the checkpoint, and keep tokens out of recipes",
        )


def scan(folder: Path, local: tuple[Path, ...]) -> Iterator[Leak]:
    """Yield the private content of every file, each kind once per file."""
    paths, tokens = _paths(local), _tokens()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            kinds = set()
            for chunk in _chunks(path):
                kinds |= {
                    f"the path {name}"
                    for name, (prefix, pattern) in paths.items()
                    if prefix in chunk and any(_matches(pattern, chunk, _INSIDE))
                }
                kinds |= {f"a path of a user ({path_of_user})" for path_of_user in _matches(_HOMES, chunk, _INSIDE)}
                kinds |= {f"a token ({secret[:4]}...)" for secret in _matches(_SECRETS, chunk, _WORD)}
                kinds |= {"your token for the Hub" for token in tokens if token in chunk}
            yield from (Leak(path.relative_to(folder).as_posix(), what) for what in sorted(kinds))


def _paths(local: tuple[Path, ...]) -> dict[str, tuple[bytes, re.Pattern[bytes]]]:
    """Return, by name of each private path, bytes that are fast to search for and the full pattern.

    A path with a single part, such as `/app`, may also be a word of a vocabulary: it counts only before a further part.
    """
    python = [Path(sysconfig.get_paths()[name]) for name in ("purelib", "stdlib")]
    folders = (Path.home(), Path.cwd(), *python, *local)
    names = {
        str(form) for path in folders for form in (path.absolute(), path.resolve())
    }  # with and without links resolved
    patterns = {}
    for name in names:
        prefix, end = name.encode(), rb"(?![\w-])" if name.count("/") > 1 else rb"/\w"
        if len(name) >= _MIN_CHARACTERS:
            patterns[name] = prefix, re.compile(re.escape(prefix) + end)
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        return patterns
    inside = f"/{user}/".encode()
    return patterns | {f"with your name, {user}": (inside, re.compile(rb"(?:/[\w.\-]+)*" + re.escape(inside)))}


def _matches(pattern: re.Pattern[bytes], chunk: bytes, not_after: re.Pattern[bytes]) -> Iterator[str]:
    """Yield the matches that do not follow one or two characters of another pattern."""
    for match in pattern.finditer(chunk):
        at = match.start()
        if not (not_after.fullmatch(chunk, at - 1, at) or not_after.fullmatch(chunk, at - 2, at)):
            yield match.group().decode(errors="replace")


def _tokens() -> set[bytes]:
    """Return the Hub tokens of the user."""
    from huggingface_hub import get_token

    return {
        token.encode() for token in (get_token(), os.environ.get("HF_TOKEN")) if token and len(token) > _MIN_CHARACTERS
    }


def _chunks(path: Path) -> Iterator[bytes]:
    """Yield the bytes of a file in overlapping chunks, so that no match is cut in two."""
    overlap = b""
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            yield overlap + chunk
            overlap = chunk[-_OVERLAP_BYTES:]
