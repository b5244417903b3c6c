"""Teachers: fitted models whose predictions a student learns.

A teacher is the model of a Record, a checkpoint with a classification head, or a translation checkpoint. Labels of
teacher and data are matched by name.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from kit.data.label_words import listed
from kit.errors import MAKE_AGAIN, ModelError
from kit.models.checkpoints.checkpoint import Checkpoint, resolve_checkpoint
from kit.models.checkpoints.config_file import read_config
from kit.models.checkpoints.tokenizers import load_tokenizer
from kit.models.kinds import form_of
from kit.models.kinds.form import Form
from kit.models.load import load_predictor
from kit.models.predictor import Predictor
from kit.models.translation.generation_settings import apply_route, set_search
from kit.models.translation.languages import Route, find_route
from kit.models.translation.lengths import LEAST_RATIO
from kit.models.translation.translator import Translator
from kit.recipe import ModelSection, Recipe
from kit.records.record import Record
from kit.runtime.file_types import MODEL_FOLDER, RECORD_FILE
from kit.runtime.json_files import json_sha256

# Kinds of saved models from whose layers a student can be made.
_KINDS_WITH_LAYERS = (Form.TORCH, Form.HALF, Form.TRANSLATOR, Form.WARM_TRANSLATOR)


@dataclass(frozen=True)
class TranslationSettings:
    """Settings with which a checkpoint that kit did not train translates.

    Attributes:
        route: Language codes and prefix.
        beams: Beams of the search.
        length_penalty: Length penalty of the search.
        max_length: Longest text and translation in tokens.
    """

    route: Route
    beams: int
    length_penalty: float
    max_length: int


@dataclass(frozen=True)
class Teacher:
    """A fitted model on this machine.

    Attributes:
        name: Name in the recipe.
        folder: Folder of the model.
        labels: Label names in the order of the logits; empty for translation.
        multi_label: An example can have several labels.
        max_length: Longest text in tokens; None if unknown.
        sha256: Hash of everything that the predictions depend on.
        checkpoint: Weights and tokenizer from which a student can be made; None for a model without layers (TF-IDF).
        record: Record of the model; None for a checkpoint that kit did not train.
        translation_settings: Settings of a translation checkpoint that kit did not train; None for other teachers.
    """

    name: str
    folder: Path
    labels: tuple[str, ...]
    multi_label: bool
    max_length: int | None
    sha256: str
    checkpoint: Checkpoint | None
    record: Record | None
    translation_settings: TranslationSettings | None = None

    @property
    def compressed(self) -> bool:
        """True for the Record of a compressed model."""
        return self.record is not None and self.record.content.settings.compression is not None


def resolve_teacher(name: str, recipe: Recipe | None = None) -> Teacher:
    """Find a teacher by the name in a recipe and check that its files are whole.

    Args:
        name: Folder of a Record or of its model, or a checkpoint.
        recipe: The recipe, whose languages a translation checkpoint gets; a Record has its own. None if there is no
            recipe.

    Raises:
        RecordError: The Record is damaged.
        ModelError: The checkpoint cannot be used or does not have a head.
    """
    folder = Path(name).expanduser()
    if (folder / RECORD_FILE).is_file():
        return _from_record(name, Record.load(folder))
    if folder.name == MODEL_FOLDER and (folder.parent / RECORD_FILE).is_file():
        return _from_record(name, Record.load(folder.parent))
    checkpoint = _safe_checkpoint(name)
    config = read_config(checkpoint.folder)
    if config.is_translator:
        settings = None
        if recipe and recipe.data.languages:
            settings = _translation_settings(checkpoint, config.model_type, recipe)
        sha256 = _digest(f"{checkpoint.sha256} {checkpoint.tokenizer_sha256} {_text_to_hash(settings)}")
        return Teacher(name, checkpoint.folder, (), False, None, sha256, checkpoint, None, settings)
    if recipe is not None and recipe.rules.writes_text:
        raise ModelError(
            f"{name} is a checkpoint that does not translate",
            "fine-tune it first (kit finetune) and name that run, or leave distill.teacher out and kit does",
            key="distill.teacher",
        )
    if not any(name.endswith(("ForSequenceClassification", "PooledClassifier")) for name in config.architectures):
        raise ModelError(
            f"{name} is a pretrained checkpoint without a classification head",
            "fine-tune it first (kit finetune) and name that run, or leave distill.teacher out and kit does",
            key="distill.teacher",
        )
    names = config.content.get("id2label") or {str(index): f"LABEL_{index}" for index in range(2)}
    labels = tuple(str(names[key]) for key in sorted(names, key=int))
    multi_label = config.content.get("problem_type") == "multi_label_classification"
    sha256 = _digest(f"{checkpoint.sha256} {checkpoint.tokenizer_sha256}")
    return Teacher(name, checkpoint.folder, labels, multi_label, None, sha256, checkpoint, None)


def checkpoint_of(record: Record) -> Checkpoint:
    """Return the weights and the tokenizer of a Record's model, under the name of the checkpoint it started from."""
    saved = _safe_checkpoint(str(record.model_folder))
    start = record.content.checkpoint_name or record.id  # random weights have no other name
    return Checkpoint(start, saved.folder, None, saved.sha256, saved.tokenizer_sha256)


def load_teacher(teacher: Teacher) -> Predictor:
    """Load the model of a teacher for inference. Raises ModelError if it cannot be loaded."""
    settings = teacher.translation_settings
    if settings is None:
        backend = teacher.record.backend if teacher.record is not None else None
        return load_predictor(teacher.folder, backend=backend)
    translator = Translator.load(teacher.folder)
    first = apply_route(translator.model, translator.tokenizer_pair.source, settings.route)
    set_search(translator.model, settings.beams, settings.length_penalty, settings.max_length, first, LEAST_RATIO)
    translator.prefix, translator.max_length = settings.route.prefix, min(settings.max_length, translator.max_length)
    return translator


def require_same_labels(teacher: Teacher, labels: tuple[str, ...], multi_label: bool) -> None:
    """Raise ModelError unless the teacher has the same labels, in any order, and the same `multi_label`.

    Args:
        teacher: The teacher.
        labels: Label names of the data.
        multi_label: An example of the data can have several labels.
    """
    if set(teacher.labels) != set(labels):
        additional, missing = sorted(set(teacher.labels) - set(labels)), sorted(set(labels) - set(teacher.labels))
        raise ModelError(
            f"{teacher.name} decides between {listed(teacher.labels)}; "
            f"the data have {listed(labels)}"
            + (f" (only the teacher: {listed(additional)})" if additional else "")
            + (f" (only the data: {listed(missing)})" if missing else ""),
            "labels are matched by name: take a teacher of this task, or rename the labels in the data",
            key="distill.teacher",
        )
    if teacher.multi_label != multi_label:
        several, one = "several labels per example", "one label per example"
        raise ModelError(
            f"{teacher.name} gives {several if teacher.multi_label else one}, "
            f"the data have {several if multi_label else one}",
            "set data.multi_label as the teacher was trained",
            key="distill.teacher",
        )


def require_same_languages(teacher: Teacher, languages: tuple[str, str]) -> None:
    """Raise ModelError for a Record with other languages or the reverse direction."""
    if teacher.record is None:
        return
    teacher_languages = teacher.record.recipe.data.language_pair
    if teacher_languages != languages:
        raise ModelError(
            f"{teacher.name} translates {' to '.join(teacher_languages)}; the recipe has {' to '.join(languages)}",
            "take a teacher for this direction, or set data.languages as the teacher has them",
            key="distill.teacher",
        )


def _from_record(name: str, record: Record) -> Teacher:
    content = record.content
    if not record.model_folder.is_dir():
        raise ModelError(
            f"{name} kept no model", f"{MAKE_AGAIN}; in a study, with `keep_models: true`", key="distill.teacher"
        )
    sha256 = json_sha256(sorted(content.model_files.items()))
    checkpoint = None
    if form_of(record.model_folder, record.backend) in _KINDS_WITH_LAYERS:
        checkpoint = checkpoint_of(record)
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


def _translation_settings(checkpoint: Checkpoint, model_type: str, recipe: Recipe) -> TranslationSettings:
    """Return the settings for the recipe's languages.

    Codes and prefix of the recipe belong to the teacher's tokenizer, unless the student has a checkpoint of its own.
    """
    section, has_own_checkpoint = recipe.translation, recipe.distill.student.checkpoint is not None
    codes, prefix = (None, None) if has_own_checkpoint else (section.codes, section.prefix)
    tokenizer = load_tokenizer(checkpoint.folder, checkpoint.trusted)
    route = find_route(tokenizer, model_type, recipe.data.language_pair, codes, prefix)
    return TranslationSettings(route, section.beams, section.length_penalty, recipe.data.max_length)


def _text_to_hash(settings: TranslationSettings | None) -> str:
    """Return the settings as text for the teacher's hash. Ids of runs depend on this text, so it must not change."""
    if settings is None:
        return "None"
    route = f"Route(codes={settings.route.codes!r}, prefix={settings.route.prefix!r})"
    search = f"beams={settings.beams!r}, length_penalty={settings.length_penalty!r}, max_length={settings.max_length!r}"
    return f"Asked(route={route}, {search})"


def _safe_checkpoint(name: str) -> Checkpoint:
    """Return a checkpoint as a teacher: its weights are never unpickled and its code is never run."""
    try:
        return resolve_checkpoint(ModelSection(checkpoint=name))
    except ModelError as error:
        error.key = "distill.teacher"
        error.hint = error.hint.partition(", or trust the file")[0]
        raise


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
