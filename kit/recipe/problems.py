"""Messages for people from the errors of pydantic: the key, the expected value and the nearest valid key."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from kit.recipe.keys import KeyPath, Keys, dotted, item_name, item_section, section_of
from kit.recipe.one_of import OneOf
from kit.recipe.section import Section
from kit.recipe.value_words import BOUNDS, EXPECTED


@dataclass(frozen=True)
class Problem:
    """A problem of a recipe.

    Attributes:
        path: Key or section that the problem is about.
        message: Sentence that names the key.
    """

    path: KeyPath
    message: str


def problems_of(error: ValidationError, schema: type[Section]) -> list[Problem]:
    """Return the problems that a pydantic error reports, one per key.

    Args:
        error: Error of the validation.
        schema: Schema that the content was validated by.
    """
    keys = Keys(schema)
    by_key: dict[KeyPath, list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False):
        by_key.setdefault(_key(keys, detail["loc"]), []).append(detail)
    return [problem for key, details in by_key.items() for problem in _problems_at(keys, key, details)]


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """Return the candidate that is most similar to a name, or None if none is similar."""
    by_lower = {candidate.lower(): candidate for candidate in candidates}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return by_lower[close[0]] if close else None


def _key(keys: Keys, location: tuple[int | str, ...]) -> KeyPath:
    """Return pydantic's location of an error without positions in lists of values and members of unions."""
    key: KeyPath = ()
    for part in location:
        field = keys.field(key)
        if isinstance(part, int) and field is not None and item_section(field) is not None:
            key = (*key, item_name(part))
            continue
        is_value = field is not None and keys.section(key) is None and item_section(field) is None
        if is_value and not keys.is_mapping(key):
            return key
        key = (*key, str(part))
        if is_value:
            return key
    return key


def _problems_at(keys: Keys, key: KeyPath, details: list[ErrorDetails]) -> list[Problem]:
    kind = details[0]["type"]
    if kind == "extra_forbidden":
        return [Problem(key, f"{dotted(key)} is not a key{_suggestion(keys, key)}")]
    if kind == "missing":
        return [Problem(path, f"{dotted(path)} is required{_options(keys, path)}") for path in _required(keys, key)]
    if kind == "value_error":
        return [_contradiction(keys, key, line) for line in _reason(details[0]).splitlines()]
    if kind == "model_type":
        names = ", ".join((keys.section(key) or keys.schema).model_fields)
        got = _shown(details[0]["input"])
        return [Problem(key, f"{dotted(key)} is a section with the keys {names}, got {got}")]
    return [_wrong_value(keys, key, details)]


def _wrong_value(keys: Keys, key: KeyPath, details: list[ErrorDetails]) -> Problem:
    """Return one problem for all errors of a value: a union reports an error for each of its members."""
    details = [detail for detail in details if _position(key, detail)] or details
    specific = [detail for detail in details if not _is_type_error(detail)]
    detail = (specific or details)[0]
    subject = dotted((*key, *_position(key, detail)))
    got = f"got {_shown(detail['input'])}"
    context = {name: _shown(value) for name, value in detail.get("ctx", {}).items()}
    if detail["type"] == "literal_error":
        return Problem(key, f"{subject} must be {_alternatives(details)}one of {_choices(keys, key, detail)}")
    if detail["type"] == "too_short" and not detail["input"]:
        return Problem(key, f"{subject} must not be empty")
    if detail["type"] in BOUNDS:
        return Problem(key, f"{subject} {BOUNDS[detail['type']].format(**context)}, {got}")
    if specific:
        return Problem(key, f"{subject}: {detail['msg']}, {got}")
    expected = list(dict.fromkeys(EXPECTED[_kind(detail)] for detail in details))
    if "a number" in expected and "a whole number" in expected:
        expected.remove("a whole number")
    quotes = expected == ["text"] and isinstance(detail["input"], bool | int | float)
    types = " or ".join([", ".join(expected[:-1]), expected[-1]] if len(expected) > 1 else expected)
    return Problem(key, f"{subject} must be {types}, {got}{'; put it in quotes' if quotes else ''}")


def _suggestion(keys: Keys, key: KeyPath) -> str:
    """Return what to write instead of an unknown key."""
    name, section, paths = key[-1], keys.section(key[:-1]) or keys.schema, keys.paths()
    parents = [dotted(path[:-1]) or "the top level" for path in paths if path[-1] == name]
    if parents:
        return f"; {name} belongs {'at' if parents[0] == 'the top level' else 'in'} {' or '.join(parents)}"
    if keys.field(keys.split(name)) is not None:
        section_name, _, leaf = name.partition(".")
        return f"; write {leaf} on a line of its own under {section_name}:"
    if close := nearest(name, section.model_fields):
        return f"; did you mean {close}?"
    if close := nearest(name, [path[-1] for path in paths]):
        return f"; did you mean {' or '.join(dotted(path) for path in paths if path[-1] == close)}?"
    return f"; keys{' of ' + dotted(key[:-1]) if key[:-1] else ''} are {', '.join(section.model_fields)}"


def _options(keys: Keys, key: KeyPath) -> str:
    allowed = _allowed(keys, key)
    return f": one of {', '.join(allowed)}" if allowed else ""


def _allowed(keys: Keys, key: KeyPath) -> list[str]:
    field = keys.field(key)
    return [str(value) for part in (field.annotation, *field.metadata) for value in _choices_in(part)] if field else []


def _alternatives(details: list[ErrorDetails]) -> str:
    """Return the types that a union allows beside its literal values."""
    types = dict.fromkeys(EXPECTED[_kind(detail)] for detail in details if _is_type_error(detail))
    return "".join(f"{name} or " for name in types)


def _choices(keys: Keys, key: KeyPath, detail: ErrorDetails) -> str:
    allowed = _allowed(keys, key)
    got = detail["input"]
    close = nearest(got, allowed) if isinstance(got, str) else None
    return f"{', '.join(allowed)}, got {_shown(got)}" + (f"; did you mean {close}?" if close else "")


def _contradiction(keys: Keys, key: KeyPath, reason: str) -> Problem:
    """Return the problem that a validator of a section raised, located at the first key that its message names."""
    field = keys.field(key)
    if field is not None and section_of(field) is None:
        return Problem(key, f"{dotted(key)}: {reason}")
    named = [keys.split(word) for word in re.findall(r"[\w.]+", reason)]
    return Problem(next((path for path in named if keys.field(path) is not None), key), reason)


def _required(keys: Keys, key: KeyPath) -> list[KeyPath]:
    """Return the path of a missing key, or of the required keys of a missing section."""
    section = keys.section(key)
    if section is None:
        return [key]
    return [
        path
        for name, field in section.model_fields.items()
        if field.is_required()
        for path in _required(keys, (*key, name))
    ]


def _choices_in(annotation: Any) -> list[Any]:
    """Return the values that the Literal types and OneOf in an annotation allow."""
    if isinstance(annotation, OneOf):
        return list(annotation.names())
    arguments = get_args(annotation)
    if get_origin(annotation) is Literal:
        return list(arguments)
    return [value for argument in arguments for value in _choices_in(argument)]


def _position(key: KeyPath, detail: ErrorDetails) -> tuple[int, ...]:
    return tuple(part for part in detail["loc"][len(key) :] if isinstance(part, int))


def _kind(detail: ErrorDetails) -> str:
    return detail["type"].split("_")[0]


def _is_type_error(detail: ErrorDetails) -> bool:
    return detail["type"].endswith(("_type", "_parsing", "_from_float")) and _kind(detail) in EXPECTED


def _reason(detail: ErrorDetails) -> str:
    return str(detail.get("ctx", {}).get("error", detail["msg"]))


def _shown(value: Any) -> str:
    """Return a value as YAML has it, cut to a readable length."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.10g}"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
