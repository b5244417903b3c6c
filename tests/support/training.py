"""A small training run on the tiny checkpoint, and a way to kill it."""

from __future__ import annotations

from dataclasses import replace

import torch

from kit.methods.encoders.encoder import LabelWatch, lessons_of
from kit.models.checkpoints.head import Head
from kit.models.checkpoints.loading import build_classifier
from kit.recipe.resolved import ResolvedTrain
from kit.tasks.classification.task import Classification
from kit.training.fit import fit_model
from kit.training.hardware import Hardware
from kit.training.interfaces import Fitting
from kit.training.objective import LabelObjective
from kit.training.plan import make_plan
from kit.training.progress import Progress
from kit.training.trainer import KitTrainer

LABELS = ("negative", "positive")
TASK = Classification("classification", LABELS, False, False, "accuracy")
FP32 = Hardware("cpu", False, 2)
SECTION = ResolvedTrain(
    batch_size=16,
    epochs=3,
    learning_rate=1e-3,
    contrastive=0.5,
    average=1,
    refit=False,
    freeze_embeddings=False,
    evaluations=4,
    checkpoint_seconds=0,
    report_to=[],
)


def changed(**values) -> ResolvedTrain:
    return SECTION.model_copy(update=values)


def build(data, dropout=0.1):
    torch.manual_seed(0)
    return build_classifier(data[0], Head(LABELS, False), "pretrained", dropout=dropout)


def fitting_of(data, folder, model=None, section=None, hardware=FP32, rate_shares=None, **plan_changes):
    _, tokenizer, train_split, validation = data
    section = section or SECTION
    plan = replace(make_plan(section, len(train_split.targets)), **plan_changes)
    model = model if model is not None else build(data)
    torch.manual_seed(1)
    return Fitting(
        model,
        LabelObjective(TASK, plan.contrastive),
        lessons_of(train_split, tokenizer),
        LabelWatch(TASK, tokenizer, train_split, validation),
        section,
        plan,
        hardware,
        folder / "work",
        folder / "logs",
        Progress(quiet=True),
        rate_shares or {},
    )


def train(data, folder, *settings, **changes):
    fitting = fitting_of(data, folder, *settings, **changes)
    return fitting.model, fit_model(fitting)


class KilledError(Exception):
    pass


def die_at_save(monkeypatch, count) -> None:
    """Make the trainer die right after saving its `count`-th checkpoint."""
    saves = []
    original = KitTrainer._save_checkpoint

    def save_then_die(self, *args, **kwargs):
        original(self, *args, **kwargs)
        saves.append(self.state.global_step)
        if len(saves) == count:
            raise KilledError

    monkeypatch.setattr(KitTrainer, "_save_checkpoint", save_then_die)
