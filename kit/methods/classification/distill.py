"""Distillation: a student that learns a teacher's answers on budget and pool, and its control, which has no teacher.

The student starts from the teacher's weights as far as its shape allows (Sanh et al. 2019, arXiv:1910.01108); the
control from those that the teacher itself started from.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kit.data.distillation_texts import MASK, TransferSet
from kit.data.encode import Encoded, encode
from kit.distillation.masked_words import fill_masks
from kit.distillation.objectives import TeacherObjective, places, projected, truth_of
from kit.distillation.students.layers import encoder_config, last_to_last, reorder_labels, require_shape, shrink
from kit.distillation.teacher import Teacher
from kit.distillation.teacher_outputs import averaged, teacher_logits, token_outputs
from kit.errors import ModelError, RecipeError
from kit.methods.base import Fitted, Job
from kit.methods.classification.encoder import (
    EncodedBudget,
    LabelWatch,
    encode_budget,
    lessons_of,
    new_predictor,
    set_head,
    start_head,
)
from kit.methods.classification.finetune import pretrained_classifier, train_on_budget
from kit.models.architectures.cnn_bilstm import small_classifier
from kit.models.architectures.layers import encoder_of
from kit.models.architectures.pooled import PooledConfig
from kit.models.checkpoints.checkpoint import Checkpoint
from kit.models.checkpoints.loading import (
    DROPOUT_KEYS,
    Head,
    freeze_embeddings,
    load_classifier,
    load_tokenizer,
    require_positions,
    resolve_pooling,
)
from kit.models.predictor import Texts
from kit.recipe import TrainSection
from kit.recipe.sections.distillation import DistillSection, StudentSection
from kit.runtime.json_files import read_object
from kit.training.fit import fit_model
from kit.training.interfaces import Fitting, Split, Training
from kit.training.plan import make_plan


class Distill:
    """A student that learns from teachers."""

    name = "distill"
    needs_checkpoint = True

    def pooling(self, folder: Path, wanted: str) -> str | None:
        """The teacher's own, if its weights say so; else as for any checkpoint."""
        config = read_object(folder / "config.json", ModelError)
        if config.get("model_type") == PooledConfig.model_type:
            return str(config.get("pooling", "mean"))
        return resolve_pooling(folder, wanted)

    def fit(self, job: Job) -> Fitted:
        """Let the teachers answer the transfer set once, then train the student on their answers."""
        assert job.transfer is not None and job.checkpoint is not None
        recipe, section, progress = job.recipe, job.recipe.distill, job.progress
        budget = encode_budget(job)
        texts = _with_masks(job, job.transfer, budget.tokenizer)
        longest, bf16 = recipe.data.max_length, job.hardware.bf16
        encoded = encode(texts, budget.tokenizer, longest, job.checkpoint.tokenizer_sha256)
        answers, computed = [], []
        for teacher in job.teachers:
            asked = _for_teacher(job, teacher, texts, budget.tokenizer)
            logits, how = teacher_logits(teacher, asked, longest, progress, bf16)
            answers.append(logits[:, teacher.order(job.task.labels)])
            computed.append(how)
        layer_map = tuple(section.layer_map or ())
        ours, theirs = places(section, layer_map)
        tokens, width = None, 0
        if theirs:
            tokens, _ = token_outputs(job.teachers[0], encoded, budget.tokenizer, theirs, progress, bf16)
            width = int(encoder_config(job.teachers[0].folder).hidden_size)
        torch.manual_seed(recipe.train.seed)
        model = student_of_teacher(job)
        model.to(PartialState().device)
        require_positions(model, longest)
        settings = _start(job, model, budget)
        objective = TeacherObjective(
            task=job.task,
            section=section,
            logits=torch.from_numpy(averaged(answers, job.task.multi_label)).to(model.device),
            truth=truth_of(budget.train.targets, len(encoded)).to(model.device),
            tokens=tokens,
            lengths=encoded.lengths,
            layer_map=layer_map,
            relation_heads=section.relation_heads or 1,
        )
        with projected(model, ours, width) as (captured, projections):
            settings["trained_parameters"] = sum(p.numel() for p in model.parameters() if p.requires_grad)
            objective = replace(objective, captured=captured, projections=projections)
            training = learn(job, model, budget, encoded, objective, recipe.train)
        settings["teachers"] = [describe_teacher(teacher) for teacher in job.teachers]
        settings["teacher_answers_computed"] = [asdict(how) for how in computed]
        settings["transfer_set"] = sizes_of(job.transfer)
        cut = {"transfer": float(encoded.truncated.mean())}
        return Fitted(new_predictor(job, model, budget.tokenizer), training, settings, budget.truncation | cut)


class Student:
    """The control of distillation: the same student, for as many steps, on the budget's labels alone."""

    name = "student"
    needs_checkpoint = True

    def pooling(self, folder: Path, wanted: str) -> str | None:
        """The kind that the recipe or the checkpoint names."""
        return resolve_pooling(folder, wanted)

    def fit(self, job: Job) -> Fitted:
        """Fine-tune the small model like any other."""
        done = train_on_budget(job, lambda: _shaped(job, pretrained_classifier(job)), lambda model: model)
        predictor = new_predictor(job, done.model, done.budget.tokenizer)
        return Fitted(predictor, done.training, done.settings, done.budget.truncation)


def student_of_teacher(job: Job) -> PreTrainedModel:
    """The student as it starts: made of the teacher's weights, or other pretrained ones with a new head."""
    assert job.checkpoint is not None
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
    section: TrainSection,
) -> Training:
    """Train a model in place on what its teacher says of texts. section: resolved."""
    return fit_model(
        Fitting(
            model=model,
            objective=objective,
            lessons=lessons_of(Split(encoded, np.arange(len(encoded))), budget.tokenizer),
            watch=LabelWatch(job.task, budget.tokenizer, budget.train, budget.validation),
            section=section,
            plan=make_plan(section, len(encoded), PartialState().num_processes),
            hardware=job.hardware,
            workdir=job.workdir,
            logs=job.logs,
            progress=job.progress,
        )
    )


def resolve_distill(section: DistillSection, teachers: tuple[Teacher, ...], start: Checkpoint) -> DistillSection:
    """The section with the student's shape and what its losses compare, in full.

    teachers: none, if the teacher is still to be made from `start`, the weights that the student is made of.
    Raises RecipeError or ModelError for what cannot work: before anything is trained.
    """
    student = require_shape(section.student, start.folder)
    filled: dict[str, Any] = {"student": student, "layer_map": None, "relation_heads": None}
    names = section.losses.of_tokens
    if not names:
        return section.model_copy(update=filled)
    teacher = teachers[0].checkpoint if teachers else start
    where = f"distill.losses.{names[0]}"
    if teacher is None:
        raise ModelError(f"{where}: teacher {teachers[0].name} has no layers", "use distill.losses.logits")
    if teacher.tokenizer_sha256 != start.tokenizer_sha256:
        raise RecipeError(
            f"{where}: {section.student.checkpoint} has a tokenizer of its own, so its tokens are not the teacher's",
            "use distill.losses.logits, or a student made of the teacher's layers",
        )
    theirs = encoder_config(teacher.folder)
    own = encoder_config(start.folder)
    layers = len(student.layers) if isinstance(student.layers, list) else int(own.num_hidden_layers)
    layer_map = section.layer_map or last_to_last(layers, int(theirs.num_hidden_layers))
    if len(layer_map) != layers:
        raise RecipeError(
            f"{len(layer_map)} layers of the teacher for the student's {layers}",
            "name one for each of the student's layers",
            key="distill.layer_map",
        )
    if max(layer_map) >= int(theirs.num_hidden_layers):
        raise RecipeError(
            f"the teacher has no layer {max(layer_map)}",
            f"its layers are numbered 0 to {int(theirs.num_hidden_layers) - 1}",
            key="distill.layer_map",
        )
    filled["layer_map"] = list(layer_map)
    if section.losses.relations:
        heads = section.relation_heads or int(theirs.num_attention_heads)
        for width in (int(theirs.hidden_size), student.hidden_size or int(own.hidden_size)):
            if width % heads:
                raise RecipeError(
                    f"{heads} heads cannot be cut from vectors of {width}",
                    "give a number that divides the teacher's width and the student's",
                    key="distill.relation_heads",
                )
        filled["relation_heads"] = heads
    return section.model_copy(update=filled)


def shaped(section: StudentSection, head: Head, source: PreTrainedModel) -> PreTrainedModel:
    """A classifier in the shape of a student, whose section is resolved. head: for students that bring none."""
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
    return small_classifier(section.architecture, section.hidden_size, layers, table, head.config())


def _shaped(job: Job, source: PreTrainedModel) -> PreTrainedModel:
    return shaped(job.recipe.distill.student, Head(job.task.labels, job.task.multi_label), source)


def _start(job: Job, model: PreTrainedModel, budget: EncodedBudget) -> dict[str, Any]:
    """Start the head of a student that brings none, and freeze what the recipe says."""
    settings: dict[str, Any] = {"device": job.hardware.device}
    if job.recipe.train.head == "probe":
        head = start_head(job, model, budget)
        set_head(model, head)
        settings["head_C"] = head.C
    if job.recipe.train.freeze_embeddings:
        freeze_embeddings(model)
    return settings


def _with_masks(job: Job, transfer: TransferSet, tokenizer: PreTrainedTokenizerBase) -> Texts:
    """The transfer set's texts with masked words filled, or with the student's own mask."""
    if not transfer.augmented:
        return transfer.texts
    section = job.recipe.distill.augment
    plain, masked = transfer.texts[: -transfer.augmented], transfer.texts[-transfer.augmented :]
    if section.checkpoint is not None:
        return plain + fill_masks(masked, section.checkpoint, job.recipe.data.max_length, job.recipe.train.seed)
    return plain + _replaced(masked, MASK, _mask_of(tokenizer, "the student"))


def _for_teacher(job: Job, teacher: Teacher, texts: Texts, tokenizer: PreTrainedTokenizerBase) -> Texts:
    """The same texts with a teacher's own mask in place of the student's."""
    assert job.transfer is not None
    if not job.transfer.augmented or job.recipe.distill.augment.checkpoint is not None:
        return texts
    if teacher.checkpoint is None:
        raise ModelError(
            f"teacher {teacher.name} knows no masked words", "give distill.augment.checkpoint", key="distill.augment"
        )
    theirs = _mask_of(load_tokenizer(teacher.folder), f"teacher {teacher.name}")
    return _replaced(texts, _mask_of(tokenizer, "the student"), theirs)


def _mask_of(tokenizer: PreTrainedTokenizerBase, whose: str) -> str:
    if not tokenizer.mask_token:
        raise ModelError(f"{whose} has no mask token", "give distill.augment.checkpoint", key="distill.augment")
    return str(tokenizer.mask_token)


def _replaced(texts: Texts, old: str, new: str) -> Texts:
    return texts if old == new else [tuple(text.replace(old, new) for text in row) for row in texts]


def describe_teacher(teacher: Teacher) -> dict[str, Any]:
    """What a Record says of a teacher."""
    return {"name": teacher.name, "record": teacher.record.id if teacher.record else None, "sha256": teacher.sha256}


def sizes_of(transfer: TransferSet) -> dict[str, int]:
    """How many texts a transfer set has, and where they are from."""
    return {
        "texts": len(transfer),
        "labelled": transfer.labelled,
        "pool": transfer.pool,
        "extra": transfer.extra,
        "extra_dropped": transfer.dropped,
        "augmented": transfer.augmented,
    }
