"""Values as lines of JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from kit.runtime.characters import without_surrogates
from kit.runtime.printable import printable_json


def json_line(value: Any) -> str:
    """Return a value as one line of JSON, also for programs that break lines at U+2028 and similar characters.

    Args:
        value: Plain data. Dates and other types become text; NaN and infinities become null.
    """
    try:
        line = json.dumps(value, ensure_ascii=False, allow_nan=False, default=_plain)
    except ValueError:
        line = json.dumps(_finite(value), ensure_ascii=False, default=_plain)
    return printable_json(without_surrogates(line))


def _plain(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _finite(item) for name, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, (list, tuple)) else value
