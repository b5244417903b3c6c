"""Fine-tuning all layers, from pretrained weights (`finetune`) or from random ones (`scratch`).

The head starts from the probe's logistic regression where the method allows it (Kumar et al. 2022, arXiv:2202.10054):
gradients then improve good vectors instead of first destroying them through a random head.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from transformers import PreTrainedModel

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
from kit.models.checkpoints.loading import (
    Bits,
    Head,
    Init,
    build_classifier,
    freeze_embeddings,
    require_positions,
    resolve_pooling,
)
from kit.training.fit import fit_model
from kit.training.interfaces import REFIT_FOLDER, SECOND_TRAINING, Fitting, Training
from kit.training.objective import LabelObjective
from kit.training.plan import make_plan


@dataclass(frozen=True)
class Finetune:
    """All layers move, and token embeddings where the recipe says so. init: where they start."""

    name: str
    init: Init
    needs_checkpoint: bool = True

    def pooling(self, folder: Path, wanted: str) -> str | None:
        """The kind that the recipe or the checkpoint names."""
        return resolve_pooling(folder, wanted)

    def fit(self, job: Job) -> Fitted:
        """Train on the budget's training examples."""
        done = train_on_budget(job, lambda: pretrained_classifier(job, self.init), lambda model: model)
        predictor = new_predictor(job, done.model, done.budget.tokenizer)
        return Fitted(predictor, done.training, done.settings, done.budget.truncation)


@dataclass(frozen=True)
class Trained:
    """A trained model as `adapt` gave it, the encoded budget, how training went, and the settings chosen."""

    model: PreTrainedModel
    budget: EncodedBudget
    training: Training
    settings: dict[str, Any]


def pretrained_classifier(job: Job, init: Init = "pretrained", bits: Bits | None = None) -> PreTrainedModel:
    """The recipe's checkpoint with a head for the task's labels."""
    assert job.checkpoint is not None
    head = Head(job.task.labels, job.task.multi_label)
    return build_classifier(job.checkpoint, head, init, job.recipe.model.pooling, job.recipe.train.dropout, bits)


def train_on_budget(
    job: Job, build: Callable[[], PreTrainedModel], adapt: Callable[[PreTrainedModel], PreTrainedModel]
) -> Trained:
    """Train on the training examples, and on a small budget then once more on all of its examples.

    build: makes the classifier that training starts from. adapt: wraps it once its head is in place.
    The first training is measured on the validation examples. With few labels they are too good to be left out of the
    final model, and the measured one has shown what the same steps do.
    """
    budget = encode_budget(job)
    if not job.recipe.train.refit:
        return _train(job, build, adapt, budget)
    trained = _train(job, build, adapt, budget, "first training")
    job.progress.say(f"{SECOND_TRAINING}: on the whole budget, its validation examples included")
    whole = replace(job, workdir=job.workdir / REFIT_FOLDER, logs=job.logs / REFIT_FOLDER)
    final = _train(whole, build, adapt, budget.whole(), SECOND_TRAINING)
    notes = [*trained.training.notes, *final.training.notes]
    training = replace(
        trained.training,
        notes=notes,
        seconds=trained.training.seconds + final.training.seconds,
        earlier_seconds=trained.training.earlier_seconds + final.training.earlier_seconds,
    )
    return Trained(final.model, budget, training, final.settings | {"refit_steps": final.training.plan.steps})


def _train(
    job: Job,
    build: Callable[[], PreTrainedModel],
    adapt: Callable[[PreTrainedModel], PreTrainedModel],
    budget: EncodedBudget,
    stage: str = "",
) -> Trained:
    """Build the classifier, start its head, let `adapt` wrap it, and train it. stage: See `Fitting`."""
    recipe = job.recipe
    torch.manual_seed(recipe.train.seed)
    model = build()
    model.to(PartialState().device)
    require_positions(model, recipe.data.max_length)
    train = budget.train
    settings: dict[str, Any] = {"device": job.hardware.device}
    if recipe.train.head == "probe":
        start = start_head(job, model, budget)
        set_head(model, start)
        settings["head_C"] = start.C
        train = budget.train.joined(budget.names)
    if recipe.train.freeze_embeddings:
        freeze_embeddings(model)
    adapted = adapt(model)
    settings["trained_parameters"] = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    plan = make_plan(recipe.train, len(train.targets), PartialState().num_processes)
    fitting = Fitting(
        model=adapted,
        objective=LabelObjective(job.task, plan.contrastive),
        lessons=lessons_of(train, budget.tokenizer),
        watch=LabelWatch(job.task, budget.tokenizer, train, budget.validation),
        section=recipe.train,
        plan=plan,
        hardware=job.hardware,
        workdir=job.workdir,
        logs=job.logs,
        progress=job.progress,
        stage=stage,
    )
    return Trained(adapted, budget, fit_model(fitting), settings)
