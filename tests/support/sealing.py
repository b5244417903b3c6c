"""Editing record.json and kit.json as a person or an attacker would."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kit.records.content import RecordContent
from kit.records.record import Record
from kit.runtime.seals import sealed


def edited(record: Record, **values: Any) -> Record:
    """Return a Record with other values in its content; its folder stays as it is."""
    return Record(record.folder, RecordContent.model_validate({**record.to_dict(), **values}))


def edit(file: Path, change: Callable[[dict[str, Any]], object], *, reseal: bool = False) -> Path:
    """Change the content of a JSON file in place and return its folder. reseal: compute its own hash again."""
    content = json.loads(file.read_text("utf-8"))
    change(content)
    file.write_text(json.dumps(sealed(content) if reseal else content), "utf-8")
    return file.parent
