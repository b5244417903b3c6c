"""The base of all sections of a recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, get_args

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationInfo, field_validator
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


class Section(BaseModel):
    """A part of the recipe: immutable, and without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    later_keys: ClassVar[Mapping[str, tuple[Any, ...]]] = {}
    """Keys that older Records do not have, each with the values that change nothing. Requests leave a key out while it
    has such a value, so that the ids of finished runs stay the same."""

    def without_later_keys(self, content: dict[str, Any]) -> dict[str, Any]:
        """Return dumped content without later keys that change nothing, in this section and in sections inside it.

        Args:
            content: `self.model_dump()`, complete or with some keys excluded.
        """
        kept = {}
        for key, value in content.items():
            field = getattr(self, key, None)
            if key not in self.later_keys or field not in self.later_keys[key]:
                kept[key] = field.without_later_keys(value) if isinstance(field, Section) else value
        return kept

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_bool_as_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Raise an error for true and false where a number is expected, which pydantic reads as 1 and 0."""
        if isinstance(value, bool) and info.field_name:
            types = members(cls.model_fields[info.field_name].annotation)
            if bool not in types and types & {int, float}:
                raise PydanticKnownError("int_type" if int in types else "float_type")
        return value
