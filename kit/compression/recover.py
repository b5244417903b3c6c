"""Recovery: a model that was changed learns, on the texts of budget and pool, to answer as it did before.

Knows models and the transfer set. Knows nothing of what was changed.
"""

from __future__ import annotations

import numpy as np
import torch
from accelerate import PartialState
from transformers import PreTrainedModel

from kit.data.encode import encode
from kit.distillation.objectives import TeacherObjective, truth_of
from kit.distillation.teacher import Teacher
from kit.distillation.teacher_outputs import teacher_logits
from kit.methods import Job
from kit.methods.classification.distill import learn
from kit.methods.classification.encoder import EncodedBudget
from kit.models.checkpoints.loading import freeze_embeddings
from kit.recipe import TrainSection
from kit.recipe.sections.distillation import DistillSection
from kit.training.interfaces import Training

_BATCH = 32


def recover(
    model: PreTrainedModel, teacher: Teacher, budget: EncodedBudget, job: Job, epochs: float, learning_rate: float
) -> Training:
    """Train the model in place on the logits of the teacher, which is what it was before.

    job: its `checkpoint` is the teacher's. Token embeddings stay as they are.
    """
    assert teacher.checkpoint is not None
    texts = job.data.train.texts + job.data.pool.texts
    longest = job.recipe.data.max_length
    encoded = encode(texts, budget.tokenizer, longest, teacher.checkpoint.tokenizer_sha256)
    logits, _ = teacher_logits(teacher, texts, longest, job.progress, job.hardware.bf16)
    model.to(PartialState().device)
    objective = TeacherObjective(
        task=job.task,
        section=DistillSection().resolved(translates=False),
        logits=torch.from_numpy(logits[:, teacher.order(job.task.labels)].astype(np.float32)).to(model.device),
        truth=truth_of(budget.train.targets, len(encoded)).to(model.device),
        tokens=None,
        lengths=encoded.lengths,
        layer_map=(),
        relation_heads=1,
    )
    train = job.recipe.train.model_copy(
        update={
            "epochs": epochs,
            "learning_rate": learning_rate,
            "batch_size": _BATCH,
            "contrastive": 0.0,
            "average": 1,
            "select": TrainSection.model_fields["select"].default,
        }
    )
    freeze_embeddings(model)
    model.train()
    return learn(job, model, budget, encoded, objective, train)
