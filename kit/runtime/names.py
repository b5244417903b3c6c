"""Names and paths that come from files or users, checked before they become part of a path."""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from kit.errors import KitError, RecordError

FOREIGN = "kit writes no such name: do not use files that you do not trust"
OF_FILE_MANAGERS = (".DS_Store", "Thumbs.db", "desktop.ini")  # of macOS and Windows; no library reads them
LONGEST_NAME = 200  # bytes: file systems take 255, and kit adds prefixes and suffixes
_MOST_PARTS = 8  # of a path inside a folder
_SHOWN = 60
# Unicode categories: control and formatting characters, lone surrogates, line and paragraph separators.
_INVISIBLE = ("Cc", "Cf", "Cs", "Zl", "Zp")
_FORBIDDEN = set('/\\:*?"<>|')
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # devices on Windows


def plain_name(
    name: object, what: str, error: type[KitError] = RecordError, hint: str = FOREIGN, *, key: str = ""
) -> str:
    """Return a name that is safe as one part of a path.

    Args:
        name: The value to check, of any type.
        what: Where the name comes from, for the message.
        error: Class of the error to raise.
        hint: What the user can do, who may not have written the name.
        key: Recipe key that the name belongs to, if there is one.

    Raises:
        KitError: If the name is not text, empty, hidden (leading dot), too long, or has a separator, a drive, or a
            character that is not printed.
    """
    reason = _why_not_plain(name)
    if reason:
        raise error(f"{what}: {_shown(name)} is not a plain name: {reason}", hint, key=key)
    return str(name)


def plain_path(
    path: object, what: str, error: type[KitError] = RecordError, hint: str = FOREIGN, *, key: str = ""
) -> str:
    """Return a relative path, with '/' between its parts, that stays inside its folder.

    See `plain_name`.
    """
    parts = path.split("/") if isinstance(path, str) else [path]
    is_absolute = isinstance(path, str) and path.startswith("/")
    reasons = ["it is absolute"] if is_absolute else [reason for part in parts if (reason := _why_not_plain(part))]
    if len(parts) > _MOST_PARTS:
        reasons.append("it has too many parts")
    if reasons:
        raise error(f"{what}: {_shown(path)} is not a path inside the folder: {reasons[0]}", hint, key=key)
    return str(path)


def regular_files(
    folder: Path,
    error: type[KitError] = RecordError,
    *,
    only: Collection[str] = (),
    skip: Collection[str] = (),
    listed: Collection[str] | None = None,
) -> dict[str, Path]:
    """Return the files below a folder by their path relative to it, with '/' between the parts.

    Links are followed where they stay in the folder, or in the same repository of the Hub's cache, whose snapshots
    consist of links. Files that file managers put into every folder (`.DS_Store`) are left out.

    Args:
        folder: The folder.
        error: Class of the error to raise.
        only: Names in the folder itself to return; all if empty.
        skip: Names in the folder itself that are ignored.
        listed: Paths in the folder's manifest, if it has one; a link to elsewhere that is not listed is best removed.

    Raises:
        KitError: For a link that leads elsewhere or to a folder, and for anything that is not a file or a folder.
    """
    places = _Places(_roots(folder), folder, listed, error=error)
    chosen = (entry for entry in _entries(folder, error) if not only or entry.name in only)
    entries = (entry for entry in chosen if entry.name not in skip)
    return {path.relative_to(folder).as_posix(): path for path in _walk(entries, places)}


@dataclass(frozen=True)
class _Places:
    """Allowed targets of the links in a folder, and the error for other links.

    See `regular_files`.
    """

    roots: list[Path]
    folder: Path
    listed: Collection[str] | None
    error: type[KitError]

    def hint(self, link: Path) -> str:
        """Return what to do about a link that leads out of the folder."""
        if self.listed is not None and link.relative_to(self.folder).as_posix() not in self.listed:
            return "remove it"
        return "copy the file there if you trust it"


def _entries(folder: Path, error: type[KitError]) -> list[os.DirEntry[str]]:
    try:
        return sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as reason:
        raise error(f"{folder} cannot be read: {reason.strerror}") from reason


def _walk(entries: Iterable[os.DirEntry[str]], places: _Places) -> Iterator[Path]:
    for entry in entries:
        path = Path(entry.path)
        if entry.is_symlink():
            _require_inside(path, places)
            yield path
        elif entry.is_dir(follow_symlinks=False):
            yield from _walk(_entries(path, places.error), places)
        elif entry.is_file(follow_symlinks=False):
            if entry.name not in OF_FILE_MANAGERS:
                yield path
        else:
            raise places.error(f"{path} is neither a file nor a folder", "remove it")


def _require_inside(link: Path, places: _Places) -> None:
    """Raise an error for a link whose target is not a regular file in one of the places."""
    error = places.error
    try:
        target = link.resolve(strict=True)
        is_file = stat.S_ISREG(target.stat().st_mode)
    except (OSError, RuntimeError) as reason:  # a loop of links
        raise error(f"{link} is a link that leads nowhere", "remove it, or put the file in its place") from reason
    if not any(target.is_relative_to(root) for root in places.roots):
        raise error(f"{link} is a link that leads out of its folder", places.hint(link))
    if not is_file:
        raise error(f"{link} is a link to something that is not a file", "remove it")


def _roots(folder: Path) -> list[Path]:
    """Return the allowed targets of links in a folder: itself, and the blobs of its repository in the Hub's cache.

    `models--USER--NAME/snapshots/COMMIT/...` has links to `models--USER--NAME/blobs/...`.
    """
    real = folder.resolve()
    roots = [real]
    for place in (real, *real.parents):
        if place.parent.name == "snapshots" and re.match(r"(models|datasets|spaces)--", place.parent.parent.name):
            roots.append(place.parent.parent / "blobs")
    return roots


def _why_not_plain(name: object) -> str:
    """Return why a value cannot be one part of a path; an empty string if it can."""
    if not isinstance(name, str):
        return "it is not text"
    reasons = {
        "it is empty": not name,
        "it begins with a dot": name.startswith("."),
        "it begins with a blank, or ends with a blank or a dot": name != name.strip() or name.endswith("."),
        "it has a separator or a character that some systems do not allow in names": bool(_FORBIDDEN & set(name)),
        "it has a character that is not printed": any(unicodedata.category(char) in _INVISIBLE for char in name),
        f"it is longer than {LONGEST_NAME} bytes": len(name.encode(errors="replace")) > LONGEST_NAME,
        "it is the name of a device": bool(_RESERVED.fullmatch(name)),
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def _shown(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
