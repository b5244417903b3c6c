"""Tables from JSON: an array of objects, one object per line, or indented objects.

Values keep their types.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from kit.data.delimited import two_columns
from kit.data.table import Table, Unit
from kit.errors import DataError
from kit.runtime.characters import BYTE_ORDER_MARK, without_surrogates_inside

_MAX_DEPTH = 100  # levels of lists and objects; the parser fails at about a thousand
_EXPECTED = 'one object per line: {"text": "...", "label": "..."}'
_ESCAPED_SURROGATE = re.compile(r"\\ud[89a-f]", re.IGNORECASE)
_SURROGATE = re.compile("[\ud800-\udfff]")
_BLANK = re.compile(r"\s*")

Item = tuple[int, Any]  # line or item from 1, value


class _RepeatedKeyError(Exception):
    """An object has the same key twice."""


def read_json(text: str, name: str, required: Sequence[str] = ()) -> Table:
    """Return the objects of a JSON array, or of a file with one object per line.

    Half a surrogate pair, which is not a character, is read as U+FFFD, and the table has a note with the number.

    Args:
        text: Content of the file.
        name: Name of the file for error messages.
        required: Keys that every object must have; see `Reading`.

    Raises:
        DataError: The file is not valid JSON, or holds other values. The message names the line or the item.
    """
    try:
        items, unit = _read_items(text, name, required)
    except DataError as error:
        if required and error.hint == _EXPECTED:
            error.hint = f"one object per line: {json.dumps(dict.fromkeys(required, '...'), ensure_ascii=False)}"
        raise
    notes = _replace_surrogates(items, name, unit) if _ESCAPED_SURROGATE.search(text) else ()
    columns = dict.fromkeys(key for _, row in items for key in row)
    content = {column: [row.get(column) for _, row in items] for column in columns}
    table = Table.of(content, unit, [number for number, _ in items])
    return replace(table, blank=_blank_lines(items) if unit == "line" else (), notes=notes)


def _read_items(text: str, name: str, required: Sequence[str]) -> tuple[list[Item], Unit]:
    """Return the objects of a file, each with its number, and the unit of the number: a line or an item of an array."""
    items = _array(text, name)
    unit: Unit = "line" if items is None else "item"
    if items is None:
        items = _objects(text, name)
    if required:
        items = [(number, _with_keys(value, required, f"{name}, {unit} {number}")) for number, value in items]
    _require_objects(items, name, unit)
    return items, unit


def _array(text: str, name: str) -> list[Item] | None:
    """Return the items of a file that is one JSON array; None if it has one value per line."""
    if not text.lstrip().startswith("["):
        return None
    try:
        values = _parse(text, name)
    except DataError as error:
        if isinstance(error.__cause__, json.JSONDecodeError) and _is_value(text.lstrip().split("\n", 1)[0]):
            return None
        raise
    return list(enumerate(values, start=1)) if isinstance(values, list) else None


def _is_value(line: str) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _objects(text: str, name: str) -> list[Item]:
    """Return the values of a file with one per line, or with each indented over several lines."""
    try:
        return list(_lines(text, name))
    except DataError:
        first_line = text.lstrip().split("\n", 1)[0]
        if not first_line.startswith("{"):
            raise
        try:
            return list(_indented(text, name))
        except DataError:
            if first_line.strip() == "{":
                raise
        raise


def _indented(text: str, name: str) -> Iterator[Item]:
    """Yield the values of a file in which every value begins on a new line.

    Raise DataError with the line.
    """
    decoder = json.JSONDecoder(object_pairs_hook=_distinct)
    position, line = 0, 1
    while (start := _end_of_blank(text, position)) < len(text):
        if position and "\n" not in text[position:start]:
            raise DataError(f"{name}, line {line}: two values in one line", _EXPECTED)
        line += text.count("\n", position, start)
        with _parsing(name, several_lines=True):
            value, position = decoder.raw_decode(text, start)
        yield line, value
        line += text.count("\n", start, position)


def _end_of_blank(text: str, position: int) -> int:
    blank = _BLANK.match(text, position)
    return blank.end() if blank else position


def _with_keys(value: Any, required: Sequence[str], where: str) -> Any:
    """Return an object with all required keys; a string becomes the value of the only required key.

    The keys may be inside `translation`, as in data sets of parallel text.
    """
    if isinstance(value, str) and len(required) == 1:
        return {required[0]: value}
    if not isinstance(value, dict):
        return value
    nested = value.get("translation")
    if isinstance(nested, dict) and not set(required) <= set(value):
        value = {**value, **nested}
    missing = [key for key in required if key not in value]
    if missing:
        raise DataError(
            f"{where}: no key {missing[0]!r} (keys: {', '.join(value) or 'none'})",
            f"each object needs the key{'s' if len(required) > 1 else ''} {' and '.join(map(repr, required))}",
        )
    return value


def _lines(text: str, name: str) -> Iterator[Item]:
    for line, content in enumerate(text.split("\n"), start=1):
        value = content.lstrip(BYTE_ORDER_MARK)  # a mark inside the file is from a file that was appended
        if value.strip():
            yield line, _parse(value, f"{name}, line {line}")


def _parse(text: str, where: str) -> Any:
    with _parsing(where, several_lines="\n" in text.strip()):
        return json.loads(text, object_pairs_hook=_distinct)


@contextmanager
def _parsing(where: str, several_lines: bool) -> Iterator[None]:
    """Turn errors of the JSON parser into a DataError."""
    try:
        yield
    except _RepeatedKeyError as error:
        raise two_columns(where, str(error)) from error
    except RecursionError as error:
        raise _too_deep(where) from error
    except json.JSONDecodeError as error:
        line = f", line {error.lineno}" if several_lines else ""
        raise DataError(f"{where}{line}: not valid JSON: {error.msg} (column {error.colno})", _EXPECTED) from error
    except ValueError as error:  # a number with thousands of digits
        raise DataError(f"{where}: not valid JSON: {error}", _EXPECTED) from error


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        keys = [key for key, _ in pairs]
        raise _RepeatedKeyError(next(key for key in keys if keys.count(key) > 1))
    return content


def _require_objects(items: list[Item], name: str, unit: Unit) -> None:
    for number, value in items:
        if not isinstance(value, dict):
            raise DataError(f"{name}, {unit} {number}: expected an object, got {type(value).__name__}", _EXPECTED)
        _require_shallow(value, f"{name}, {unit} {number}")


def _require_shallow(value: Any, where: str) -> None:
    level = [value]
    for _ in range(_MAX_DEPTH):
        level = [item for outer in level for item in _inside(outer)]
        if not level:
            return
    raise _too_deep(where)


def _inside(value: Any) -> Iterator[Any]:
    """Yield the lists and objects that a value holds."""
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return (item for item in items if isinstance(item, (dict, list)))


def _too_deep(where: str) -> DataError:
    return DataError(
        f"{where}: lists and objects are nested more than {_MAX_DEPTH} levels deep", "leave the nested values out"
    )


def _replace_surrogates(items: list[Item], name: str, unit: Unit) -> tuple[str, ...]:
    """Replace half surrogate pairs in place, and return a note with their number."""
    counts = {number: _count_surrogates(value) for number, value in items}
    damaged = [number for number, count in counts.items() if count]
    if not damaged:
        return ()
    items[:] = [(number, without_surrogates_inside(value) if counts[number] else value) for number, value in items]
    halves = sum(counts.values())
    characters = "1 half of a character was" if halves == 1 else f"{halves:,} halves of characters were"
    return (f"{name}: {characters} read as U+FFFD, the first in {unit} {damaged[0]} (lone surrogates)",)


def _count_surrogates(value: Any) -> int:
    if isinstance(value, str):
        return len(_SURROGATE.findall(value))
    parts = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []
    return sum(map(_count_surrogates, parts))


def _blank_lines(items: list[Item]) -> tuple[int, ...]:
    """Return the lines without a value, up to the last value."""
    lines = {line for line, _ in items}
    return tuple(line for line in range(1, max(lines, default=1)) if line not in lines)
