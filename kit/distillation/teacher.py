"""Teachers: fitted models whose answers a student learns.

A teacher is a Record's model or a checkpoint that has a classification head already. Its labels are matched by name.

Knows Records, checkpoints and predictors. Knows nothing of students or losses.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kit.data.label_words import listed
from kit.errors import MAKE_AGAIN, ModelError
from kit.models.checkpoints.checkpoint import Checkpoint, resolve_checkpoint
from kit.models.checkpoints.loading import load_tokenizer
from kit.models.predictor import Predictor, load_predictor
from kit.models.saved_kind import Kind, kind_of
from kit.models.translation.generation_settings import apply_route, set_search
from kit.models.translation.languages import Route, find_route
from kit.models.translation.lengths import LEAST_RATIO
from kit.models.translation.translator import Translator
from kit.recipe import ModelSection, Recipe
from kit.records.record import MODEL_FOLDER, Record
from kit.runtime.file_types import RECORD_FILE
from kit.runtime.json_files import read_object

# What a student can be cut from.
_OF_TORCH = (Kind.TORCH, Kind.HALF, Kind.TRANSLATOR, Kind.WARM_TRANSLATOR)


@dataclass(frozen=True)
class Asked:
    """How a checkpoint that kit did not make is asked to translate: languages, search and longest length in tokens."""

    route: Route
    beams: int
    length_penalty: float
    max_length: int


@dataclass(frozen=True)
class Teacher:
    """A fitted model on this machine.

    name: as the recipe wrote it. labels: in the order of its logits. max_length: longest text in tokens, None where it
    does not say. sha256: of everything its answers follow from. checkpoint: its weights and tokenizer, from which a
    student can be made; None for a model without layers (TF-IDF). record: where it comes from, if kit made it.
    asked: how it is made to translate, if kit did not make it, and it can.
    """

    name: str
    folder: Path
    labels: tuple[str, ...]
    multi_label: bool
    max_length: int | None
    sha256: str
    checkpoint: Checkpoint | None
    record: Record | None
    asked: Asked | None = None

    @property
    def compressed(self) -> bool:
        """Whether it is a Record that compression made."""
        return self.record is not None and "compression" in self.record.content["settings"]

    def order(self, labels: tuple[str, ...]) -> np.ndarray:
        """(labels,) which of the teacher's logits belongs to each of these labels."""
        return np.asarray([self.labels.index(label) for label in labels])


def resolve_teacher(name: str, recipe: Recipe | None = None) -> Teacher:
    """Find the teacher that a recipe names and check that it is whole.

    recipe: that names it, by which a checkpoint is told what to translate; a run knows that by itself.
    Raises RecordError for a damaged Record, ModelError for a checkpoint that cannot be used or has no head.
    """
    folder = Path(name).expanduser()
    if (folder / RECORD_FILE).is_file():
        return _from_record(name, Record.load(folder))
    if folder.name == MODEL_FOLDER and (folder.parent / RECORD_FILE).is_file():
        return _from_record(name, Record.load(folder.parent))
    checkpoint = _whole(name)
    config = read_object(checkpoint.folder / "config.json", ModelError)
    kinds = [str(kind) for kind in config.get("architectures") or []]
    if config.get("is_encoder_decoder"):
        asked = _asked(checkpoint, str(config.get("model_type")), recipe) if recipe and recipe.data.languages else None
        sha256 = _digest(f"{checkpoint.sha256} {checkpoint.tokenizer_sha256} {asked}")
        return Teacher(name, checkpoint.folder, (), False, None, sha256, checkpoint, None, asked)
    if recipe is not None and recipe.data.languages is not None:
        raise ModelError(
            f"{name} is a checkpoint that does not translate",
            "fine-tune it first (kit finetune) and name that run, or leave distill.teacher out and kit does",
            key="distill.teacher",
        )
    if not any(kind.endswith("ForSequenceClassification") or kind == "PooledClassifier" for kind in kinds):
        raise ModelError(
            f"{name} is a pretrained checkpoint without a classification head",
            "fine-tune it first (kit finetune) and name that run, or leave distill.teacher out and kit does",
            key="distill.teacher",
        )
    names = config.get("id2label") or {str(index): f"LABEL_{index}" for index in range(2)}
    labels = tuple(str(names[key]) for key in sorted(names, key=int))
    multi_label = config.get("problem_type") == "multi_label_classification"
    sha256 = f"{checkpoint.sha256} {checkpoint.tokenizer_sha256}"
    return Teacher(name, checkpoint.folder, labels, multi_label, None, _digest(sha256), checkpoint, None)


def load_teacher(teacher: Teacher) -> Predictor:
    """The model of a teacher, ready to answer. Raises ModelError if it cannot be loaded."""
    asked = teacher.asked
    if asked is None:
        backend = teacher.record.backend if teacher.record is not None else None
        return load_predictor(teacher.folder, backend=backend)
    translator = Translator.load(teacher.folder)
    first = apply_route(translator.model, translator.tongues.source, asked.route)
    set_search(translator.model, asked.beams, asked.length_penalty, asked.max_length, first, LEAST_RATIO)
    translator.prefix, translator.max_length = asked.route.prefix, min(asked.max_length, translator.max_length)
    return translator


def require_same_labels(teacher: Teacher, labels: tuple[str, ...], multi_label: bool) -> None:
    """Raise ModelError unless the teacher decides between exactly these labels, in any order, and as many at once."""
    if set(teacher.labels) != set(labels):
        alone, missing = sorted(set(teacher.labels) - set(labels)), sorted(set(labels) - set(teacher.labels))
        raise ModelError(
            f"distill.teacher: {teacher.name} decides between {listed(teacher.labels)}; "
            f"the data have {listed(labels)}"
            + (f" (only the teacher: {listed(alone)})" if alone else "")
            + (f" (only the data: {listed(missing)})" if missing else ""),
            "labels are matched by name: take a teacher of this task, or rename the labels in the data",
        )
    if teacher.multi_label != multi_label:
        several, one = "several labels an example", "one label an example"
        raise ModelError(
            f"{teacher.name} gives {several if teacher.multi_label else one}, "
            f"the data have {several if multi_label else one}",
            "set data.multi_label as the teacher was trained",
            key="distill.teacher",
        )


def require_same_languages(teacher: Teacher, languages: tuple[str, str]) -> None:
    """Raise ModelError for a run that translates between other languages, or the other way round."""
    if teacher.record is None:
        return
    theirs = teacher.record.recipe.data.language_pair
    if theirs != languages:
        found, wanted = " to ".join(theirs), " to ".join(languages)
        raise ModelError(
            f"{teacher.name} translates {found}; the recipe says {wanted}",
            "take a teacher of this direction, or set data.languages as the teacher has them",
            key="distill.teacher",
        )


def _from_record(name: str, record: Record) -> Teacher:
    content = record.content
    if not record.model_folder.is_dir():
        raise ModelError(
            f"{name} kept no model", f"{MAKE_AGAIN}; in a study, with `keep_models: true`", key="distill.teacher"
        )
    files = {file: sha for file, sha in content["files"].items() if file.startswith(f"{MODEL_FOLDER}/")}
    sha256 = _digest(json.dumps(sorted(files.items())))
    checkpoint = None
    if kind_of(record.model_folder, record.backend) in _OF_TORCH:
        whole = _whole(str(record.model_folder))
        start = (content["checkpoint"] or {}).get("name", record.id)  # of random weights, it is its own start
        checkpoint = Checkpoint(start, whole.folder, None, whole.sha256, whole.tokenizer_sha256)
    recipe = record.recipe
    return Teacher(
        name,
        record.model_folder,
        record.labels,
        recipe.data.multi_label,
        recipe.data.max_length,
        sha256,
        checkpoint,
        record,
    )


def _asked(checkpoint: Checkpoint, model_type: str, recipe: Recipe) -> Asked:
    """By the recipe's languages. Its codes and prefix are the teacher's unless the student has a checkpoint itself."""
    section, own = recipe.translation, recipe.distill.student.checkpoint is not None
    codes, prefix = (None, None) if own else (section.codes, section.prefix)
    tokenizer = load_tokenizer(checkpoint.folder, checkpoint.trusted)
    route = find_route(tokenizer, model_type, recipe.data.language_pair, codes, prefix)
    return Asked(route, section.beams, section.length_penalty, recipe.data.max_length)


def _whole(name: str) -> Checkpoint:
    """The checkpoint of a teacher, whose weights are never unpickled, and none of whose code is run."""
    try:
        return resolve_checkpoint(ModelSection(checkpoint=name))
    except ModelError as error:
        error.key = "distill.teacher"
        error.hint = error.hint.partition(", or trust the file")[0]
        raise


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
