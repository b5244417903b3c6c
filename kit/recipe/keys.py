"""Key paths of recipes, and the fields of a schema that they lead to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import get_args, get_origin

from pydantic.fields import FieldInfo

from kit.recipe.section import Section, members

KeyPath = tuple[str, ...]
"""Names of keys from the outermost; an item of a list of sections has the name `[0]`, see `item_name`."""


@dataclass(frozen=True)
class Keys:
    """Keys of a schema, including those of its sections."""

    schema: type[Section]

    def field(self, path: KeyPath) -> FieldInfo | None:
        """Return the field at a path, or None if the schema has no such key."""
        field, section = None, self.schema  # type: FieldInfo | None, type[Section] | None
        for part in path:
            if field is not None and _is_item(part):
                section = item_section(field)
                continue
            field = section.model_fields.get(part) if section else None
            if field is None:
                return None
            section = section_of(field)
        return field

    def section(self, path: KeyPath) -> type[Section] | None:
        """Return the section at a path, or None for a plain value or an unknown key."""
        if not path:
            return self.schema
        field = self.field(path)
        if field is None:
            return None
        return item_section(field) if _is_item(path[-1]) else section_of(field)

    def is_mapping(self, path: KeyPath) -> bool:
        """Return True if the value at a path is a mapping whose keys the user chooses, such as `data.where`."""
        field = self.field(path)
        return field is not None and get_origin(field.annotation) is dict

    def split(self, key: str) -> KeyPath:
        """Return the path of a key as people write it; below a mapping such as `data.where`, the rest is one name."""
        parts = tuple(key.replace("[", ".[").split("."))
        for depth in range(1, len(parts)):
            if self.is_mapping(parts[:depth]):
                return (*parts[:depth], ".".join(parts[depth:]))
        return parts

    def paths(self) -> list[KeyPath]:
        """Return the paths of all keys: each section, followed by the keys inside it."""
        return _paths(self.schema, ())


def section_of(field: FieldInfo) -> type[Section] | None:
    """Return the section that a field holds, or None for a plain value."""
    for kind in (field.annotation, *get_args(field.annotation)):
        if isinstance(kind, type) and issubclass(kind, Section):
            return kind
    return None


def item_section(field: FieldInfo) -> type[Section] | None:
    """Return the section that the items of a list are, or None for any other value."""
    for kind in members(field.annotation):
        if get_origin(kind) is list:
            (item,) = get_args(kind)
            if isinstance(item, type) and issubclass(item, Section):
                return item
    return None


def item_name(number: int) -> str:
    """Return the name of an item of a list in a path. number: Its position, from 0."""
    return f"[{number}]"


def dotted(path: Iterable[str | int]) -> str:
    """Return a path as people write it: `("data", "text", 1)` as `data.text[1]`."""
    text = ""
    for part in path:
        text += item_name(part) if isinstance(part, int) else part if _is_item(part) else f".{part}"
    return text.removeprefix(".")


def _is_item(name: str) -> bool:
    return name.startswith("[")


def _paths(section: type[Section], prefix: KeyPath) -> list[KeyPath]:
    paths: list[KeyPath] = []
    for name, field in section.model_fields.items():
        paths.append((*prefix, name))
        inner = section_of(field)
        if inner is not None:
            paths += _paths(inner, (*prefix, name))
    return paths
