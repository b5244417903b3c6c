"""Types of the values in record.json and study.json, checked when the files are read."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, NotRequired

from pydantic import Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from kit.errors import RecordError

_Finite = Annotated[float, Field(allow_inf_nan=False)]


class _Estimate(TypedDict):
    value: _Finite
    low: _Finite
    high: _Finite


class _Sizes(TypedDict):
    budget: int
    train: int
    validation: int
    test: int


class _Data(TypedDict):
    description: str
    text_columns: list[str]
    sizes: _Sizes
    fingerprints: dict[str, str]
    audit: dict[str, Any]
    truncation: dict[str, Any]


class _Checkpoint(TypedDict):
    name: str
    revision: str | None
    sha256: str
    tokenizer_sha256: str


class _Plan(TypedDict):
    steps: int
    epochs: _Finite
    learning_rate: _Finite
    batch_size: int


class _Diagnosis(TypedDict):
    line: str


class _Training(TypedDict):
    plan: _Plan
    precision: str
    samples_per_second: _Finite
    history: list[dict[str, Any]]
    evaluations: list[dict[str, Any]]
    diagnosis: _Diagnosis
    notes: list[str]


class _Seconds(TypedDict):
    total: _Finite


class RecordContent(TypedDict):
    """record.json. Keys that are not listed here may have any value."""

    id: str
    created: str
    method: str
    task: str
    main_metric: str
    labels: list[str]
    recipe: dict[str, Any]
    data: _Data
    checkpoint: _Checkpoint | None
    settings: NotRequired[dict[str, Any]]
    training: _Training | None
    metrics: dict[str, _Estimate]
    details: NotRequired[dict[str, Any]]
    provenance: NotRequired[dict[str, Any]]
    seconds: _Seconds
    peak_memory_bytes: int
    model_bytes: int
    files: dict[str, str]


class _Cell(TypedDict):
    method: str
    checkpoint: str | None
    budget: int
    seed: int
    key: str


class _StudyData(TypedDict):
    training_examples: NotRequired[int]
    warnings: NotRequired[list[str]]


class StudyContent(TypedDict):
    """study.json. Keys that are not listed here may have any value."""

    name: str
    created: str
    recipe: dict[str, Any]
    cells: list[_Cell]
    data: _StudyData


def require_types(path: Path, content: object, schema: Any, hint: str) -> None:
    """Raise RecordError that names the first value of another type than the file's schema says."""
    try:
        _adapter(schema).validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise RecordError(f"{path} is damaged: {place}: {first['msg']}", hint) from error


@lru_cache
def _adapter(schema: Any) -> TypeAdapter[Any]:
    return TypeAdapter(schema)
