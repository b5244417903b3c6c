"""Family of translators: encoder-decoders that write a text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from kit.data.distillation_texts import TransferSet, transfer_set
from kit.distillation.teacher import Teacher, require_same_labels, require_same_languages
from kit.distillation.teacher_outputs import teacher_translations
from kit.errors import RecipeError
from kit.methods.base import DistillationJob, FinetuneJob, Inputs, Method, Sizes, TrainingJob, Trial
from kit.methods.translators.distill import (
    TranslateDistill,
    require_same_tokens,
    resolve_translation_student,
    student_of,
)
from kit.methods.translators.training import (
    Translate,
    TranslateLora,
    freeze_source_embeddings,
    scratch_writer,
    writer_of,
)
from kit.methods.translators.writing import Writer, dataset_of, encode_pairs
from kit.models.checkpoints.checkpoint import resolve_checkpoint
from kit.models.checkpoints.config_file import read_config
from kit.models.checkpoints.tokenizers import load_tokenizer
from kit.models.kinds import form_of
from kit.models.kinds.form import Form
from kit.models.predictor import Texts
from kit.models.translation.languages import Route, find_route
from kit.models.translation.seq2seq import start_of
from kit.recipe import Recipe
from kit.recipe.defaults import Facts
from kit.recipe.resolved import TrainingRecipe
from kit.recipe.sections.distillation import DistillSection
from kit.training.plan import forward_passes, make_plan
from kit.training.progress import Progress
from kit.training.timing import seconds_a_pass

METHODS: dict[str, Method[Any]] = {
    "finetune": Translate("finetune", writer_of),
    "scratch": Translate("scratch", scratch_writer, needs_checkpoint=False),
    "lora": TranslateLora(),
    "distill": TranslateDistill(),
    "student": Translate("student", student_of),  # the control: trained on the references, for as many steps
}
# Time of a translation without the beams, in forward passes of a pair.
_WRITING_PASSES = 1.0


class Translators:
    """Encoder-decoders that translate texts."""

    methods: Mapping[str, Method[Any]] = METHODS

    def facts(self, inputs: Inputs) -> tuple[Facts, TransferSet | None]:
        """Return the facts for defaults, see `Family`."""
        recipe, data, checkpoint = inputs.recipe, inputs.data, inputs.checkpoint
        distill, transfer = None, None
        if recipe.method in ("distill", "student"):
            _require_plain_distillation(inputs)
            transfer = transfer_set(recipe.distill, data, recipe.train.seed)
            distill = _resolve_distill(inputs)
        start = start_of(checkpoint.folder if checkpoint else None)
        if distill is not None and distill.student.init == "random":
            start = "nothing"
        route = _route(inputs, distill) if start == "translator" else Route(None, "")
        facts = Facts(
            text=data.splits.text_columns,
            label=data.splits.label_columns,
            labels=(),
            train=len(data.train),
            validation=len(data.validation),
            pooling=None,
            distill=distill,
            transfer=len(transfer) if transfer else 0,
            start=start,
            codes=route.codes,
            prefix=route.prefix,
        )
        return facts, transfer

    def foreseen_facts(self, recipe: Recipe, labels: tuple[str, ...], sizes: Sizes) -> Facts:
        """Return facts for an encoder as the checkpoint, which takes longest, see `Family`."""
        section = recipe.distill if recipe.method == "distill" else None
        has_random_weights = recipe.method == "scratch" or (section is not None and section.student.init == "random")
        return Facts(
            text=("text",),
            label=("label",),
            labels=(),
            train=sizes.train,
            validation=sizes.validation,
            pooling=None,
            distill=section,
            transfer=sizes.transfer,
            start="nothing" if has_random_weights else "encoder",
        )

    def require_teacher(self, teacher: Teacher, inputs: Inputs) -> None:
        """Raise ModelError unless a teacher translates between the languages of the recipe."""
        require_same_labels(teacher, (), False)
        require_same_languages(teacher, inputs.recipe.data.language_pair)

    def teacher_outputs(self, teacher: Teacher, texts: Texts, max_length: int, progress: Progress) -> np.ndarray:
        """Return a teacher's translations, see `Family`."""
        return np.asarray(teacher_translations(teacher, texts, progress)[0], object)

    def trial(self, job: TrainingJob) -> Trial:
        """Build the translator of a job and time it on the budget's pairs, see `Family`.

        For method distill, the references take the place of the teacher's translations.
        """
        recipe, examples = job.recipe, job.data.train
        writer = _start_writer(job)
        if recipe.train.freeze_embeddings:
            freeze_source_embeddings(writer.model)
        pairs = encode_pairs(examples, writer, recipe.data.max_length)
        lessons = job.transfer if recipe.method == "distill" and job.transfer else pairs
        plan = make_plan(recipe.train, len(lessons))
        seconds = seconds_a_pass(writer.model, dataset_of(pairs, writer), plan.device_batch, job.hardware.bf16)
        return Trial(writer.model, pairs.source, plan, seconds, pairs.target)

    def passes(self, recipe: TrainingRecipe, sizes: Sizes) -> float:
        """Return the cost of a run, see `Family`."""
        train, writing = recipe.train, _WRITING_PASSES * (1 + recipe.translation.beams / 4)
        transfer = sizes.transfer if recipe.method == "distill" else 0
        plan = make_plan(train, transfer if recipe.method == "distill" else sizes.train)
        return forward_passes(train, plan, sizes.train, sizes.validation, 0) + writing * (sizes.test + transfer)

    def foreseen_form(self, recipe: Recipe) -> Form:
        """Return the form of the saved model, see `Family`."""
        if recipe.method not in ("finetune", "lora") or recipe.model.checkpoint is None:
            return Form.TRANSLATOR
        folder = resolve_checkpoint(recipe.model).folder
        warm = start_of(folder) == "encoder" or form_of(folder) is Form.WARM_TRANSLATOR
        return Form.WARM_TRANSLATOR if warm else Form.TRANSLATOR

    def model_rows(self, recipe: TrainingRecipe) -> list[tuple[str, str]]:
        """Return the codes, prefix, vocabulary and beams of a resolved recipe."""
        section = recipe.translation
        details = [f"codes {section.codes[0]} to {section.codes[1]}"] if section.codes else []
        details += [f"prefix {section.prefix!r}"] if section.prefix else []
        if section.vocabulary:
            details.append(f"a vocabulary of at most {section.vocabulary:,} tokens, built from the budget")
        return [("translation", ", ".join([*details, f"{section.beams} beams"]))]


def _start_writer(job: TrainingJob) -> Writer:
    """Build the model that training starts from."""
    if isinstance(job, DistillationJob):
        return student_of(job, job.data.train)
    return writer_of(job, job.data.train) if isinstance(job, FinetuneJob) else scratch_writer(job, job.data.train)


def _require_plain_distillation(inputs: Inputs) -> None:
    """Raise RecipeError for several teachers or masked texts."""
    if len(inputs.teachers) > 1:
        raise RecipeError("a translator has one teacher, and several are named", "name one", key="distill.teacher")
    if inputs.recipe.distill.augment.copies:
        raise RecipeError("a sentence with masked words has no translation", "leave it out", key="distill.augment")


def _resolve_distill(inputs: Inputs) -> DistillSection:
    """Return the section with the complete shape of the student."""
    recipe, checkpoint, teachers = inputs.recipe, inputs.checkpoint, inputs.teachers
    depth = recipe.translation.decoder_layers if recipe.method == "distill" else None
    student = resolve_translation_student(recipe.distill.student, checkpoint.folder if checkpoint else None, depth)
    distill = recipe.distill.model_copy(update={"student": student})
    if recipe.method == "distill" and distill.losses.logits:
        assert checkpoint is not None
        teacher = teachers[0].checkpoint if teachers else inputs.find_checkpoint(recipe.model)
        require_same_tokens(distill, checkpoint.folder, teacher.folder if teacher else None)
    return distill


def _route(inputs: Inputs, distill: DistillSection | None) -> Route:
    """Return codes and prefix of a translation checkpoint for the languages."""
    recipe, checkpoint, teachers = inputs.recipe, inputs.checkpoint, inputs.teachers
    assert checkpoint is not None
    section = recipe.translation
    if teachers and teachers[0].record and distill is not None and distill.student.checkpoint is None:
        section = teachers[0].record.recipe.translation  # a student of its layers has the same codes and prefix
    tokenizer = load_tokenizer(checkpoint.folder, checkpoint.trusted)
    languages = recipe.data.language_pair
    model_type = read_config(checkpoint.folder).model_type
    return find_route(tokenizer, model_type, languages, section.codes, section.prefix)
