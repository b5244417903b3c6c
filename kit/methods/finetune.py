"""Fine-tuning every weight, from pretrained ones (`finetune`) or from random ones (`scratch`).

The head starts from the probe's logistic regression where the method allows it (Kumar et al. 2022, arXiv:2202.10054):
gradients then improve good vectors instead of first destroying them through a random head.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from accelerate import PartialState
from transformers import PreTrainedModel

from kit.methods.base import Fitted, Job
from kit.methods.encoder import EncodedBudget, encode_budget, fit_head, new_predictor, set_head
from kit.models.load import Head, Init, build_classifier, resolve_pooling
from kit.training.plan import make_plan
from kit.training.trainer import Fitting, Training, train_classifier


@dataclass(frozen=True)
class Finetune:
    """All weights move. init: where they start."""

    name: str
    init: Init
    needs_checkpoint: bool = True

    def fit(self, job: Job) -> Fitted:
        """Train on the budget's training examples."""
        model, budget, training, settings = train_on_budget(job, self.init, lambda model: model)
        return Fitted(new_predictor(job, model, budget.tokenizer), training, settings, budget.truncation)


def train_on_budget(
    job: Job, init: Init, adapt: Callable[[PreTrainedModel], PreTrainedModel]
) -> tuple[PreTrainedModel, EncodedBudget, Training, dict[str, float | str]]:
    """Build the classifier, start its head, let `adapt` wrap it, and train it.

    Returns the trained model (as `adapt` gave it), the encoded budget, the training and the settings chosen.
    """
    recipe = job.recipe
    assert job.checkpoint is not None
    torch.manual_seed(recipe.train.seed)
    budget = encode_budget(job)
    head = Head(job.task.labels, job.task.multi_label)
    dropout = recipe.train.dropout
    if dropout is None and init == "pretrained":
        dropout = 0.0
    model = build_classifier(job.checkpoint, head, init, recipe.model.pooling, dropout).to(PartialState().device)
    train = budget.train
    settings: dict[str, float | str] = {"head": "random", "device": job.hardware.device}
    pooled = resolve_pooling(job.checkpoint.folder, recipe.model.pooling) is not None
    if pooled and (recipe.train.head == "probe" or (recipe.train.head == "auto" and init == "pretrained")):
        start = fit_head(job, model, budget, refit=False)
        set_head(model, start)
        settings |= {"head": "probe", "head_C": start.C}
        train = budget.train.joined(budget.names)
    plan = make_plan(recipe, len(train.targets), PartialState().num_processes)
    adapted = adapt(model)
    fitting = Fitting(
        model=adapted,
        tokenizer=budget.tokenizer,
        task=job.task,
        train=train,
        validation=budget.validation,
        section=recipe.train,
        plan=plan,
        hardware=job.hardware,
        workdir=job.workdir,
        logs=job.logs,
        progress=job.progress,
    )
    return adapted, budget, train_classifier(fitting), settings
