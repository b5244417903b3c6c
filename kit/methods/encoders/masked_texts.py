"""Texts of a transfer set with masked words, in the form that student and teachers expect."""

from __future__ import annotations

from transformers import PreTrainedTokenizerBase

from kit.data.distillation_texts import MASK
from kit.distillation.masked_words import fill_masks
from kit.distillation.teacher import Teacher
from kit.errors import ModelError
from kit.methods.base import DistillationJob
from kit.models.checkpoints.tokenizers import load_tokenizer
from kit.models.predictor import Texts


def texts_for_student(job: DistillationJob, tokenizer: PreTrainedTokenizerBase) -> Texts:
    """Return the texts of the transfer set, with masks replaced by predicted words or the student's mask token."""
    transfer = job.transfer
    if not transfer.augmented:
        return transfer.texts
    section = job.recipe.distill.augment
    plain, masked = transfer.texts[: -transfer.augmented], transfer.texts[-transfer.augmented :]
    if section.checkpoint is not None:
        return plain + fill_masks(masked, section.checkpoint, job.recipe.data.max_length, job.recipe.train.seed)
    return plain + _replaced(masked, MASK, _mask_of(tokenizer, "the student"))


def texts_for_teacher(
    job: DistillationJob, teacher: Teacher, texts: Texts, tokenizer: PreTrainedTokenizerBase
) -> Texts:
    """Return the texts with the teacher's mask token in place of the student's."""
    if not job.transfer.augmented or job.recipe.distill.augment.checkpoint is not None:
        return texts
    if teacher.checkpoint is None:
        raise ModelError(
            f"teacher {teacher.name} has no mask token", "set distill.augment.checkpoint", key="distill.augment"
        )
    teacher_mask = _mask_of(load_tokenizer(teacher.folder), f"teacher {teacher.name}")
    return _replaced(texts, _mask_of(tokenizer, "the student"), teacher_mask)


def _mask_of(tokenizer: PreTrainedTokenizerBase, model: str) -> str:
    if not tokenizer.mask_token:
        raise ModelError(f"{model} has no mask token", "set distill.augment.checkpoint", key="distill.augment")
    return str(tokenizer.mask_token)


def _replaced(texts: Texts, old: str, new: str) -> Texts:
    return texts if old == new else [tuple(text.replace(old, new) for text in row) for row in texts]
