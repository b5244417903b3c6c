"""The base of all sections of a recipe."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Self, get_args

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationInfo, field_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticKnownError

Name = Annotated[str, StringConstraints(min_length=1)]


def one_or_all(values: Sequence[str]) -> str | list[str] | None:
    """Return names as recipes have them: None for no name, the name itself if there is one, otherwise a list."""
    return list(values) if len(values) > 1 else next(iter(values), None)


def members(annotation: Any) -> set[Any]:
    """Return all types that an annotation consists of, itself included."""
    return {annotation}.union(*(members(argument) for argument in get_args(annotation)))


def refuse(contradictions: Mapping[str, bool]) -> None:
    """Raise ValueError with the messages of those contradictions that hold, one per line."""
    if any(contradictions.values()):
        raise ValueError("\n".join(message for message, holds in contradictions.items() if holds))


@dataclass(frozen=True)
class InId:
    """Marker of a recipe key, in its `Annotated` type, that is part of an id only for some runs.

    A key without a marker is part of every id, unless it has its default; see `kit.recipe.identity`. The marker of a
    section applies to its keys, as far as they have no marker of their own.

    Attributes:
        methods: Methods whose result depends on the key; None for all.
        families: Families of models whose result depends on the key; None for all.
        unless: Names of contents; the key is left out of an id that contains one of them, which determines its effect.
    """

    methods: tuple[str, ...] | None = None
    families: tuple[str, ...] | None = None
    unless: tuple[str, ...] = ()

    @classmethod
    def of(cls, field: FieldInfo) -> InId:
        """Return the marker of a field; the default for a field without a marker."""
        return next((item for item in field.metadata if isinstance(item, cls)), cls())

    def within(self, section: InId) -> InId:
        """Return the marker of a key, with the section's own marker for what it leaves open."""
        return InId(
            section.methods if self.methods is None else self.methods,
            section.families if self.families is None else self.families,
            self.unless or section.unless,
        )

    def applies(self, method: str, family: str, contents: Container[str]) -> bool:
        """Return whether the key is part of the id of a run with these contents."""
        return (
            (self.methods is None or method in self.methods)
            and (self.families is None or family in self.families)
            and not any(name in contents for name in self.unless)
        )


NOT_IN_ID = InId(methods=())
"""Marker of a key that changes no result."""


class Section(BaseModel):
    """A part of the recipe: immutable, and without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    @classmethod
    def from_section(cls, section: Section, **values: Any) -> Self:
        """Return this kind of section with the content of another one, in which some values are replaced."""
        return cls.model_construct(**dict(section) | values)

    def problems(self) -> list[tuple[tuple[str, ...], str]]:
        """Return problems of a whole recipe, each as the path of its key and a sentence."""
        return []

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_bool_as_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Raise an error for true and false where a number is expected, which pydantic reads as 1 and 0."""
        if isinstance(value, bool) and info.field_name:
            types = members(cls.model_fields[info.field_name].annotation)
            if bool not in types and types & {int, float}:
                raise PydanticKnownError("int_type" if int in types else "float_type")
        return value
