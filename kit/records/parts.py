"""Base of the objects in record.json, and its numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from kit.runtime.file_types import LARGEST


def _as_read(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    """Check a number and return it as it is: 1 is not written as 1.0."""
    check(value)
    return value


Number = Annotated[float, Field(ge=-LARGEST, le=LARGEST, allow_inf_nan=False, strict=True), WrapValidator(_as_read)]
Score = Annotated[float, Field(ge=-1e100, le=1e100, allow_inf_nan=False, strict=True), WrapValidator(_as_read)]
Duration = Annotated[float, Field(ge=0, le=LARGEST, allow_inf_nan=False, strict=True), WrapValidator(_as_read)]


class RecordPart(BaseModel):
    """An object in record.json that keeps unknown keys and the order of keys."""

    model_config = ConfigDict(extra="allow", frozen=True, protected_namespaces=())

    _keys: tuple[str, ...] = PrivateAttr(default=())

    @model_validator(mode="wrap")
    @classmethod
    def _with_order(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        part = handler(value)
        if isinstance(value, Mapping):
            part._keys = tuple(value)
        return part

    def to_dict(self) -> dict[str, Any]:
        """Return the object as plain data, with the keys that were read or set."""
        values = {**self.__dict__, **(self.model_extra or {})}
        return {key: _plain(values[key]) for key in self._keys}


def _plain(value: Any) -> Any:
    if isinstance(value, RecordPart):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
