"""Distillation of translators: a student that learns to write what its teacher writes.

Sequence-level knowledge distillation (Kim & Rush 2016, arXiv:1606.07947): the teacher translates the transfer set once,
by its own search, and the student is trained on that. Such translations are simpler than people's, which a small model
can follow. Nothing else passes from one to the other, so the student may have any shape and vocabulary.

Word-level, beside it or alone: at each place of these translations (and of references, where they are lessons too) the
student learns which tokens its teacher finds likely there. That takes a student with its teacher's tokens.

A student of the teacher's layers keeps the whole encoder and some layers of the decoder: the decoder runs once a token,
the encoder once a sentence (Kasai et al. 2021, Deep Encoder, Shallow Decoder, arXiv:2006.10369). A narrower one is
narrower on both sides.
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
from kit.methods.base import Fitted, Job
from kit.methods.classification.distill import describe_teacher, sizes_of
from kit.methods.translation.methods import fit_writer, pairs_of, writer_of
from kit.methods.translation.writing import Writer, dataset_of
from kit.models.architectures.layers import spread_evenly
from kit.models.translation.bpe import train_bpe
from kit.models.translation.generation_settings import apply_route
from kit.models.translation.seq2seq import Tongues, load_translator, scratch_translator, start_of
from kit.recipe.sections.distillation import DistillSection, StudentSection

# Layers of a fresh student's encoder, which runs once a sentence; the recipe counts those of the decoder.
FRESH_ENCODER = 6


@dataclass(frozen=True)
class TranslateDistill:
    """A student that learns its teacher's translations of budget and pool."""

    name: str = "distill"
    needs_checkpoint: bool = True

    def fit(self, job: Job) -> Fitted:
        """Let the teacher answer once, then train the student on what it says."""
        assert job.transfer is not None
        teacher, section = job.teachers[0], job.recipe.distill
        written, computed = _written(job, teacher)
        lessons = _with_references(written, job)
        torch.manual_seed(job.recipe.train.seed)
        writer = student_of(job, lessons)
        pairs = pairs_of(job, writer, lessons)
        words, answers = None, [computed]
        if section.losses.logits:
            words, computed = teacher_words(teacher, lessons.texts, pairs.target, job.progress)
            answers.append(computed)
        objective = WordObjective(
            task=job.task,
            section=section,
            tokens=torch.from_numpy(pairs.target.input_ids.astype(np.int64)),
            written=int(pairs.target.offsets[len(written)]),
            words=words,
        )
        placed = dataset_of(pairs, writer, PlacedPairDataset)
        fitted = fit_writer(job, writer, pairs, lessons=placed, objective=objective)
        settings: dict[str, Any] = {
            "teachers": [describe_teacher(teacher)],
            "teacher_answers_computed": [asdict(each) for each in answers],
            "transfer_set": {
                **sizes_of(job.transfer),
                "not_translated": len(job.transfer) - len(written),
                "references": len(lessons) - len(written),
            },
        }
        return replace(fitted, settings={**fitted.settings, **settings})


@dataclass(frozen=True)
class TranslateStudent:
    """The control: the same student for as many steps on the budget's references, without a teacher."""

    name: str = "student"
    needs_checkpoint: bool = True

    def fit(self, job: Job) -> Fitted:
        """Train the small model like any other."""
        writer = student_of(job, job.data.train)
        return fit_writer(job, writer, pairs_of(job, writer, job.data.train))


def student_of(job: Job, lessons: Examples) -> Writer:
    """The student as it starts: of its teacher, or without one of what its teacher is made of, as a control is.

    lessons: that a fresh one's vocabulary is made of.
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


def _of_teacher(job: Job, section: StudentSection, layers: list[int]) -> Writer:
    assert job.checkpoint is not None
    model, tongues = load_translator(job.checkpoint.folder)
    asked = job.teachers[0].translation_settings
    if asked is not None:
        first, prefix = apply_route(model, tongues.source, asked.route), asked.route.prefix
    else:  # it was saved with its languages set, and with the token that follows from them
        first = model.generation_config.forced_bos_token_id if model.generation_config else None
        prefix = str(getattr(model.config, "prefix", "") or "")
    model = narrow_translator(with_decoder_layers(model, layers), section)
    set_all_dropout(model, job.recipe.train.dropout)
    model.train()
    return Writer(model, tongues, prefix, first)


def _of_start(job: Job, section: StudentSection, layers: list[int], examples: Examples) -> Writer:
    translation = job.recipe.translation.model_copy(update={"decoder_layers": len(layers)})
    writer = writer_of(replace(job, recipe=job.recipe.model_copy(update={"translation": translation})), examples)
    cut = with_decoder_layers(writer.model, layers) if _start(job) == "translator" else writer.model
    return replace(writer, model=narrow_translator(cut, section))


def require_same_tokens(section: DistillSection, start: Path, teacher: Path | None) -> None:
    """Raise RecipeError unless the teacher's next tokens mean something to the student: before anything is trained.

    start: folder that the student is made of. teacher: its folder, or that of the checkpoint it is to be made of; None
    for one that gives translations and no probabilities.
    """
    student, where = section.student, "distill.losses.logits"
    hint = "leave it out: by distill.losses.sequence a student learns what any teacher writes"
    if teacher is None:
        raise RecipeError(f"{where}: this teacher says what it writes, and not how sure it is of each token", hint)
    if student.checkpoint is None and student.init != "random":
        return
    own = None if student.init == "random" else tokens_of(start)
    if own is None or own != tokens_of(teacher):
        raise RecipeError(
            f"{where}: {student.words} writes with other tokens than its teacher, so theirs cannot be compared",
            f"{hint}; or take layers of the teacher, which keep its tokens (distill.student: layers:1)",
        )


def resolve_translation_student(
    section: StudentSection, folder: Path | None, depth: int | None = None
) -> StudentSection:
    """The section with the layers that it comes to. folder: of the teacher, or of what the teacher is to be made of.

    depth: layers of a decoder that is still to be made, where they are known.

    Raises RecipeError or ModelError for what no translator can be: before anything is trained.
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
    wanted = section.layers
    if wanted is None:
        wanted = max(1, (count or 2) // 2)
    if isinstance(wanted, int):
        if count is not None and wanted > count:
            raise RecipeError(
                f"{wanted} are more than the teacher's decoder has: {count}",
                f"use {count} or less",
                key="distill.student.layers",
            )
        wanted = spread_evenly(wanted, count) if count is not None else list(range(wanted))
    if count is not None and max(wanted) >= count:
        raise RecipeError(
            f"the teacher's decoder has no layer {max(wanted)}",
            f"its layers are numbered 0 to {count - 1}",
            key="distill.student.layers",
        )
    return section.model_copy(update={"layers": wanted})


def _fresh(job: Job, section: StudentSection, lessons: Examples) -> Writer:
    """A small Transformer with random weights and a vocabulary of both languages, made of the lessons."""
    assert isinstance(section.layers, int) and section.hidden_size and section.heads and section.intermediate_size
    longest = job.recipe.data.max_length
    texts = [row[0] for row in lessons.texts] + [labels[0] for labels in lessons.labels]
    joint = train_bpe(texts, job.recipe.translation.vocabulary or 8_000, longest)
    torch.manual_seed(job.recipe.train.seed)
    model = scratch_translator(
        joint,
        longest,
        job.recipe.train.dropout,
        width=section.hidden_size,
        heads=section.heads,
        inner=section.intermediate_size,
        layers=(FRESH_ENCODER, section.layers),
    )
    return Writer(model, Tongues(joint, joint), "", None)


def _written(job: Job, teacher: Teacher) -> tuple[Examples, Computed]:
    """What the teacher makes of the transfer set, but for what is empty or loops. Raises ModelError if that is all."""
    assert job.transfer is not None
    lines, computed = teacher_translations(teacher, job.transfer.texts, job.progress)
    rows = [row for row, line in enumerate(lines) if line and not loops(line)]
    if not rows:
        raise ModelError(
            f"{teacher.name} translates nothing: all {len(lines)} translations are empty or loop",
            "train the teacher on more pairs",
            key="distill.teacher",
        )
    texts = [job.transfer.texts[row] for row in rows]
    return Examples(np.asarray(rows, np.int64), texts, [(lines[row],) for row in rows]), computed


def _with_references(written: Examples, job: Job) -> Examples:
    """The teacher's translations, and beside them the budget's own references if the recipe gives labels a weight."""
    if not job.recipe.distill.losses.labels:
        return written
    train = job.data.train
    return Examples(
        np.concatenate([written.ids, train.ids]), written.texts + train.texts, written.labels + train.labels
    )


def _start(job: Job) -> str:
    return start_of(job.checkpoint.folder if job.checkpoint is not None else None)
