"""Training of all layers, from pretrained weights (`finetune`) or from random weights (`scratch`).

The head starts from the probe's logistic regression if the recipe allows it (Kumar et al. 2022, arXiv:2202.10054).
Gradients then improve the pretrained vectors, which a random head would distort first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from transformers import PreTrainedModel

from kit.methods.base import FinetuneJob, Fitted
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
from kit.models.checkpoints.loading import (
    Bits,
    Init,
    build_classifier,
    freeze_embeddings,
    require_positions,
    resolve_pooling,
)
from kit.training.interfaces import REFIT_FOLDER, SECOND_TRAINING, Fitting, Training
from kit.training.objective import LabelObjective
from kit.training.plan import make_plan


@dataclass(frozen=True)
class Finetune:
    """Training of all layers, and of token embeddings unless the recipe freezes them, from the weights of `init`."""

    name: str
    init: Init
    needs_checkpoint: bool = True

    def pooling(self, folder: Path, wanted: str) -> str | None:
        """Return the pooling that the recipe or the checkpoint specifies."""
        return resolve_pooling(folder, wanted)

    def fit(self, job: FinetuneJob) -> Fitted:
        """Train on the budget's training examples."""
        trained = train_on_budget(job, lambda: pretrained_classifier(job, self.init), lambda model: model)
        predictor = new_predictor(job, trained.model, trained.budget.tokenizer)
        return Fitted(
            predictor, trained.training, trained.settings, trained.budget.truncation, held_out=trained.held_out
        )


@dataclass(frozen=True)
class Trained:
    """A trained model.

    Attributes:
        model: The model as returned by `adapt`.
        budget: The encoded budget.
        training: Result of training.
        settings: Chosen settings.
        held_out: Outputs for the validation examples of the model that was not trained on them; None without any.
    """

    model: PreTrainedModel
    budget: EncodedBudget
    training: Training
    settings: dict[str, Any]
    held_out: np.ndarray | None


def pretrained_classifier(job: FinetuneJob, init: Init = "pretrained", bits: Bits | None = None) -> PreTrainedModel:
    """Build a classifier from the recipe's checkpoint, with a head for the task's labels."""
    head = job.encoder_task.head
    return build_classifier(job.checkpoint, head, init, job.recipe.model.pooling, job.recipe.train.dropout, bits)


def train_on_budget(
    job: FinetuneJob, build: Callable[[], PreTrainedModel], adapt: Callable[[PreTrainedModel], PreTrainedModel]
) -> Trained:
    """Train on the training examples, and with `train.refit` once more on the whole budget.

    The first training is evaluated on the validation examples. With few labels, these are too valuable to be left out
    of the final model, and the first training has shown the effect of the same steps.

    Args:
        job: FinetuneJob of the method.
        build: Returns the classifier that training starts from.
        adapt: Wraps the classifier after its head is initialized.
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
    settings = final.settings | {"refit_steps": final.training.plan.steps}
    return Trained(final.model, budget, training, settings, trained.held_out)


def _train(
    job: FinetuneJob,
    build: Callable[[], PreTrainedModel],
    adapt: Callable[[PreTrainedModel], PreTrainedModel],
    budget: EncodedBudget,
    stage: str = "",
) -> Trained:
    """Build the classifier, initialize its head, wrap it with `adapt`, and train it. See `Fitting` for `stage`."""
    recipe = job.recipe
    torch.manual_seed(recipe.train.seed)
    model = build()
    model.to(PartialState().device)
    require_positions(model, recipe.data.max_length)
    train = budget.train
    settings: dict[str, Any] = {"device": job.hardware.device}
    if recipe.train.head == "probe":
        head = start_head(job, model, budget)
        set_head(model, head)
        settings["head_C"] = head.C
        train = budget.train.joined(budget.names)
    if recipe.train.freeze_embeddings:
        freeze_embeddings(model)
    from kit.training.fit import fit_model  # transformers' Trainer takes seconds to import

    adapted = adapt(model)
    settings["trained_parameters"] = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    plan = make_plan(recipe.train, len(train.targets), PartialState().num_processes)
    fitting = Fitting(
        model=adapted,
        objective=LabelObjective(job.task, plan.contrastive),
        lessons=lessons_of(train, budget.tokenizer),
        watch=LabelWatch(job.encoder_task, budget.tokenizer, train, budget.validation),
        section=recipe.train,
        plan=plan,
        hardware=job.hardware,
        workdir=job.workdir,
        logs=job.logs,
        progress=job.progress,
        stage=stage,
        scale=job.encoder_task.head.scale,
    )
    training = fit_model(fitting)
    return Trained(adapted, budget, training, settings, held_out_outputs(job, adapted, budget))
