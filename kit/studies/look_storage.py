"""The last look at a study for each wish, in `look.json`, and the cells that it left out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter

from kit.analysis.advice_options import Wish
from kit.analysis.sequential import Look
from kit.runtime.files import write_atomically
from kit.studies.grid import Cell

LOOK_FILE = "look.json"
Ended = Literal["sure", "time", "complete", ""]
_NOT_NEEDED = "more of its cells could not change the choice"


@dataclass(frozen=True)
class StoredLook:
    """The last look at a study for a wish.

    Attributes:
        wish: Target and limits.
        look: The look.
        measured: Keys of the cells that it used, by the names of the cells.
        ended: Reason why no round followed; empty if the study was interrupted.
    """

    wish: Wish
    look: Look
    measured: Mapping[str, str]
    ended: Ended = ""

    def has_wish(self, wish: Wish) -> bool:
        """Return whether a wish has the same target and limits."""
        return _question(self.wish) == _question(wish)


_LOOKS = TypeAdapter(tuple[StoredLook, ...])


def read_looks(folder: Path) -> tuple[StoredLook, ...]:
    """Return the stored looks at a study, the last one first.

    The result is empty without a file or with a damaged one.
    """
    try:
        return _LOOKS.validate_json((folder / LOOK_FILE).read_bytes())
    except (OSError, ValueError):
        return ()


def write_look(folder: Path, stored: StoredLook) -> None:
    """Write a look in front of those for other wishes."""
    others = [look for look in read_looks(folder) if not look.has_wish(stored.wish)]
    content = [asdict(look) for look in (stored, *others)]
    write_atomically(folder / LOOK_FILE, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def earlier_look(folder: Path, wish: Wish, cells: Mapping[Cell, str]) -> Look | None:
    """Return the last look for a wish; None if it is missing or used cells of other inputs.

    Args:
        folder: Folder of the study.
        wish: Target and limits.
        cells: Cells of the study with their keys.
    """
    keys = {cell.name: key for cell, key in cells.items()}
    for stored in read_looks(folder):
        if stored.has_wish(wish):
            same = all(keys.get(name) == key for name, key in stored.measured.items())
            return stored.look if same else None
    return None


def reasons_left_out(folder: Path, series: Iterable[str]) -> dict[str, str]:
    """Return the reasons why the last look left out cells, by the names of their series.

    Args:
        folder: Folder of the study.
        series: Names of its series.
    """
    looks = read_looks(folder)
    if not looks:
        return {}
    dropped = looks[0].look.dropped
    ended = looks[0].ended in ("sure", "complete")
    return {name: dropped.get(name, _NOT_NEEDED) for name in series if ended or name in dropped}


def _question(wish: Wish) -> tuple[float | None, float | None, float | None]:
    return wish.target, wish.max_latency_ms, wish.max_size_bytes
