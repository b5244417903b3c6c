"""Type of recipe values that are one of the names in a registry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticKnownError, core_schema


@dataclass(frozen=True)
class OneOf:
    """Annotation of a value that must be one of some names, which are read when a value is checked.

    Errors and the JSON Schema are those of a `Literal` with these names.

    Attributes:
        names: Returns the names.
    """

    names: Callable[[], tuple[str, ...]]

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        """Return the validation for pydantic."""
        return core_schema.no_info_plain_validator_function(self._checked)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Return the JSON Schema for pydantic."""
        return {"enum": list(self.names()), "type": "string"}

    def _checked(self, value: Any) -> str:
        names = self.names()
        if isinstance(value, str) and value in names:
            return value
        raise PydanticKnownError("literal_error", {"expected": " or ".join(map(repr, names))})
