"""Distillation of classifiers: a student that learns its teacher's predictions, and a control without a teacher.

The student starts from the teacher's weights as far as its shape allows (Sanh et al. 2019, arXiv:1910.01108), the
control from the weights that the teacher itself started from.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from transformers import PreTrainedModel

from kit.data.distillation_texts import TransferSet
from kit.data.encode import Encoded, encode
from kit.distillation.objectives import TeacherObjective, places, projected, truth_of
from kit.distillation.students.layers import encoder_config, last_to_last, reorder_labels, require_shape, shrink
from kit.distillation.teacher import Teacher
from kit.distillation.teacher_outputs import teacher_logits, token_outputs
from kit.errors import ModelError, RecipeError
from kit.methods.base import DistillationJob, Fitted, Job
from kit.methods.encoders.encoder import (
    EncodedBudget,
    LabelWatch,
    encode_budget,
    held_out_outputs,
    lessons_of,
    new_predictor,
    set_head,
    start_head,
)
from kit.methods.encoders.finetune import pretrained_classifier, train_on_budget
from kit.methods.encoders.masked_texts import texts_for_student, texts_for_teacher
from kit.models.architectures.cnn_bilstm import small_classifier
from kit.models.architectures.layers import encoder_of
from kit.models.architectures.pooled import PooledConfig
from kit.models.checkpoints.checkpoint import Checkpoint
from kit.models.checkpoints.config_file import read_config
from kit.models.checkpoints.head import Head
from kit.models.checkpoints.head_scale import to_units
from kit.models.checkpoints.loading import (
    DROPOUT_KEYS,
    freeze_embeddings,
    load_classifier,
    require_positions,
    resolve_pooling,
)
from kit.recipe.resolved import ResolvedTrain
from kit.recipe.sections.distillation import DistillSection, StudentSection
from kit.training.interfaces import Fitting, Split, Training
from kit.training.plan import make_plan


class Distill:
    """A student that learns from teachers."""

    name = "distill"
    needs_checkpoint = True

    def pooling(self, folder: Path, wanted: str) -> str | None:
        """Return the teacher's pooling if its configuration contains one, otherwise that of any checkpoint."""
        config = read_config(folder)
        if config.model_type == PooledConfig.model_type:
            return str(config.content.get("pooling", "mean"))
        return resolve_pooling(folder, wanted)

    def fit(self, job: DistillationJob) -> Fitted:
        """Compute the teachers' predictions for the transfer set once, then train the student on them."""
        recipe, section, progress = job.recipe, job.recipe.distill, job.progress
        budget = encode_budget(job)
        texts = texts_for_student(job, budget.tokenizer)
        max_length, bf16 = recipe.data.max_length, job.hardware.bf16
        encoded = encode(texts, budget.tokenizer, max_length, job.checkpoint.tokenizer_sha256)
        predictions, computed = [], []
        for teacher in job.teachers:
            teacher_texts = texts_for_teacher(job, teacher, texts, budget.tokenizer)
            logits, origin = teacher_logits(teacher, teacher_texts, max_length, progress, bf16)
            predictions.append(job.task.align(logits, teacher.labels))
            computed.append(origin)
        layer_map = tuple(section.layer_map or ())
        student_places, teacher_places = places(section, layer_map)
        tokens, width = None, 0
        if teacher_places:
            tokens, _ = token_outputs(job.teachers[0], encoded, budget.tokenizer, teacher_places, progress, bf16)
            width = int(encoder_config(job.teachers[0].folder).hidden_size)
        torch.manual_seed(recipe.train.seed)
        model = student_of_teacher(job)
        model.to(PartialState().device)
        require_positions(model, max_length)
        settings = _prepare(job, model, budget)
        objective = TeacherObjective(
            task=job.encoder_task,
            section=section,
            logits=torch.from_numpy(job.task.average(predictions)).to(model.device),
            truth=truth_of(budget.train.targets, len(encoded)).to(model.device),
            tokens=tokens,
            lengths=encoded.lengths,
            layer_map=layer_map,
            relation_heads=section.relation_heads or 1,
        )
        with projected(model, student_places, width) as (captured, projections):
            settings["trained_parameters"] = sum(p.numel() for p in model.parameters() if p.requires_grad)
            objective = replace(objective, captured=captured, projections=projections)
            training = learn(job, model, budget, encoded, objective, recipe.train)
        settings["teachers"] = [describe_teacher(teacher) for teacher in job.teachers]
        settings["teacher_answers_computed"] = [asdict(origin) for origin in computed]
        settings["transfer_set"] = sizes_of(job.transfer)
        truncation = budget.truncation | {"transfer": float(encoded.truncated.mean())}
        held_out = held_out_outputs(job, model, budget)
        return Fitted(new_predictor(job, model, budget.tokenizer), training, settings, truncation, held_out=held_out)


class Student:
    """The control of distillation: the same student, trained for as many steps on the budget's labels only."""

    name = "student"
    needs_checkpoint = True

    def pooling(self, folder: Path, wanted: str) -> str | None:
        """Return the pooling that the recipe or the checkpoint specifies."""
        return resolve_pooling(folder, wanted)

    def fit(self, job: DistillationJob) -> Fitted:
        """Fine-tune the student on the budget."""
        trained = train_on_budget(job, lambda: _shaped(job, pretrained_classifier(job)), lambda model: model)
        predictor = new_predictor(job, trained.model, trained.budget.tokenizer)
        return Fitted(
            predictor, trained.training, trained.settings, trained.budget.truncation, held_out=trained.held_out
        )


def student_of_teacher(job: DistillationJob) -> PreTrainedModel:
    """Build the student from the teacher's weights, or from the student's own checkpoint with a new head."""
    if job.recipe.distill.student.checkpoint is not None:
        return pretrained_classifier(job)
    source = load_classifier(job.checkpoint.folder)
    if job.recipe.train.dropout is not None:
        for key in DROPOUT_KEYS:
            if isinstance(getattr(encoder_of(source).config, key, None), int | float):
                setattr(encoder_of(source).config, key, job.recipe.train.dropout)
    student = _shaped(job, source)
    reorder_labels(student, job.task.labels)
    student.train()
    return student


def learn(
    job: Job,
    model: PreTrainedModel,
    budget: EncodedBudget,
    encoded: Encoded,
    objective: TeacherObjective,
    section: ResolvedTrain,
) -> Training:
    """Train a model in place on its teacher's outputs.

    Args:
        job: Job of the training.
        model: Student.
        budget: Encoded budget, on which the student is evaluated during training.
        encoded: Texts of the transfer set.
        objective: Loss with the teacher's outputs for these texts.
        section: Resolved training settings.
    """
    from kit.training.fit import fit_model  # transformers' Trainer takes seconds to import

    return fit_model(
        Fitting(
            model=model,
            objective=objective,
            lessons=lessons_of(Split(encoded, np.arange(len(encoded))), budget.tokenizer),
            watch=LabelWatch(job.encoder_task, budget.tokenizer, budget.train, budget.validation),
            section=section,
            plan=make_plan(section, len(encoded), PartialState().num_processes),
            hardware=job.hardware,
            workdir=job.workdir,
            logs=job.logs,
            progress=job.progress,
            scale=job.encoder_task.head.scale,
        )
    )


def resolve_distill(section: DistillSection, teachers: tuple[Teacher, ...], start: Checkpoint) -> DistillSection:
    """Fill in the student's shape, the layer map and the number of relation heads. Called before training.

    Args:
        section: Section of the recipe.
        teachers: Teachers; empty if the teacher is not yet trained.
        start: Checkpoint that the student is built from, and the teacher too if it is not yet trained.

    Raises:
        RecipeError: The section does not fit the teacher or the student.
        ModelError: The student cannot have this shape, or a loss needs layers that the teacher does not have.
    """
    student = require_shape(section.student, start.folder)
    filled: dict[str, Any] = {"student": student, "layer_map": None, "relation_heads": None}
    names = section.losses.of_tokens
    if not names:
        return section.model_copy(update=filled)
    teacher = teachers[0].checkpoint if teachers else start
    loss_key = f"distill.losses.{names[0]}"
    if teacher is None:
        raise ModelError(f"{loss_key}: teacher {teachers[0].name} has no layers", "use distill.losses.logits")
    if teacher.tokenizer_sha256 != start.tokenizer_sha256:
        raise RecipeError(
            f"{loss_key}: {section.student.checkpoint} has a tokenizer of its own, so its token vectors cannot be "
            "compared with the teacher's",
            "use distill.losses.logits, or a student made of the teacher's layers",
        )
    teacher_config = encoder_config(teacher.folder)
    start_config = encoder_config(start.folder)
    layers = len(student.layers) if isinstance(student.layers, list) else int(start_config.num_hidden_layers)
    layer_map = section.layer_map or last_to_last(layers, int(teacher_config.num_hidden_layers))
    if len(layer_map) != layers:
        raise RecipeError(
            f"{len(layer_map)} layers of the teacher for the student's {layers}",
            "name one for each of the student's layers",
            key="distill.layer_map",
        )
    if max(layer_map) >= int(teacher_config.num_hidden_layers):
        raise RecipeError(
            f"the teacher has no layer {max(layer_map)}",
            f"its layers are numbered 0 to {int(teacher_config.num_hidden_layers) - 1}",
            key="distill.layer_map",
        )
    filled["layer_map"] = list(layer_map)
    if section.losses.relations:
        heads = section.relation_heads or int(teacher_config.num_attention_heads)
        for width in (int(teacher_config.hidden_size), student.hidden_size or int(start_config.hidden_size)):
            if width % heads:
                raise RecipeError(
                    f"{heads} heads cannot be cut from vectors of {width}",
                    "set a number that divides the teacher's width and the student's",
                    key="distill.relation_heads",
                )
        filled["relation_heads"] = heads
    return section.model_copy(update=filled)


def shaped(section: StudentSection, head: Head, source: PreTrainedModel) -> PreTrainedModel:
    """Return a classifier in the shape of a student.

    Args:
        section: Resolved section of the student.
        head: Head for architectures that are built from scratch.
        source: Classifier that the student is built from; returned as it is for a student with its own checkpoint.
    """
    if section.checkpoint is not None:
        return source
    if section.architecture == "transformer":
        return shrink(source, section)
    assert section.hidden_size is not None
    embedding = source.get_input_embeddings()
    assert isinstance(embedding, torch.nn.Embedding)
    table = embedding.weight.detach()
    if section.init == "random":
        table = torch.randn_like(table)
    layers = section.layers if isinstance(section.layers, int) else 1
    model = small_classifier(section.architecture, section.hidden_size, layers, table, head.config())
    to_units(model, head.scale)
    return model


def _shaped(job: DistillationJob, source: PreTrainedModel) -> PreTrainedModel:
    return shaped(job.recipe.distill.student, job.encoder_task.head, source)


def _prepare(job: DistillationJob, model: PreTrainedModel, budget: EncodedBudget) -> dict[str, Any]:
    """Fit the head and freeze the embeddings if the recipe requests it, and return the settings for the Record."""
    settings: dict[str, Any] = {"device": job.hardware.device}
    if job.recipe.train.head == "probe":
        head = start_head(job, model, budget)
        set_head(model, head)
        settings["head_C"] = head.C
    if job.recipe.train.freeze_embeddings:
        freeze_embeddings(model)
    return settings


def describe_teacher(teacher: Teacher) -> dict[str, Any]:
    """Return the entry of a teacher in a Record."""
    return {"name": teacher.name, "record": teacher.record.id if teacher.record else None, "sha256": teacher.sha256}


def sizes_of(transfer: TransferSet) -> dict[str, int]:
    """Return the number of texts of a transfer set by origin, for a Record."""
    return {
        "texts": len(transfer),
        "labelled": transfer.labelled,
        "pool": transfer.pool,
        "extra": transfer.extra,
        "extra_dropped": transfer.dropped,
        "augmented": transfer.augmented,
    }
