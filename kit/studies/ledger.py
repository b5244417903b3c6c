"""The ledger: the folder of a study, with its cells and their outcomes.

    runs/<study>/study.json        the recipe, the grid, the hashes of data and checkpoints
                 cells/<cell>.json  the outcome of a cell: its Record, or its error
                 speed.json         latency of one model per series, measured in turns
                 look.json          looks of `kit answer` and the reasons for cells that are left out
                 logs/              output of the workers

Every file is written atomically, and a cell's file only when the cell has ended: finished cells survive any crash.
Records are beside the study's folder, where `kit finetune` would put them.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter

from kit.errors import RecordError
from kit.measurement.speed import SPEED_FILE, Speed, speeds_from_json, speeds_to_json
from kit.recipe import Recipe
from kit.records.record import Record
from kit.runtime.file_types import StudyContent, require_types
from kit.runtime.files import write_atomically
from kit.runtime.json_files import read_object, require_format
from kit.runtime.names import plain_name
from kit.studies.grid import Cell

FORMAT = 1
STUDY_FILE = "study.json"
_CELLS = "cells"
_AGAIN = "start the study again: it writes the file again"


@dataclass(frozen=True)
class Outcome:
    """Outcome of a cell that has ended.

    Attributes:
        cell: The cell.
        key: Hash of its inputs, see `grid.cell_keys`.
        state: `finished`, `failed`, or `skipped` because the cell that it is made from has no model.
        record: Id of its Record; empty if it failed. If all steps were undone, that of the cell it is made from.
        error: Message of a failed or skipped cell.
        time: Time of the end, ISO 8601 in UTC.
        undone: Compression steps that the gate undid, each with the reason.
    """

    cell: Cell
    key: str
    state: Literal["finished", "failed", "skipped"]
    record: str = ""
    error: str = ""
    time: str = ""
    undone: tuple[str, ...] = ()


_OUTCOME = TypeAdapter(Outcome)


@dataclass(frozen=True)
class Ledger:
    """A study on disk. `content` is study.json as plain data."""

    folder: Path
    content: dict[str, Any]

    @classmethod
    def start(
        cls,
        folder: Path,
        recipe: Recipe,
        cells: Mapping[Cell, str],
        data: Mapping[str, Any],
        arguments: Sequence[str] = (),
    ) -> Ledger:
        """Write the grid of a study, replacing the grid of an earlier start.

        Args:
            folder: Folder of the study.
            recipe: Recipe with its overrides.
            cells: Cells with their keys.
            data: Facts about the data for the analysis, as plain data.
            arguments: Recipe file and overrides of `kit study`, as on the command line; empty for a study from Python.
        """
        content = {
            "format": FORMAT,
            "name": folder.name,
            "created": now(),
            "recipe": recipe.model_dump(mode="json"),
            "cells": [{**asdict(cell), "key": key} for cell, key in cells.items()],
            "data": dict(data),
            "arguments": list(arguments),
        }
        earlier = folder / STUDY_FILE
        if earlier.is_file():
            with suppress(RecordError):  # a damaged file is replaced: each cell has a file of its own
                content["created"] = str(read_object(earlier).get("created") or content["created"])
        write_atomically(earlier, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
        return cls(folder, content)

    @classmethod
    def load(cls, folder: str | Path) -> Ledger:
        """Read a study. Raises RecordError if the folder has no study, or a damaged one."""
        path = Path(folder) / STUDY_FILE
        if not path.is_file():
            hint = "`kit study RECIPE` creates one and prints its folder"
            raise RecordError(f"{folder} is not a study: it has no {STUDY_FILE}", hint)
        content = read_object(path, hint=_AGAIN)
        require_format(path, content, FORMAT, hint=_AGAIN)
        require_types(path, content, StudyContent, hint=_AGAIN)
        try:
            Recipe.model_validate(content["recipe"])
        except ValueError as error:
            raise RecordError(f"{path} is damaged: its recipe is not valid", _AGAIN) from error
        ledger = cls(Path(folder), content)
        _ = ledger.cells  # checks the names
        return ledger

    @property
    def command(self) -> str:
        """The command that continues the study; `kit study RECIPE` if the study was started from Python."""
        return shlex.join(["kit", "study", *(self.content.get("arguments") or ["RECIPE"])])

    @property
    def recipe(self) -> Recipe:
        """Recipe of the study, with its overrides."""
        return Recipe.model_validate(self.content["recipe"])

    @property
    def cells(self) -> dict[Cell, str]:
        """Cells of the grid with their keys."""
        rows = [_with_variant(row) for row in self.content["cells"]]
        cells = {Cell(row["variant"], row["checkpoint"], row["budget"], seed=row["seed"]): row["key"] for row in rows}
        for cell in cells:
            plain_name(cell.name, f"{self.folder / STUDY_FILE}: cells")
        return cells

    def outcome(self, cell: Cell, key: str, say: Callable[[str], object] = lambda line: None) -> Outcome | None:
        """Return the outcome of a cell.

        The result is None if it has not ended, had other inputs, or its file is damaged.

        Args:
            cell: The cell.
            key: Its present key.
            say: Called with a line about a damaged file.
        """
        try:
            outcome = self._read_outcome(cell)
        except RecordError as error:
            say(f"{error.message}; the next start of the study runs the cell again")
            return None
        return outcome if outcome is not None and outcome.key == key else None

    def _read_outcome(self, cell: Cell) -> Outcome | None:
        """Return the content of a cell's file, None if there is none.

        Raises RecordError if it is damaged.
        """
        path = self.folder / _CELLS / f"{cell.name}.json"
        if not os.path.lexists(path):
            return None
        content = read_object(path)
        try:
            outcome = _OUTCOME.validate_python(content | {"cell": _with_variant(content["cell"])})
        except (ValueError, KeyError, TypeError) as error:
            raise RecordError(f"{path} is damaged: a value is missing or has another type") from error
        if outcome.cell != cell:
            raise RecordError(f"{path} is damaged: it is of another cell")
        if outcome.state == "finished":
            plain_name(outcome.record, f"{path} is damaged: record")
        return outcome

    @property
    def damage(self) -> list[str]:
        """One line per cell whose file is damaged."""
        lines: list[str] = []
        for cell, key in self.cells.items():
            self.outcome(cell, key, lines.append)
        return lines

    def write(self, outcome: Outcome) -> None:
        """Write the outcome of a cell."""
        path = self.folder / _CELLS / f"{outcome.cell.name}.json"
        write_atomically(path, json.dumps(asdict(outcome), indent=1, ensure_ascii=False) + "\n")

    def record(self, outcome: Outcome, *, whole: bool = False) -> Record | None:
        """Return the Record of a cell.

        The result is None if the cell failed, or its Record is gone, damaged or of another run.

        Args:
            outcome: Outcome of the cell.
            whole: Also check every file of the Record.
        """
        if outcome.state != "finished":
            return None
        try:
            folder = self.folder.parent / plain_name(outcome.record, f"{self.folder}: record")
            record = Record.load(folder) if whole else Record.read(folder)
        except RecordError:
            return None
        return record if record.id == outcome.record else None

    def speeds(self) -> dict[str, Speed]:
        """Return the measured speeds by Record id.

        The result is empty if there are none, or the file is damaged.
        """
        try:
            return speeds_from_json((self.folder / SPEED_FILE).read_bytes())
        except (OSError, ValueError):
            return {}

    def memories(self) -> dict[str, int]:
        """Return the measured peak memories in bytes by Record id."""
        return {name: speed.memory_bytes for name, speed in self.speeds().items() if speed.memory_bytes is not None}

    @property
    def speed_damage(self) -> str:
        """Damage of the file of measured speeds, as a verb phrase; empty if it is whole or absent."""
        try:
            speeds_from_json((self.folder / SPEED_FILE).read_bytes())
        except FileNotFoundError:
            return ""
        except (OSError, ValueError):
            return "is damaged or of an earlier version of kit"
        return ""

    def write_speeds(self, speeds: dict[str, Speed]) -> None:
        """Write the measured speeds by Record id."""
        write_atomically(self.folder / SPEED_FILE, speeds_to_json(speeds))


def _with_variant(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a cell as plain data; earlier versions call its variant its method."""
    if "method" not in row:
        return dict(row)
    return {"variant": row["method"], **{key: value for key, value in row.items() if key != "method"}}


def now() -> str:
    """Return the present time, ISO 8601 in UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
