"""Types of the values in record.json, kit.json and study.json, checked when the files are read."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, NotRequired

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from kit.errors import RecordError

RECORD_FILE = "record.json"  # of a run
MANIFEST_FILE = "kit.json"  # of an exported folder, which is not a Record

_LARGEST = 2**53  # integers up to this one are exact in JSON of other programs
_Finite = Annotated[float, Field(ge=-_LARGEST, le=_LARGEST, allow_inf_nan=False)]
_Positive = Annotated[float, Field(ge=0, le=_LARGEST, allow_inf_nan=False)]
_Count = Annotated[int, Field(ge=0, le=_LARGEST)]
_WORDS = {  # of pydantic's kinds of errors
    "missing": "it is missing",
    "extra_forbidden": "kit writes no such key",
    "finite_number": "it is not a finite number",
    "greater_than_equal": "the number is too small",
    "float_type": "it is not a number",
    "string_type": "it is not text",
    "list_type": "it is not a list",
    "dict_type": "it is not an object",
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "it is not a whole number"),
    **dict.fromkeys(("int_parsing_size", "less_than_equal"), "the number is too large"),
}


class _Estimate(TypedDict):
    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]
    value: _Finite
    low: _Finite
    high: _Finite
    level: NotRequired[_Finite]


class _Sizes(TypedDict):
    budget: _Count
    train: _Count
    validation: _Count
    test: _Count


class _Audit(TypedDict):
    leaked_exact: NotRequired[_Count]
    leaked_normalised: NotRequired[_Count]
    duplicates_train: NotRequired[_Count]
    conflicting_train: NotRequired[_Count]
    labels_train: NotRequired[dict[str, _Count] | None]
    labels_test: NotRequired[dict[str, _Count] | None]


class _Data(TypedDict):
    description: str
    revision: NotRequired[str | None]
    label_column: NotRequired[str | list[str] | None]
    most_frequent_labels: NotRequired[list[str] | None]
    text_columns: list[str]
    sizes: _Sizes
    fingerprints: dict[str, str]
    audit: _Audit
    truncation: dict[str, _Finite]


class _Checkpoint(TypedDict):
    name: str
    revision: str | None
    sha256: str
    tokenizer_sha256: str


class _Plan(TypedDict):
    steps: _Count
    epochs: _Finite
    learning_rate: _Finite
    batch_size: _Count


class _Evaluation(TypedDict):
    step: _Count
    train_metric: _Finite | None
    validation_metric: _Finite | None


class _Diagnosis(TypedDict):
    line: str
    verdict: NotRequired[str]


class _Training(TypedDict):
    plan: _Plan
    precision: str
    samples_per_second: _Finite
    history: list[dict[str, _Finite | None]]
    evaluations: list[_Evaluation]
    diagnosis: _Diagnosis
    notes: list[str]


class _Seconds(TypedDict):
    fit: _Positive
    total: _Positive


class _Seeds(TypedDict):
    train: _Count
    split: _Count


class _Compression(TypedDict):
    source: str
    start: NotRequired[str]
    technique: str


class _Teacher(TypedDict):
    name: str
    record: str | None
    sha256: NotRequired[str]


class _TransferSet(TypedDict):
    texts: _Count


class _Settings(TypedDict):
    compression: NotRequired[_Compression]
    teachers: NotRequired[list[_Teacher]]
    transfer_set: NotRequired[_TransferSet]
    loss_on_references: NotRequired[dict[str, _Finite] | _Finite | None]
    tokens: NotRequired[_Count]
    tokens_before: NotRequired[_Count]
    new_texts_read_differently: NotRequired[_Finite]


class _Recipe(TypedDict):
    data: NotRequired[dict[str, Any]]


class _Details(TypedDict):
    signatures: NotRequired[dict[str, str]]
    loops: NotRequired[_Count]
    empty: NotRequired[_Count]


class RecordContent(TypedDict):
    """record.json. Keys that are not listed here may have any value."""

    id: str
    created: str
    method: str
    task: str
    main_metric: str
    labels: list[str]
    recipe: _Recipe
    data: _Data
    checkpoint: _Checkpoint | None
    settings: _Settings
    seeds: NotRequired[_Seeds]
    parameters: _Count
    backend: NotRequired[str]
    training: _Training | None
    metrics: dict[str, _Estimate]
    details: NotRequired[_Details]
    provenance: NotRequired[dict[str, Any]]
    seconds: _Seconds
    peak_memory_bytes: _Count
    model_bytes: _Count
    files: dict[str, str]


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


class _Fingerprints(TypedDict):
    train: str
    validation: str
    test: str


class _CardData(TypedDict):
    fingerprints: _Fingerprints
    revision: str | None


class _Provenance(TypedDict):
    kit: str
    commit: str | None
    python: str
    versions: dict[str, str | None]
    cpu: str
    cores: _Count
    gpus: list[str]


class CardContent(TypedDict):
    """Parts of record.json that a model card needs and that not every Record has."""

    data: _CardData
    settings: dict[str, Any]
    provenance: _Provenance


class ChainContent(TypedDict):
    """chain.json of a compression, beside the Record that it ended with."""

    source: str
    lines: list[str]


class VerdictContent(TypedDict):
    """verdict.json of a distillation, beside the student of its first seed."""

    lines: list[str]


class _Cell(TypedDict):
    method: str
    checkpoint: str | None
    budget: _Count
    seed: int
    key: str


class _StudyFingerprints(TypedDict):
    train: str
    test: str


class _StudyData(TypedDict):
    description: str
    training_examples: _Count
    test_examples: _Count
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
    """Raise RecordError that names the first value that the file's schema does not allow."""
    try:
        _adapter(schema).validate_python(content, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        words = _WORDS.get(first["type"], "it has another type than kit writes")
        raise RecordError(f"{path} is damaged: {place}: {words}", hint) from error


@lru_cache
def _adapter(schema: Any) -> TypeAdapter[Any]:
    return TypeAdapter(schema)
