"""List of the finished runs in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from kit.errors import RecordError

if TYPE_CHECKING:
    from kit.records.record import Record


def list_runs(runs: str | Path = "runs") -> list[Record]:
    """Return the finished runs in a folder, oldest first, as `kit list` does; unreadable runs are left out.

    Args:
        runs: Folder of the runs.

    Returns:
        Their Records.

    Raises:
        RecordError: If there is no such folder.
    """
    from kit.records.record import list_records

    if not Path(runs).is_dir():
        raise RecordError(f"there is no folder {runs}", "`kit finetune RECIPE` makes the first run")
    return list_records(Path(runs))[0]
