"""The Record: one finished run on disk, with its recipe, settings and results.

    runs/<id>/record.json          everything about the run, as plain data
              predictions.parquet  id, label(s), and logits, number or translation of every test example
              model/               weights (safetensors), tokenizer, label names; absent if not kept
              logs/                trackers' files

A Record is written once, atomically, and never changed. Everything after training reads only Records.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from kit.data.numbers import values_of
from kit.errors import MAKE_AGAIN, ModelError, RecordError
from kit.measurement.baselines import (
    Baselines,
    balance_words,
    few_examples_words,
    metrics_to_show,
    number_baselines,
    run_baselines,
    run_set_baselines,
)
from kit.measurement.intervals import Estimate, shown
from kit.models.backends.backend import Backend
from kit.models.kinds import backend_of
from kit.recipe.resolved import ResolvedRecipe
from kit.recipe.sections.data import TargetKind
from kit.records.checks import checked_content, recipe_of_record
from kit.records.content import RecordContent
from kit.records.predictions import PREDICTIONS_FILE, Predictions, read_predictions
from kit.records.summary import origin_rows, training_rows
from kit.runtime.file_types import MANIFEST_FILE, MODEL_FOLDER, RECORD_FILE
from kit.runtime.files import file_sha256, write_atomically
from kit.runtime.json_files import read_object, require_format
from kit.runtime.names import regular_files
from kit.runtime.seals import require_seal, sealed

FORMAT = 2
_KEYS = (
    "id", "created", "method", "task", "main_metric", "labels", "recipe", "data", "checkpoint", "training",
    "metrics", "seconds", "peak_memory_bytes", "model_bytes", "files",
)  # fmt: skip
_MODEL = f"{MODEL_FOLDER}/"
_MAX_FILES_SHOWN = 5


@dataclass(frozen=True)
class Record:
    """One finished run.

    Attributes:
        folder: Folder of the Record.
        content: Content of record.json; `to_dict` returns it as plain data.
    """

    folder: Path
    content: RecordContent

    @classmethod
    def load(cls, folder: str | Path) -> Record:
        """Read a Record and check the hashes of all its files.

        Raises:
            RecordError: The folder is not a Record or has another format; a file is missing, changed, or a link that
                leads out of the folder; or the model's folder has a file that record.json does not list.
        """
        record = cls.read(folder)
        files = record.listed_files()
        for name, expected in record.content.files.items():
            if name not in files:
                raise RecordError(f"{record.folder} is damaged: {name} is missing", MAKE_AGAIN)
            if file_sha256(files[name]) != expected:
                raise RecordError(f"{record.folder} is damaged: {name} was changed", MAKE_AGAIN)
        return record

    @classmethod
    def read(cls, folder: str | Path) -> Record:
        """Read only record.json, for listings, and check its hash.

        Raises:
            RecordError: The file is missing, was changed, or names a path that leads out of the folder.
        """
        folder = Path(folder)
        path = folder / RECORD_FILE
        if not os.path.lexists(path):
            raise RecordError(*_missing_record_message(folder))
        content = read_object(path, hint=MAKE_AGAIN)
        if "format" in content:
            require_format(path, content, FORMAT)
        if missing := [key for key in ("format", *_KEYS) if key not in content]:
            raise RecordError(f"{path} is damaged: it has no {', '.join(missing)}", MAKE_AGAIN)
        require_seal(path, content, MAKE_AGAIN)
        return cls(folder, checked_content(path, content))

    def listed_files(self) -> dict[str, Path]:
        """Return the files of the Record on disk. Raises RecordError if record.json does not list one of them."""
        files = regular_files(self.folder, only=(PREDICTIONS_FILE, MODEL_FOLDER), listed=list(self.content.files))
        if unlisted := sorted(set(files) - set(self.content.files)):
            raise RecordError(
                f"{self.folder} has files that {RECORD_FILE} does not list: {', '.join(unlisted[:_MAX_FILES_SHOWN])}",
                f"remove them, or {MAKE_AGAIN}",
            )
        return files

    @property
    def backend(self) -> Backend:
        """Library that runs the model, as in record.json; earlier Records do not have it, so it follows from the files.

        Raises:
            RecordError: record.json and the files do not agree.
            ModelError: No model was kept.
        """
        names = [name.removeprefix(_MODEL) for name in self.content.model_files]
        if not names:
            raise ModelError(f"{self.folder} kept no model", f"{MAKE_AGAIN}; in a study, with `keep_models: true`")
        listed = backend_of(names, self.model_folder)
        if self.content.backend not in (None, listed):
            raise RecordError(
                f"{self.folder} is damaged: {RECORD_FILE} names the backend {self.content.backend}, its files are "
                f"those of {listed}",
                MAKE_AGAIN,
            )
        return listed

    @property
    def id(self) -> str:
        """Name of the run, with a hash of its request, data and checkpoint."""
        return self.content.id

    @property
    def recipe(self) -> ResolvedRecipe:
        """Recipe of the run with all defaults filled in."""
        return recipe_of_record(self.folder, self.content)

    @property
    def labels(self) -> tuple[str, ...]:
        """Label names in logit order."""
        return self.content.labels

    @property
    def main_metric(self) -> str:
        """Name of the metric by which runs are compared."""
        return self.content.main_metric

    @property
    def loss_on_references(self) -> float | None:
        """Per-token loss of a translator on the test references; None if it was not measured."""
        losses = self.content.settings.loss_on_references
        return losses["test"] if isinstance(losses, dict) else None  # earlier Records have only the validation loss

    @property
    def metrics(self) -> dict[str, Estimate]:
        """Test metrics with their intervals."""
        return {name: Estimate(one.value, one.low, one.high, one.level) for name, one in self.content.metrics.items()}

    @cached_property
    def baselines(self) -> Baselines:
        """Scores of two rules that read no text; empty if they cannot be computed."""
        try:
            return self._baselines()
        except (RecordError, OSError, ValueError, ZeroDivisionError):
            return Baselines()

    def _baselines(self) -> Baselines:
        rules, data = self.recipe.rules, self.content.data
        train, test = self._label_counts("train"), self._label_counts("test")
        if rules.targets is TargetKind.NUMBERS and data.audit.numbers_train is not None:
            return number_baselines(data.audit.numbers_train, values_of(self.predictions().labels))
        if rules.targets is TargetKind.LABELS and self._multi_label and test:
            return run_set_baselines(self.labels, test, self.predictions().labels, data.most_frequent_labels)
        if rules.targets is TargetKind.LABELS and train and test:
            return run_baselines(self.labels, train, test, ordered=rules.ordered)
        return Baselines()

    @property
    def shown_metrics(self) -> tuple[str, ...]:
        """Names of the metrics to show: the main metric first; for unbalanced classes also accuracy and macro_f1."""
        names = metrics_to_show(self.main_metric, list(self._label_counts("train").values()), self._multi_label)
        return tuple(name for name in names if name in self.metrics)

    @property
    def beside(self) -> str:
        """Shown metrics except the main one, in words: `macro_f1 58.4 % [50.6, 69.6]`; may be empty."""
        return ", ".join(f"{name} {shown(name, self.metrics[name])}" for name in self.shown_metrics[1:])

    def class_notes(self, metrics: Iterable[str]) -> tuple[str, ...]:
        """Return notes on unbalanced classes and on classes with few test examples, if the metrics depend on them.

        Args:
            metrics: Names of the shown metrics.
        """
        balance = "" if self._multi_label else balance_words(self._label_counts("train"), self.main_metric)
        macro = any(name.startswith("macro_") for name in metrics)
        few = few_examples_words(self._label_counts("test")) if macro else ""
        return tuple(note for note in (balance, few) if note)

    def _label_counts(self, split: str) -> dict[str, int]:
        audit = self.content.data.audit
        return (audit.labels_train if split == "train" else audit.labels_test) or {}

    @property
    def _multi_label(self) -> bool:
        return bool(self.content.recipe.data.get("multi_label"))

    @property
    def how(self) -> str:
        """Method of the model, after the compression technique if it was compressed: `prune of finetune`."""
        compression, method = self.content.settings.compression, self.content.method
        return method if compression is None else f"{compression.technique} of {method}"

    @property
    def model_folder(self) -> Path:
        """Folder of the fitted model."""
        return self.folder / MODEL_FOLDER

    def predictions(self) -> Predictions:
        """Return the stored predictions for the test examples. Raises RecordError if the file is missing or changed."""
        file = self.folder / PREDICTIONS_FILE
        if not file.is_file() or file_sha256(file) != self.content.files.get(PREDICTIONS_FILE):
            raise RecordError(f"{self.folder} is damaged: {PREDICTIONS_FILE} was changed", MAKE_AGAIN)
        rules = self.recipe.rules
        return read_predictions(file, self.labels if rules.targets is TargetKind.LABELS else (), rules.output_column)

    def to_dict(self) -> dict[str, Any]:
        """Return record.json as plain data."""
        return self.content.to_dict()

    def rows(self) -> list[tuple[str, str]]:
        """Return a table of two columns with a summary of the Record."""
        content = self.content
        seconds, memory = content.seconds.total, content.peak_memory_bytes / 1e6
        return [
            *origin_rows(self.folder, self.content, self.how),
            *self._metric_rows(),
            *training_rows(content.training),
            ("time", f"{seconds:.1f} s"),
            ("peak memory", f"{memory:.0f} MB"),
            ("folder", str(self.folder)),
        ]

    def _metric_rows(self) -> list[tuple[str, str]]:
        names = [self.main_metric] + [name for name in self.metrics if name != self.main_metric]
        rows = [(name, self.baselines.beside(name, self.metrics[name])) for name in names]
        not_beaten = self.baselines.not_beaten(self.main_metric, self.metrics[self.main_metric])
        rows += [("note", line) for line in (not_beaten, *self.class_notes(names)) if line]
        if self.loss_on_references is not None:
            rows.append(("loss on references", f"{self.loss_on_references:.3f} per token"))
        return rows

    def _repr_html_(self) -> str:
        from html import escape

        cells = "".join(
            f"<tr><th style='text-align:left'>{escape(k)}</th><td>{escape(v)}</td></tr>" for k, v in self.rows()
        )
        return f"<table>{cells}</table>"

    def __repr__(self) -> str:
        return f"Record({self.id}: {self.main_metric} {shown(self.main_metric, self.metrics[self.main_metric])})"


def seal(folder: Path, content: Mapping[str, Any]) -> None:
    """Write record.json, the last file, with its own hash, the backend and the hashes of predictions and model files.

    Args:
        folder: Folder of the Record, with all other files.
        content: Content of record.json without format, backend and hashes.
    """
    paths = regular_files(folder, only=(PREDICTIONS_FILE, MODEL_FOLDER))
    files = {name: file_sha256(path) for name, path in sorted(paths.items())}
    whole = {"format": FORMAT, **content}
    if names := [name.removeprefix(_MODEL) for name in files if name.startswith(_MODEL)]:
        whole["backend"] = backend_of(names, folder / MODEL_FOLDER)
    write_atomically(folder / RECORD_FILE, RecordContent.model_validate(sealed({**whole, "files": files})).to_json())


def is_exported(folder: Path) -> bool:
    """Return whether a folder was made by `kit export`."""
    try:
        return bool(read_object(folder / MANIFEST_FILE).get("made_by") == "kit")
    except RecordError:
        return False


def _missing_record_message(folder: Path) -> tuple[str, str]:
    """Return the message and the hint of the error for a folder without record.json."""
    if is_exported(folder):
        return (
            f"{folder} is an exported folder, not a Record",
            f"name the run that it was made from: `record` in its {MANIFEST_FILE}",
        )
    problem = f"it has no {RECORD_FILE}" if folder.exists() else "there is no such folder"
    hint = "`kit list` shows all runs; `hf download USER/NAME --local-dir FOLDER` copies a model from the Hub"
    return f"{folder} is not a Record: {problem}", hint


def list_records(runs: Path) -> tuple[list[Record], list[str]]:
    """Return the Records in a folder, oldest first, and one line per Record that cannot be read.

    A Record whose model was deleted can be read; a Record with files that it does not list cannot.
    """
    records, problems = [], []
    for folder in sorted(path for path in runs.iterdir() if os.path.lexists(path / RECORD_FILE)):
        if folder.name.startswith("."):
            continue
        try:
            record = Record.read(folder)
            record.listed_files()
            records.append(record)
        except RecordError as error:
            problems.append(error.message)
    return sorted(records, key=lambda record: record.content.created), problems
