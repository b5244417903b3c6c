"""Distillation of translators: a student that learns its teacher's translations.

Sequence-level distillation (Kim & Rush 2016, arXiv:1606.07947): the teacher translates the transfer set once, by its
own search, and the student is trained on the translations. They are simpler than translations by people, so that a
small model can learn them. The student may have any shape and vocabulary.

Word-level distillation, in addition or alone: for each token of these translations (and of references, if they are
training examples too) the student learns the teacher's probabilities of the next token. The student must have the
teacher's tokens.

A student of the teacher's layers keeps the whole encoder and some layers of the decoder, because the decoder runs once
per token and the encoder once per sentence (Kasai et al. 2021, Deep Encoder, Shallow Decoder, arXiv:2006.10369). A
narrower student is narrower on both sides.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kit.data.batching import PlacedPairDataset
from kit.data.examples import Examples
from kit.data.translation_checks import loops
from kit.distillation.objectives import WordObjective
from kit.distillation.output_cache import Computed
from kit.distillation.students.decoder import decoder_depth, set_all_dropout, tokens_of, with_decoder_layers
from kit.distillation.students.narrow_translator import narrow_translator, translator_widths
from kit.distillation.teacher import Teacher
from kit.distillation.teacher_outputs import teacher_translations, teacher_words
from kit.errors import ModelError, RecipeError
from kit.methods.base import DistillationJob, Fitted
from kit.methods.encoders.distill import describe_teacher, sizes_of
from kit.methods.translators.training import fit_writer, pairs_of, writer_of
from kit.methods.translators.writing import Writer, dataset_of
from kit.models.architectures.layers import spread_evenly
from kit.models.translation.bpe import train_bpe
from kit.models.translation.generation_settings import apply_route
from kit.models.translation.seq2seq import TokenizerPair, load_translator, scratch_translator, start_of
from kit.recipe.sections.distillation import DistillSection, StudentSection

# Number of encoder layers of a fresh student; `layers` in the recipe is the number of decoder layers.
FRESH_ENCODER = 6


@dataclass(frozen=True)
class TranslateDistill:
    """A student that learns its teacher's translations of budget and pool."""

    name: str = "distill"
    needs_checkpoint: bool = True

    def fit(self, job: DistillationJob) -> Fitted:
        """Compute the teacher's translations once, then train the student on them."""
        teacher, section = job.teachers[0], job.recipe.distill
        translated, computed = _translate(job, teacher)
        lessons = _with_references(translated, job)
        torch.manual_seed(job.recipe.train.seed)
        writer = student_of(job, lessons)
        pairs = pairs_of(job, writer, lessons)
        words, origins = None, [computed]
        if section.losses.logits:
            words, computed = teacher_words(teacher, lessons.texts, pairs.target, job.progress)
            origins.append(computed)
        objective = WordObjective(
            task=job.task,
            section=section,
            tokens=torch.from_numpy(pairs.target.input_ids.astype(np.int64)),
            written=int(pairs.target.offsets[len(translated)]),
            words=words,
        )
        placed = dataset_of(pairs, writer, PlacedPairDataset)
        fitted = fit_writer(job, writer, pairs, lessons=placed, objective=objective)
        settings: dict[str, Any] = {
            "teachers": [describe_teacher(teacher)],
            "teacher_answers_computed": [asdict(origin) for origin in origins],
            "transfer_set": {
                **sizes_of(job.transfer),
                "not_translated": len(job.transfer) - len(translated),
                "references": len(lessons) - len(translated),
            },
        }
        return replace(fitted, settings={**fitted.settings, **settings})


def student_of(job: DistillationJob, lessons: Examples) -> Writer:
    """Build the student from its teacher, or as a control from the checkpoint that its teacher starts from.

    Args:
        job: DistillationJob of the student; without teachers for a control.
        lessons: Training pairs, on which the tokenizer of a fresh student is trained.
    """
    section = job.recipe.distill.student
    if section.checkpoint is not None:
        return writer_of(job, lessons)
    if section.init == "random":
        return _fresh(job, section, lessons)
    assert isinstance(section.layers, list)
    if job.teachers:
        return _of_teacher(job, section, section.layers)
    return _of_start(job, section, section.layers, lessons)


def _of_teacher(job: DistillationJob, section: StudentSection, layers: list[int]) -> Writer:
    model, tokenizer_pair = load_translator(job.checkpoint.folder)
    asked = job.teachers[0].translation_settings
    if asked is not None:
        first, prefix = apply_route(model, tokenizer_pair.source, asked.route), asked.route.prefix
    else:  # the teacher was saved with its languages and with their first token
        first = model.generation_config.forced_bos_token_id if model.generation_config else None
        prefix = str(getattr(model.config, "prefix", "") or "")
    model = narrow_translator(with_decoder_layers(model, layers), section)
    set_all_dropout(model, job.recipe.train.dropout)
    model.train()
    return Writer(model, tokenizer_pair, prefix, first)


def _of_start(job: DistillationJob, section: StudentSection, layers: list[int], examples: Examples) -> Writer:
    translation = job.recipe.translation.model_copy(update={"decoder_layers": len(layers)})
    writer = writer_of(replace(job, recipe=job.recipe.model_copy(update={"translation": translation})), examples)
    model = with_decoder_layers(writer.model, layers) if _start(job) == "translator" else writer.model
    return replace(writer, model=narrow_translator(model, section))


def require_same_tokens(section: DistillSection, start: Path, teacher: Path | None) -> None:
    """Raise RecipeError unless student and teacher have the same tokens. Called before training.

    Args:
        section: Resolved section of the recipe.
        start: Folder of the checkpoint that the student is built from.
        teacher: Folder of the teacher, or of the checkpoint that it will be trained from; None for a teacher without
            token probabilities.
    """
    student, key = section.student, "distill.losses.logits"
    hint = "leave it out: with distill.losses.sequence a student learns the translations of any teacher"
    if teacher is None:
        raise RecipeError("this teacher returns translations without token probabilities", hint, key=key)
    if student.checkpoint is None and student.init != "random":
        return
    tokens = None if student.init == "random" else tokens_of(start)
    if tokens is None or tokens != tokens_of(teacher):
        raise RecipeError(
            f"{student.words} has other tokens than its teacher, so their probabilities cannot be compared",
            f"{hint}; or use layers of the teacher, which keep its tokens (distill.student: layers:1)",
            key=key,
        )


def resolve_translation_student(
    section: StudentSection, folder: Path | None, depth: int | None = None
) -> StudentSection:
    """Fill in the layers, widths and heads of a student. Called before training.

    Args:
        section: Section of the student.
        folder: Folder of the teacher, or of the checkpoint that it will be trained from; None if there is none.
        depth: Number of layers of a decoder that does not exist yet; None if unknown.

    Raises:
        RecipeError: A translator cannot have this architecture, these widths or these layers.
        ModelError: The teacher cannot be narrowed.
    """
    if section.architecture != "transformer":
        raise RecipeError(
            f"a {section.architecture} cannot translate",
            "use layers:N, random weights, or a checkpoint",
            key="distill.student",
        )
    if section.checkpoint is not None:
        return section
    if section.init == "random":
        width = section.hidden_size or 256
        heads = section.heads or max(1, width // 64)
        if width % heads:
            raise RecipeError(
                f"{heads} heads cannot be cut from a width of {width}",
                "hidden_size must be a multiple of heads",
                key="distill.student.heads",
            )
        layers = section.layers if isinstance(section.layers, int) else 2
        return section.model_copy(
            update={
                "hidden_size": width,
                "heads": heads,
                "layers": layers,
                "intermediate_size": section.intermediate_size or 2 * width,
            }
        )
    section = translator_widths(section, folder)
    count = (None if folder is None else decoder_depth(folder)) or depth
    kept_layers = section.layers
    if kept_layers is None:
        kept_layers = max(1, (count or 2) // 2)
    if isinstance(kept_layers, int):
        if count is not None and kept_layers > count:
            raise RecipeError(
                f"{kept_layers} are more than the teacher's decoder has: {count}",
                f"use {count} or less",
                key="distill.student.layers",
            )
        kept_layers = spread_evenly(kept_layers, count) if count is not None else list(range(kept_layers))
    if count is not None and max(kept_layers) >= count:
        raise RecipeError(
            f"the teacher's decoder has no layer {max(kept_layers)}",
            f"its layers are numbered 0 to {count - 1}",
            key="distill.student.layers",
        )
    return section.model_copy(update={"layers": kept_layers})


def _fresh(job: DistillationJob, section: StudentSection, lessons: Examples) -> Writer:
    """Build a small Transformer with random weights and a joint vocabulary, trained on the training pairs."""
    assert isinstance(section.layers, int) and section.hidden_size and section.heads and section.intermediate_size
    max_length = job.recipe.data.max_length
    texts = [row[0] for row in lessons.texts] + [labels[0] for labels in lessons.labels]
    joint = train_bpe(texts, job.recipe.translation.vocabulary or 8_000, max_length)
    torch.manual_seed(job.recipe.train.seed)
    model = scratch_translator(
        joint,
        max_length,
        job.recipe.train.dropout,
        width=section.hidden_size,
        heads=section.heads,
        inner=section.intermediate_size,
        layers=(FRESH_ENCODER, section.layers),
    )
    return Writer(model, TokenizerPair(joint, joint), "", None)


def _translate(job: DistillationJob, teacher: Teacher) -> tuple[Examples, Computed]:
    """Return the teacher's translations of the transfer set, except empty and repetitive ones.

    Raises ModelError if no translation is left.
    """
    lines, computed = teacher_translations(teacher, job.transfer.texts, job.progress)
    rows = [row for row, line in enumerate(lines) if line and not loops(line)]
    if not rows:
        raise ModelError(
            f"{teacher.name} translates nothing: all {len(lines)} translations are empty or repetitive",
            "train the teacher on more pairs",
            key="distill.teacher",
        )
    texts = [job.transfer.texts[row] for row in rows]
    return Examples(np.asarray(rows, np.int64), texts, [(lines[row],) for row in rows]), computed


def _with_references(translated: Examples, job: DistillationJob) -> Examples:
    """Add the budget's references to the teacher's translations if the loss on labels has a weight."""
    if not job.recipe.distill.losses.labels:
        return translated
    train = job.data.train
    return Examples(
        np.concatenate([translated.ids, train.ids]), translated.texts + train.texts, translated.labels + train.labels
    )


def _start(job: DistillationJob) -> str:
    return start_of(job.checkpoint.folder)
