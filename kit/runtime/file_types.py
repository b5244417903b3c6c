"""Types of the values in kit.json, study.json and smaller files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, NotRequired, TypeVar

from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from kit.errors import RecordError

RECORD_FILE = "record.json"  # of a run
MODEL_FOLDER = "model"  # of a run, beside record.json
MANIFEST_FILE = "kit.json"  # of an exported folder, which is not a Record

LARGEST = 2**53  # integers up to this one are exact in JSON of other programs
Count = Annotated[int, Field(ge=0, le=LARGEST, strict=True)]
"""A whole number that is not negative."""
_Content = TypeVar("_Content", bound=BaseModel)
_WORDS = {  # of pydantic's kinds of errors
    "missing": "it is missing",
    "extra_forbidden": "kit writes no such key",
    "finite_number": "it is not a finite number",
    "greater_than_equal": "the number is too small",
    "float_type": "it is not a number",
    "string_type": "it is not text",
    **dict.fromkeys(("list_type", "tuple_type"), "it is not a list"),
    **dict.fromkeys(("dict_type", "model_type"), "it is not an object"),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "it is not a whole number"),
    **dict.fromkeys(("int_parsing_size", "less_than_equal"), "the number is too large"),
}


class ManifestContent(TypedDict):
    """kit.json of an exported folder. Keys that are not listed here may have any value."""

    record: str
    how: str
    recipe: dict[str, Any]
    labels: list[str]
    text_columns: list[str]
    formats: dict[str, str]
    backends: dict[str, str]
    files: dict[str, str]
    proven: NotRequired[dict[str, Any]]
    held_out: NotRequired[dict[str, list[Any]]]


class ChainContent(TypedDict):
    """chain.json of a compression, beside the Record that it ended with."""

    source: str
    lines: list[str]


class VerdictContent(TypedDict):
    """verdict.json of a distillation, beside the student of its first seed."""

    lines: list[str]


class _Cell(TypedDict):
    variant: NotRequired[str]
    method: NotRequired[str]  # in studies of earlier versions
    checkpoint: str | None
    budget: Count
    seed: int
    key: str


class _StudyFingerprints(TypedDict):
    train: str
    test: str


class _StudyData(TypedDict):
    description: str
    training_examples: Count
    test_examples: Count
    fingerprints: _StudyFingerprints
    warnings: list[str]


class StudyContent(TypedDict):
    """study.json. Keys that are not listed here may have any value."""

    name: str
    created: str
    recipe: dict[str, Any]
    cells: list[_Cell]
    data: _StudyData
    arguments: NotRequired[list[str]]


def require_types(path: Path, content: object, schema: Any, hint: str) -> None:
    """Raise RecordError naming the first value that a typed dictionary does not allow."""
    with _damage_named(path, hint):
        _adapter(schema).validate_python(content, strict=True)


def read_types(path: Path, content: object, schema: type[_Content], hint: str) -> _Content:
    """Return the content of a file as its model. Raises RecordError naming a wrong value."""
    with _damage_named(path, hint):
        return schema.model_validate(content)


@contextmanager
def _damage_named(path: Path, hint: str) -> Iterator[None]:
    try:
        yield
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        words = _WORDS.get(first["type"], "it has another type than kit writes")
        raise RecordError(f"{path} is damaged: {place}: {words}", hint) from error


@lru_cache
def _adapter(schema: Any) -> TypeAdapter[Any]:
    return TypeAdapter(schema)
