"""Nothing private leaves: local paths, the user's name in them, and tokens are looked for in every file, and refused.

Knows bytes, and this machine. Knows nothing of what the files are for.
"""

from __future__ import annotations

import getpass
import os
import re
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kit.errors import ExportError

_CHUNK, _OVERLAP = 1 << 24, 1 << 9
_LEAST = 5  # letters of a path or a token: `/` and `/tmp` say nothing of anybody
# Tokens of the Hub, of clouds and of code hosts, and private keys. Patterns begin with letters: what may stand before
# them is looked at where they match, since looking at every byte takes a minute for a model of 100 MB.
_SECRETS = re.compile(
    rb"hf_[A-Za-z0-9]{24,}|gh[pousr]_[A-Za-z0-9]{30,}|AKIA[0-9A-Z]{16}|sk-[A-Za-z0-9_\-]{32,}"
    rb"|xox[abp]-[A-Za-z0-9\-]{20,}|-----BEGIN [A-Z ]*PRIVATE KEY-----"
)
_HOMES = re.compile(rb"/(?:home|Users)/[\w.\-]+/|/root/\w|[A-Z]:\\+Users\\+[\w.\-]+")
_WORD = re.compile(rb"\w")
_INSIDE = re.compile(rb"[\w.:-]|:/")  # before a path: it is part of another, or of the address of a host


@dataclass(frozen=True)
class Leak:
    """What was found where; `what` never repeats a secret."""

    file: str
    what: str


def require_private(folder: Path, local: tuple[Path, ...]) -> None:
    """Raise ExportError, naming file and kind, if a file of the folder tells something of this machine or its user.

    local: folders that must not be named, beside the user's home, the current folder and Python's own.
    """
    found = list(scan(folder, local))
    if found:
        lines = "\n".join(f"  {leak.file}: {leak.what}" for leak in found[:8])
        raise ExportError(
            f"what was to be exported names things of this machine:\n{lines}",
            "name the data and the checkpoint by relative paths, and keep tokens out of recipes",
        )


def scan(folder: Path, local: tuple[Path, ...]) -> Iterator[Leak]:
    """Every file with something private in it, each kind once."""
    paths, tokens = _paths(local), _tokens()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            told = set()
            for part in _parts(path):
                told |= {
                    f"the path {name}"
                    for name, (letters, pattern) in paths.items()
                    if letters in part and any(_matches(pattern, part, _INSIDE))
                }
                told |= {f"a path of a user ({each})" for each in _matches(_HOMES, part, _INSIDE)}
                told |= {f"a token ({each[:4]}...)" for each in _matches(_SECRETS, part, _WORD)}
                told |= {"your token for the Hub" for token in tokens if token in part}
            yield from (Leak(path.relative_to(folder).as_posix(), what) for what in sorted(told))


def _paths(local: tuple[Path, ...]) -> dict[str, tuple[bytes, re.Pattern[bytes]]]:
    """Letters that each path of this machine has, which are soon looked for, and what finds it.

    A path of a single name, as `/app`, may be a word in a vocabulary too.
    """
    python = [Path(sysconfig.get_paths()[name]) for name in ("purelib", "stdlib")]
    folders = (Path.home(), Path.cwd(), *python, *local)
    names = {str(form) for path in folders for form in (path.absolute(), path.resolve())}  # links lead elsewhere
    found = {}
    for name in names:
        letters, end = name.encode(), rb"(?![\w-])" if name.count("/") > 1 else rb"/\w"
        if len(name) >= _LEAST:
            found[name] = letters, re.compile(re.escape(letters) + end)
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        return found
    inside = f"/{user}/".encode()
    return found | {f"with your name, {user}": (inside, re.compile(rb"(?:/[\w.\-]+)*" + re.escape(inside)))}


def _matches(pattern: re.Pattern[bytes], part: bytes, not_after: re.Pattern[bytes]) -> Iterator[str]:
    for each in pattern.finditer(part):
        at = each.start()
        if not (not_after.fullmatch(part, at - 1, at) or not_after.fullmatch(part, at - 2, at)):
            yield each.group().decode(errors="replace")


def _tokens() -> set[bytes]:
    from huggingface_hub import get_token

    return {token.encode() for token in (get_token(), os.environ.get("HF_TOKEN")) if token and len(token) > _LEAST}


def _parts(path: Path) -> Iterator[bytes]:
    """A file's bytes in pieces that overlap, so that nothing is cut in two unseen."""
    before = b""
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            yield before + chunk
            before = chunk[-_OVERLAP:]
