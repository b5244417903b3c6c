"""Explanations: what is wrong with a recipe, in the words of its keys.

Knows the schema and how pydantic reports what breaks it. Knows nothing of YAML, files or lines.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from kit.errors import RecipeError
from kit.recipe.schema import Recipe
from kit.recipe.section import Section
from kit.recipe.value_words import BOUNDS, EXPECTED

KeyPath = tuple[str, ...]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: the key (or section) it is about, and a sentence that names that key."""

    path: KeyPath
    message: str


def validated(content: Mapping[str, Any]) -> Recipe:
    """The recipe of plain data. Raises RecipeError that says every problem."""
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        raise RecipeError("; ".join(problem.message for problem in explain(error))) from None


def explain(error: ValidationError) -> list[Problem]:
    """Every problem in a pydantic error, one per key, with what was expected and the nearest valid key."""
    by_key: dict[KeyPath, list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False):
        by_key.setdefault(_key(detail["loc"]), []).append(detail)
    return [problem for key, details in by_key.items() for problem in _problems(key, details)]


def dotted(path: Iterable[str | int]) -> str:
    """`("data", "text", 1)` as `data.text[1]`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


def split_key(key: str) -> KeyPath:
    """The path of a dotted key; below a free mapping such as `data.where`, the rest is one (column) name."""
    parts = tuple(key.split("."))
    for depth in range(1, len(parts)):
        if is_mapping(field_at(parts[:depth])):
            return (*parts[:depth], ".".join(parts[depth:]))
    return parts


def section_of(field: FieldInfo) -> type[Section] | None:
    """The section that a field holds, None for a plain value."""
    for kind in (field.annotation, *get_args(field.annotation)):
        if isinstance(kind, type) and issubclass(kind, Section):
            return kind
    return None


def field_at(path: KeyPath) -> FieldInfo | None:
    """The schema's field for a key path, None where there is none."""
    field, section = None, Recipe  # type: FieldInfo | None, type[Section] | None
    for part in path:
        field = section.model_fields.get(part) if section else None
        if field is None:
            return None
        section = section_of(field)
    return field


def is_mapping(field: FieldInfo | None) -> bool:
    """Whether a field is a mapping whose keys are the user's own."""
    return field is not None and get_origin(field.annotation) is dict


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate that `name` was probably meant to be."""
    by_lower = {candidate.lower(): candidate for candidate in candidates}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return by_lower[close[0]] if close else None


def _key(location: tuple[int | str, ...]) -> KeyPath:
    """The key that an error is about: pydantic's location without list positions and union members."""
    key: KeyPath = ()
    for part in location:
        field = field_at(key)
        plain = field is not None and section_of(field) is None
        if plain and not is_mapping(field):
            return key
        key = (*key, str(part))
        if plain:
            return key
    return key


def _problems(key: KeyPath, details: list[ErrorDetails]) -> list[Problem]:
    kind = details[0]["type"]
    if kind == "extra_forbidden":
        return [Problem(key, f"{dotted(key)} is not a key{_advice(key)}")]
    if kind == "missing":
        return [Problem(path, f"{dotted(path)} is required{_options(path)}") for path in _required(key)]
    if kind == "value_error":
        return [_disagreement(key, line) for line in _reason(details[0]).splitlines()]
    if kind == "model_type":
        section = _section(key)
        return [Problem(key, f"{dotted(key)} is a section{_listing(section)}, got {_shown(details[0]['input'])}")]
    return [_wrong_value(key, details)]


def _wrong_value(key: KeyPath, details: list[ErrorDetails]) -> Problem:
    """One sentence for all complaints about a value: a union complains once for each of its members."""
    inside = [detail for detail in details if _position(key, detail)]
    details = inside or details
    telling = [detail for detail in details if not _is_type_error(detail)]
    detail = (telling or details)[0]
    subject = dotted((*key, *_position(key, detail)))
    got = f"got {_shown(detail['input'])}"
    context = {name: _shown(value) for name, value in detail.get("ctx", {}).items()}
    if detail["type"] == "literal_error":
        return Problem(key, f"{subject} must be {_wanted(details)}one of {_choices(key, detail)}")
    if detail["type"] == "too_short" and not detail["input"]:
        return Problem(key, f"{subject} must not be empty")
    if detail["type"] in BOUNDS:
        return Problem(key, f"{subject} {BOUNDS[detail['type']].format(**context)}, {got}")
    if telling:
        return Problem(key, f"{subject}: {detail['msg']}, {got}")
    expected = list(dict.fromkeys(EXPECTED[_kind(detail)] for detail in details))
    if "a number" in expected and "a whole number" in expected:
        expected.remove("a whole number")
    quotes = expected == ["text"] and isinstance(detail["input"], bool | int | float)
    wanted = " or ".join([", ".join(expected[:-1]), expected[-1]] if len(expected) > 1 else expected)
    return Problem(key, f"{subject} must be {wanted}, {got}{'; put it in quotes' if quotes else ''}")


def _advice(key: KeyPath) -> str:
    """What to write in place of an unknown key."""
    name, section = key[-1], _section(key[:-1])
    homes = [path for path in _all_keys() if path[-1] == name]
    if homes:
        places = [dotted(path[:-1]) or "the top level" for path in homes]
        return f"; {name} belongs {'at' if places[0] == 'the top level' else 'in'} {' or '.join(places)}"
    if field_at(split_key(name)) is not None:
        section_name, _, leaf = name.partition(".")
        return f"; write {leaf} on a line of its own under {section_name}:"
    if close := nearest(name, section.model_fields):
        return f"; did you mean {close}?"
    if close := nearest(name, [path[-1] for path in _all_keys()]):
        return f"; did you mean {' or '.join(dotted(path) for path in _all_keys() if path[-1] == close)}?"
    return f"; keys{' of ' + dotted(key[:-1]) if key[:-1] else ''} are {', '.join(section.model_fields)}"


def _options(key: KeyPath) -> str:
    allowed = _allowed(key)
    return f": one of {', '.join(allowed)}" if allowed else ""


def _allowed(key: KeyPath) -> list[str]:
    field = field_at(key)
    return [str(value) for value in _literals(field.annotation)] if field else []


def _wanted(details: list[ErrorDetails]) -> str:
    """What the other members of a union take that has a few words beside them."""
    others = dict.fromkeys(EXPECTED[_kind(each)] for each in details if _is_type_error(each))
    return "".join(f"{other} or " for other in others)


def _choices(key: KeyPath, detail: ErrorDetails) -> str:
    allowed = _allowed(key)
    got = detail["input"]
    close = nearest(got, allowed) if isinstance(got, str) else None
    return f"{', '.join(allowed)}, got {_shown(got)}" + (f"; did you mean {close}?" if close else "")


def _disagreement(key: KeyPath, reason: str) -> Problem:
    """A problem that a validator of ours found: its sentence, located at the first key that it names."""
    if field_at(key) is not None and section_of(field_at(key) or FieldInfo()) is None:
        return Problem(key, f"{dotted(key)}: {reason}")
    named = [split_key(word) for word in re.findall(r"[\w.]+", reason)]
    return Problem(next((path for path in named if field_at(path) is not None), key), reason)


def _required(key: KeyPath) -> list[KeyPath]:
    """The missing key itself, or the required keys of a missing section."""
    field = field_at(key)
    section = section_of(field) if field else None
    if section is None:
        return [key]
    return [
        path for name, inner in section.model_fields.items() if inner.is_required() for path in _required((*key, name))
    ]


def _all_keys(section: type[Section] = Recipe, prefix: KeyPath = ()) -> list[KeyPath]:
    keys: list[KeyPath] = []
    for name, field in section.model_fields.items():
        keys.append((*prefix, name))
        inner = section_of(field)
        if inner is not None:
            keys += _all_keys(inner, (*prefix, name))
    return keys


def _section(path: KeyPath) -> type[Section]:
    field = field_at(path)
    return (section_of(field) if field else None) or Recipe


def _listing(section: type[Section]) -> str:
    return f" with the keys {', '.join(section.model_fields)}"


def _literals(annotation: Any) -> list[Any]:
    """The values that the Literal types in an annotation allow."""
    arguments = get_args(annotation)
    if get_origin(annotation) is Literal:
        return list(arguments)
    return [value for argument in arguments for value in _literals(argument)]


def _position(key: KeyPath, detail: ErrorDetails) -> tuple[int, ...]:
    return tuple(part for part in detail["loc"][len(key) :] if isinstance(part, int))


def _kind(detail: ErrorDetails) -> str:
    return detail["type"].split("_")[0]


def _is_type_error(detail: ErrorDetails) -> bool:
    return detail["type"].endswith(("_type", "_parsing", "_from_float")) and _kind(detail) in EXPECTED


def _reason(detail: ErrorDetails) -> str:
    return str(detail.get("ctx", {}).get("error", detail["msg"]))


def _shown(value: Any) -> str:
    """A value as it would be written in YAML, cut to a readable length."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.10g}"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
