"""Editing record.json and kit.json as a person or an attacker would."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kit.runtime.seals import sealed


def edit(file: Path, change: Callable[[dict[str, Any]], object], *, reseal: bool = False) -> Path:
    """Change the content of a JSON file in place and return its folder. reseal: compute its own hash again."""
    content = json.loads(file.read_text("utf-8"))
    change(content)
    file.write_text(json.dumps(sealed(content) if reseal else content), "utf-8")
    return file.parent
