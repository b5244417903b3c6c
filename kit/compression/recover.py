"""Recovery training: distill a model into its compressed form on the texts of budget and pool."""

from __future__ import annotations

import numpy as np
import torch
from accelerate import PartialState
from transformers import PreTrainedModel

from kit.data.encode import encode
from kit.distillation.objectives import TeacherObjective, truth_of
from kit.distillation.teacher import Teacher
from kit.distillation.teacher_outputs import teacher_logits
from kit.methods.base import CheckpointJob
from kit.methods.encoders.distill import learn
from kit.methods.encoders.encoder import EncodedBudget
from kit.models.checkpoints.loading import freeze_embeddings
from kit.recipe import TrainSection
from kit.recipe.resolved import ResolvedDistill, ResolvedTrain
from kit.recipe.sections.distillation import DistillSection
from kit.training.interfaces import Training

_BATCH_SIZE = 32


def recover(
    model: PreTrainedModel,
    teacher: Teacher,
    budget: EncodedBudget,
    job: CheckpointJob,
    epochs: float,
    learning_rate: float,
) -> Training:
    """Train the model in place on the logits of the teacher, with frozen token embeddings.

    Args:
        model: Classifier after the change, modified in place.
        teacher: The same classifier before the change.
        budget: Encoded budget of the job.
        job: Job that starts from the teacher.
        epochs: Passes over the texts of budget and pool.
        learning_rate: Peak learning rate.
    """
    texts = job.data.train.texts + job.data.pool.texts
    max_length = job.recipe.data.max_length
    encoded = encode(texts, budget.tokenizer, max_length, job.checkpoint.tokenizer_sha256)
    logits, _ = teacher_logits(teacher, texts, max_length, job.progress, job.hardware.bf16)
    model.to(PartialState().device)
    objective = TeacherObjective(
        task=job.encoder_task,
        section=ResolvedDistill.of_encoder(DistillSection()),
        logits=torch.from_numpy(job.task.align(logits, teacher.labels).astype(np.float32)).to(model.device),
        truth=truth_of(budget.train.targets, len(encoded)).to(model.device),
        tokens=None,
        lengths=encoded.lengths,
        layer_map=(),
        relation_heads=1,
    )
    train = ResolvedTrain.from_section(
        job.recipe.train,
        epochs=epochs,
        learning_rate=learning_rate,
        batch_size=_BATCH_SIZE,
        contrastive=0.0,
        average=1,
        select=TrainSection.model_fields["select"].default,
        refit=False,
        freeze_embeddings=True,
    )
    freeze_embeddings(model)
    model.train()
    return learn(job, model, budget, encoded, objective, train)
