"""Classification of command arguments as texts or names of files."""

from __future__ import annotations

import errno
import glob
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kit.errors import DataError

_EXTENSIONS = frozenset(
    [
        ".csv",
        ".tsv",
        ".tab",
        ".psv",
        ".json",
        ".jsonl",
        ".jsonlines",
        ".ndjson",
        ".parquet",
        ".pq",
        ".arrow",
        ".feather",
        ".txt",
        ".text",
        ".log",
        ".lst",
        ".md",
        ".rst",
        ".rtf",
        ".html",
        ".htm",
        ".xml",
        ".tmx",
        ".xliff",
        ".yaml",
        ".yml",
        ".toml",
        ".xlsx",
        ".xls",
        ".ods",
        ".doc",
        ".docx",
        ".odt",
        ".pdf",
        ".pkl",
        ".pickle",
        ".npy",
        ".npz",
        ".db",
        ".sqlite",
        ".gz",
        ".zip",
        ".bz2",
        ".xz",
        ".zst",
        ".7z",
        ".tar",
        ".tgz",
    ]
)
_LONGEST_PATH = 1_000  # characters; a longer argument is a text
_PREFIX = re.compile(r"(\.{1,2}|~\w*)?[/\\]\S|[A-Za-z]:[/\\]|file://")
_ONE_WORD_WITH_EXTENSION = re.compile(r"[\w.()/\\*-]*\.[A-Za-z]\w{0,9}")
_WORDS_WITH_SLASH = re.compile(r"/\S.*|[\w.-]+(?:/[\w.-]+)+")
_SHOWN = 60
_HINT = "to predict these words as a text, pipe them in: echo '...' | kit predict RUN"


@dataclass(frozen=True)
class Arguments:
    """Arguments that are either all names of files, or all texts.

    Attributes:
        files: Existing files in their order.
        texts: Texts in their order.
        notes: Notes for the user on texts that may have been meant as names of files.
    """

    files: tuple[Path, ...] = ()
    texts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def sort_arguments(arguments: Sequence[str]) -> Arguments:
    """Return arguments as files or texts.

    Raises:
        DataError: If an argument names a folder or appears to name a missing file, or files and texts are mixed.
    """
    files = [_existing_file(argument) for argument in arguments]
    if len(arguments) > 1 and "-" in arguments:
        raise DataError("- stands for standard input and cannot be combined with other arguments", "use one of them")
    if not any(files):
        notes = [note for argument in arguments if (note := _doubt(argument))]
        return Arguments(texts=tuple(arguments), notes=tuple(notes))
    for argument, file in zip(arguments, files, strict=True):
        if file is None:
            named = next(path for path in files if path is not None)
            raise DataError(
                f"{named} is a file and {_shown(argument)} is not",
                "pass files or texts; to predict the name of a file as a text, pipe it in",
            )
    return Arguments(files=tuple(path for path in files if path is not None))


def _existing_file(argument: str) -> Path | None:
    """Return the file that an argument names; None for a text.

    Raises DataError for a folder or a missing file.
    """
    if not argument.strip() or "\n" in argument or len(argument) > _LONGEST_PATH:
        return None
    try:
        path = Path(argument).expanduser()
        mode = path.stat().st_mode
    except (OSError, ValueError, RuntimeError) as error:
        _refuse_missing(argument, error)
        return None
    if stat.S_ISDIR(mode):
        raise DataError(f"{argument} is a folder", f"name a file in it; {_HINT}")
    return path


def _refuse_missing(argument: str, error: Exception) -> None:
    """Raise DataError if an argument that cannot be opened appears to be the name of a file."""
    number = error.errno if isinstance(error, OSError) else None
    if number not in (None, errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG) and isinstance(error, OSError):
        raise DataError(f"{argument} cannot be read: {error.strerror}", _HINT) from error
    matching = _matching(argument)
    if matching:
        raise DataError(
            f"{argument} is a pattern that matches {len(matching)} file{'s' if len(matching) > 1 else ''}",
            "write it without quotes, so that the shell expands it",
        )
    if _looks_like_a_file(argument):
        no_file = "no file matches" if glob.has_magic(argument) else "there is no file"
        raise DataError(f"{no_file} {argument}", _HINT) from error


def _looks_like_a_file(argument: str) -> bool:
    name = argument.strip()
    if Path(name).suffix.lower() in _EXTENSIONS and len(Path(name).name) > len(Path(name).suffix):
        return True
    if re.search(r"\s", name):
        return False
    if re.fullmatch(r"[\w./\\-]*\w[/\\]", name):
        return True
    parents = [parent for parent in Path(name).parents if str(parent) not in (".", "/")]
    return bool(_PREFIX.match(name) and (parents or not name.startswith("/"))) or any(map(_is_folder, parents))


def _matching(argument: str) -> list[str]:
    if "*" not in argument and not (glob.has_magic(argument) and _looks_like_a_file(argument)):
        return []
    try:
        return glob.glob(argument)  # noqa: PTH207
    except (OSError, re.error):
        return []


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def _doubt(argument: str) -> str | None:
    """Return a note on a text of one word that may have been meant as the name of a file.

    The result is None if it is a text.
    """
    word = argument.strip()
    odd = _ONE_WORD_WITH_EXTENSION.fullmatch(word) or _WORDS_WITH_SLASH.fullmatch(word) or "*" in word
    if not odd or re.search(r"\s", word) or len(word) > _LONGEST_PATH:
        return None
    return f"{_shown(argument)} is predicted as a text: there is no file of this name"


def _shown(argument: str) -> str:
    return repr(argument if len(argument) <= _SHOWN else f"{argument[:_SHOWN]}...")
