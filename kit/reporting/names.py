"""Names that are short enough for a chart and still differ from each other."""

from __future__ import annotations

from collections.abc import Iterable

LEGEND, BESIDE = 26, 20  # most characters of a name in a legend, and of one beside a mark


def short_names(names: Iterable[str], most: int) -> dict[str, str]:
    """Return each name with at most `most` characters, no two of them equal.

    Long names lose their middle, where a longer end is kept until all names differ. Names that differ only in a part
    that is lost for any end get that part, or a number.

    Args:
        names: Names that differ.
        most: Number of characters, at least 8.
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
    """Return the names with a number where their middle is lost."""
    room = most - len(str(len(names))) - 3
    return {
        name: f"{_elided(name, room, room // 2)} ({number})" if len(name) > room else name
        for number, name in enumerate(names, start=1)
    }
