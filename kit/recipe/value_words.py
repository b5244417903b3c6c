"""Requirements on values in plain words, instead of pydantic's."""

from __future__ import annotations

from pydantic_core import ErrorDetails

# Expected values by the first word of pydantic's error type.
EXPECTED = {
    "string": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "list": "a list",
    "dict": "a section of keys",
    "model": "a section of keys",
}
BOUNDS = {
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "string_too_short": "must not be empty",
    "too_short": "must have at least {min_length} items",
    "too_long": "must have at most {max_length} items",
    "finite_number": "must be a finite number",
    "string_pattern_mismatch": "must match {pattern}",
}


def requirement(detail: ErrorDetails) -> str:
    """Return the requirement that a pydantic error is about, such as `must be at most 1`."""
    kind, context = detail["type"], detail.get("ctx", {})
    if kind in BOUNDS:
        return BOUNDS[kind].format(**context)
    if kind == "literal_error":
        return f"must be {context['expected']}"
    return f"must be {EXPECTED.get(kind.split('_')[0], 'another value')}"
