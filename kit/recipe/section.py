"""What all sections of a recipe have in common.

Knows pydantic. Knows nothing of any one key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, get_args

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationInfo, field_validator
from pydantic_core import PydanticKnownError

Name = Annotated[str, StringConstraints(min_length=1)]


def one_or_all(values: Sequence[str]) -> str | list[str] | None:
    """Return names as people write them: nothing, a single one, or a list."""
    return list(values) if len(values) > 1 else next(iter(values), None)


def members(annotation: Any) -> set[Any]:
    """All types that an annotation is made of."""
    return {annotation}.union(*(members(argument) for argument in get_args(annotation)))


def refuse(contradictions: Mapping[str, bool]) -> None:
    """Raise ValueError with the messages of those contradictions that hold, one per line."""
    if any(contradictions.values()):
        raise ValueError("\n".join(message for message, holds in contradictions.items() if holds))


class Section(BaseModel):
    """A part of the recipe: refuses keys it does not know, cannot be changed after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    later_keys: ClassVar[Mapping[str, tuple[Any, ...]]] = {}
    """Keys added after the first Records were written, each with the values that change nothing. A request leaves these
    keys out while they have such a value, so that the ids of finished runs stay the same."""

    def without_later_keys(self, content: dict[str, Any]) -> dict[str, Any]:
        """Return dumped content without the later keys that change nothing, in this section and those inside it.

        Args:
            content: `self.model_dump()`, of all keys or some.
        """
        kept = {}
        for key, value in content.items():
            field = getattr(self, key, None)
            if key not in self.later_keys or field not in self.later_keys[key]:
                kept[key] = field.without_later_keys(value) if isinstance(field, Section) else value
        return kept

    @field_validator("*", mode="before")
    @classmethod
    def _truth_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, bool) and info.field_name:
            kinds = members(cls.model_fields[info.field_name].annotation)
            if bool not in kinds and kinds & {int, float}:
                raise PydanticKnownError("int_type" if int in kinds else "float_type")
        return value
