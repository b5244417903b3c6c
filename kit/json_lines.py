"""Values as lines of JSON."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from kit.characters import without_surrogates

_ESCAPES = {"\x85": "\\u0085", "\u2028": "\\u2028", "\u2029": "\\u2029"}
_LINE_ENDS = re.compile("[\x85\u2028\u2029]")


def json_line(value: Any) -> str:
    """Return a value as JSON in one line, also for programs that end a line at U+2028 and its like.

    Args:
        value: Plain data. Dates and the like become text, numbers that JSON lacks null.
    """
    try:
        line = json.dumps(value, ensure_ascii=False, allow_nan=False, default=_plain)
    except ValueError:
        line = json.dumps(_finite(value), ensure_ascii=False, default=_plain)
    return without_surrogates(_LINE_ENDS.sub(lambda end: _ESCAPES[end[0]], line))


def _plain(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _finite(item) for name, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, (list, tuple)) else value
