"""Family of text encoders with a head, and of linear models on TF-IDF features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from kit.data.batching import EncodedDataset
from kit.data.distillation_texts import TransferSet, transfer_set
from kit.data.encode import encode
from kit.data.scripts import words_are_separated
from kit.distillation.teacher import Teacher, require_same_labels
from kit.distillation.teacher_outputs import teacher_logits
from kit.methods.base import CheckpointJob, DistillationJob, EncoderMethod, FinetuneJob, Inputs, Sizes, Trial
from kit.methods.encoders.distill import Distill, Student, resolve_distill, shaped
from kit.methods.encoders.encoder import label_names_to_learn
from kit.methods.encoders.finetune import Finetune
from kit.methods.encoders.lora import Lora, add_adapters
from kit.methods.encoders.probe import Probe
from kit.methods.encoders.tfidf import Tfidf
from kit.models.checkpoints.loading import (
    Init,
    build_classifier,
    freeze_embeddings,
    load_classifier,
    require_positions,
)
from kit.models.checkpoints.tokenizers import load_tokenizer
from kit.models.kinds.form import Form
from kit.models.predictor import Texts
from kit.recipe import Recipe
from kit.recipe.defaults import Facts
from kit.recipe.resolved import ResolvedRecipe, TrainingRecipe
from kit.training.padding_free import PaddingFree
from kit.training.plan import forward_passes, make_plan
from kit.training.progress import Progress
from kit.training.timing import seconds_a_pass

METHODS: dict[str, EncoderMethod[Any]] = {
    "finetune": Finetune("finetune", "pretrained"),
    "scratch": Finetune("scratch", "scratch"),
    "lora": Lora(),
    "probe": Probe(),
    "tfidf": Tfidf(),
    "distill": Distill(),
    "student": Student(),
}
# Time of a teacher's prediction, in forward passes of a student half its size.
_TEACHER_PASSES = 2.0
_PROBE_BATCH = 32


class Encoders:
    """Text encoders with a head, and linear models on TF-IDF features."""

    methods: Mapping[str, EncoderMethod[Any]] = METHODS

    def facts(self, inputs: Inputs) -> tuple[Facts, TransferSet | None]:
        """Return the facts for defaults, see `Family`."""
        recipe, data, checkpoint = inputs.recipe, inputs.data, inputs.checkpoint
        distill, transfer = None, None
        if recipe.method in ("distill", "student"):
            assert checkpoint is not None
            transfer = transfer_set(recipe.distill, data, recipe.train.seed)
            distill = resolve_distill(recipe.distill, inputs.teachers, checkpoint)
        pooling = None
        if checkpoint is not None and (distill is None or distill.student.architecture == "transformer"):
            pooling = METHODS[recipe.method].pooling(checkpoint.folder, recipe.model.pooling)
        facts = Facts(
            text=data.splits.text_columns,
            label=data.splits.label_columns,
            label_separator=data.splits.label_separator,
            labels=data.labels,
            train=len(data.train),
            validation=len(data.validation),
            pooling=pooling,
            distill=distill,
            transfer=len(transfer) if transfer else 0,
            separated=recipe.method != "tfidf" or words_are_separated(" ".join(row) for row in data.train.texts),
        )
        return facts, transfer

    def foreseen_facts(self, recipe: Recipe, labels: tuple[str, ...], sizes: Sizes) -> Facts:
        """Return facts for a checkpoint that declares its pooling, see `Family`."""
        return Facts(
            text=("text",),
            label=("label",),
            labels=labels,
            train=sizes.train,
            validation=sizes.validation,
            pooling="mean",
            distill=recipe.distill,
            transfer=sizes.transfer,
        )

    def require_teacher(self, teacher: Teacher, inputs: Inputs) -> None:
        """Raise ModelError unless a teacher has the labels of the data."""
        require_same_labels(teacher, inputs.data.labels, inputs.data.multi_label)

    def teacher_outputs(self, teacher: Teacher, texts: Texts, max_length: int, progress: Progress) -> np.ndarray:
        """Return a teacher's logits, see `Family`."""
        return teacher_logits(teacher, texts, max_length, progress)[0]

    def trial(self, job: CheckpointJob) -> Trial:
        """Build and time an encoder, see `Family`."""
        recipe, checkpoint, head = job.recipe, job.checkpoint, job.encoder_task.head
        init: Init = "scratch" if recipe.method == "scratch" else "pretrained"
        student = recipe.distill.student if isinstance(job, DistillationJob) else None
        if isinstance(job, DistillationJob) and job.teachers and recipe.distill.student.checkpoint is None:
            model = load_classifier(checkpoint.folder)
        else:
            model = build_classifier(checkpoint, head, init, recipe.model.pooling, recipe.train.dropout)
        if student is not None:
            model = shaped(student, head, model)
        require_positions(model, recipe.data.max_length)
        tokenizer = load_tokenizer(checkpoint.folder, checkpoint.trusted)
        texts = job.transfer.texts if job.transfer and recipe.method == "distill" else job.data.train.texts
        encoded = encode(texts, tokenizer, recipe.data.max_length, checkpoint.tokenizer_sha256)
        lessons = EncodedDataset.for_tokenizer(encoded, tokenizer)
        if not isinstance(job, FinetuneJob):
            return Trial(model, encoded, None, seconds_a_pass(model, lessons, _PROBE_BATCH, False))
        if recipe.train.padding_free:
            PaddingFree(model).end()
        names = [] if recipe.method == "distill" else label_names_to_learn(job)
        plan = make_plan(job.recipe.train, len(encoded) + len(names))
        if recipe.train.freeze_embeddings:
            freeze_embeddings(model)
        timed = add_adapters(model, recipe.lora) if recipe.method == "lora" else model
        return Trial(model, encoded, plan, seconds_a_pass(timed, lessons, plan.device_batch, job.hardware.bf16))

    def passes(self, recipe: ResolvedRecipe, sizes: Sizes) -> float:
        """Return the cost of a run, see `Family`."""
        if not isinstance(recipe, TrainingRecipe):
            return float(sizes.train + sizes.validation + sizes.test)
        distils = recipe.method == "distill"
        lessons = sizes.transfer if distils else sizes.train
        plan = make_plan(recipe.train, lessons)
        training = forward_passes(recipe.train, plan, sizes.train, sizes.validation, sizes.test)
        return training + (_TEACHER_PASSES * lessons if distils else 0)

    def foreseen_form(self, recipe: Recipe) -> Form:
        """Return the form of the saved model, see `Family`."""
        return Form.TFIDF if recipe.method == "tfidf" else Form.TORCH

    def model_rows(self, recipe: ResolvedRecipe) -> list[tuple[str, str]]:
        """Return the pooling of a resolved recipe."""
        pooling = recipe.model.pooling
        return [("pooling", "native head" if pooling == "native" else pooling)]
