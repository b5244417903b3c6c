"""Content of record.json as types, checked once when it is read or written.

Fields with a default are absent from Records of earlier versions or of other methods. Keys that are not listed here may
have any value: they are kept, so that a Record of another version is written as it was read.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic import ConfigDict, Field

from kit.records.parts import Duration, Number, RecordPart, Score
from kit.runtime.file_types import MODEL_FOLDER, Count


class RecordedEstimate(RecordPart):
    """A metric with its interval."""

    model_config = ConfigDict(extra="forbid")

    value: Score
    low: Score
    high: Score
    level: Number = 0.95


class RecordedSizes(RecordPart):
    """Numbers of examples; the budget is the sum of train and validation."""

    budget: Count
    train: Count
    validation: Count
    pool: Count = 0
    test: Count


class RecordedAudit(RecordPart):
    """Counts of rows, see `kit.data.audit.Audit`."""

    rows_train: Count | None = None
    leaked_exact: Count = 0
    leaked_normalised: Count = 0
    duplicates_train: Count = 0
    conflicting_train: Count = 0
    labels_train: dict[str, Count] | None = None
    labels_test: dict[str, Count] | None = None
    numbers_train: dict[str, Any] | None = None

    @property
    def leaked(self) -> int:
        """Training rows whose text is in test."""
        return self.leaked_exact + self.leaked_normalised


class RecordedData(RecordPart):
    """The data of a run."""

    description: str
    text_columns: tuple[str, ...]
    sizes: RecordedSizes
    fingerprints: dict[str, str]
    audit: RecordedAudit
    truncation: dict[str, Number]
    revision: str | None = None
    label_column: str | list[str] | None = None
    most_frequent_labels: list[str] | None = None


class RecordedCheckpoint(RecordPart):
    """The checkpoint that training started from."""

    name: str
    revision: str | None
    sha256: str
    tokenizer_sha256: str


class RecordedPlan(RecordPart):
    """The numbers of a training run."""

    steps: Count
    epochs: Number
    learning_rate: Number
    batch_size: Count


class RecordedEvaluation(RecordPart):
    """Metrics on training and validation examples after a number of steps."""

    step: Count
    train_metric: Number | None
    validation_metric: Number | None


class RecordedDiagnosis(RecordPart):
    """Diagnosis of the training, in words."""

    line: str
    verdict: str = ""


class RecordedTraining(RecordPart):
    """Training by gradient steps."""

    plan: RecordedPlan
    precision: str
    samples_per_second: Number
    history: list[dict[str, Number | None]]
    evaluations: list[RecordedEvaluation]
    diagnosis: RecordedDiagnosis
    notes: list[str]


class RecordedCompression(RecordPart):
    """The step of compression that made the model, its source, and the chain's start."""

    source: str
    technique: str
    start: str | None = None


class RecordedTeacher(RecordPart):
    """A teacher: its name in the recipe, and the id of its Record if it has one."""

    name: str
    record: str | None
    sha256: str | None = None


class RecordedTexts(RecordPart):
    """The texts that a student was distilled on."""

    texts: Count


class RecordedHeldOut(RecordPart):
    """Confidences of predictions for held-out examples, and whether these are right."""

    confidences: tuple[Number, ...]
    right: tuple[bool, ...]


class RecordedSettings(RecordPart):
    """Values that a method or a technique chose or measured."""

    compression: RecordedCompression | None = None
    teachers: tuple[RecordedTeacher, ...] = ()
    held_out: RecordedHeldOut | None = None
    transfer_set: RecordedTexts | None = None
    loss_on_references: dict[str, Number] | Number | None = None
    tokens: Count = 0
    tokens_before: Count | None = None
    new_texts_read_differently: Number | None = None
    sides: str = ""
    batch_effect: dict[str, Any] | None = None
    chosen: dict[str, Any] | None = None
    float32_same: Number = 0.0
    float32_texts: Count = 0


class RecordedSeeds(RecordPart):
    """Seeds of the training and of the split into train and test."""

    train: Count
    split: Count


class RecordedDetails(RecordPart):
    """Results beside the metrics; each task has its own."""

    signatures: dict[str, str] = Field(default={})
    loops: Count = 0
    empty: Count = 0


class RecordedSeconds(RecordPart):
    """Durations of fitting, of testing, and of the whole run."""

    fit: Duration
    test: Duration = 0.0
    total: Duration


class RecordedRecipe(RecordPart):
    """The recipe as plain data; `Record.recipe` is the recipe itself."""

    data: dict[str, Any] = Field(default={})


class RunDescription(RecordPart):
    """A run and its results, without costs and files."""

    id: str
    created: str
    method: str
    task: str
    main_metric: str
    labels: tuple[str, ...]
    recipe: RecordedRecipe
    seeds: RecordedSeeds | None = None
    data: RecordedData
    checkpoint: RecordedCheckpoint | None
    settings: RecordedSettings
    parameters: Count
    training: RecordedTraining | None
    metrics: dict[str, RecordedEstimate]
    details: RecordedDetails = RecordedDetails()
    provenance: dict[str, Any] = Field(default={})


class RunCosts(RecordPart):
    """Time, memory and size of a run."""

    seconds: RecordedSeconds
    peak_memory_bytes: Count
    peak_gpu_memory_bytes: Count | None = None
    model_bytes: Count


class RecordContent(RunDescription, RunCosts):
    """record.json."""

    format: int
    backend: str | None = None
    files: dict[str, str]
    sha256: str

    @property
    def checkpoint_name(self) -> str | None:
        """Name of the checkpoint that training started from; None without one."""
        return None if self.checkpoint is None else self.checkpoint.name

    @property
    def compressed_from(self) -> str | None:
        """Id of the run that was compressed; None for a trained model."""
        return None if self.settings.compression is None else self.settings.compression.source

    @property
    def model_files(self) -> dict[str, str]:
        """Hashes of the files in the model's folder, by path in the Record."""
        return {name: sha256 for name, sha256 in self.files.items() if name.startswith(f"{MODEL_FOLDER}/")}

    def to_json(self) -> str:
        """Return the text of record.json."""
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


class Provenance(RecordPart):
    """Versions and hardware of a run, see `kit.runtime.versions.provenance`."""

    kit: str
    commit: str | None
    python: str
    versions: dict[str, str | None]
    cpu: str
    cores: Count
    gpus: list[str]


class _Fingerprints(RecordPart):
    train: str
    validation: str
    test: str


class _CardData(RecordPart):
    fingerprints: _Fingerprints
    revision: str | None


class CardContent(RecordPart):
    """Parts of record.json that a model card needs and that not every Record has."""

    data: _CardData
    settings: dict[str, Any]
    provenance: Provenance
