"""Names that are short enough for a chart and still differ from each other."""

from __future__ import annotations

from collections.abc import Iterable

LEGEND, BESIDE = 26, 20  # maximum characters of a name in a legend, and beside a mark


def short_names(names: Iterable[str], most: int) -> dict[str, str]:
    """Return a short name for each name, all of them different.

    Long names are shortened in the middle, with as much of the end as is needed for all names to differ. If no length
    of the end is enough, they get a number.

    Args:
        names: Different names.
        most: Maximum number of characters, at least 8.
    """
    unique = list(dict.fromkeys(names))
    if all(len(name) <= most for name in unique):
        return {name: name for name in unique}
    for tail in range(most // 2, most - 2):
        short = {name: _elided(name, most, tail) for name in unique}
        if len(set(short.values())) == len(unique):
            return short
    return _numbered(unique, most)


def _elided(name: str, most: int, tail: int) -> str:
    return name if len(name) <= most else f"{name[: most - tail - 1]}…{name[-tail:]}"


def _numbered(names: list[str], most: int) -> dict[str, str]:
    """Return the names, with a number after those that are shortened."""
    room = most - len(str(len(names))) - 3
    return {
        name: f"{_elided(name, room, room // 2)} ({number})" if len(name) > room else name
        for number, name in enumerate(names, start=1)
    }
