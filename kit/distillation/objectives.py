"""Objectives of distillation: weighted sums of losses between a student and its teacher."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

from kit.data.encode import IGNORED
from kit.distillation.teacher_outputs import TokenOutputs
from kit.models.architectures.layers import Captured, capturing, encoder_of
from kit.recipe.resolved import ResolvedDistill, SoftTargets
from kit.tasks.base import EncoderTask, Task
from kit.training.losses import (
    attention_relations,
    logit_error,
    token_cosine,
    token_error,
    word_cross_entropy,
)

_PROJECTIONS = "distill_projections"


@dataclass(frozen=True)
class TeacherObjective:
    """Weighted sum of the losses of an encoder's distillation.

    The `labels` of a pass are positions in the transfer set, or all IGNORED. Teacher logits and true labels are on the
    student's device, because a look-up on the host would make each step wait for the device. The teacher's token
    vectors are too large for that, so their losses do wait.

    Attributes:
        task: The task, which defines the loss on labels.
        section: The recipe's `distill` section, resolved.
        logits: (n, labels) logits of the teacher, in the task's order of labels.
        truth: (n, ...) true labels, see `truth_of`.
        tokens: Token vectors of the teacher; None if no loss needs them.
        lengths: (n,) tokens per text.
        layer_map: For each layer of the student, the layer of the teacher.
        relation_heads: Number of heads for the loss on relations.
        captured: Token vectors of the student, filled by every forward pass.
        projections: Projections of the student's token vectors to the teacher's width, by place; trained with the
            student.
    """

    task: EncoderTask
    section: ResolvedDistill
    logits: torch.Tensor
    truth: torch.Tensor
    tokens: TokenOutputs | None
    lengths: np.ndarray
    layer_map: tuple[int, ...]
    relation_heads: int
    captured: Captured = field(default_factory=dict)
    projections: nn.ModuleDict = field(default_factory=nn.ModuleDict)

    def __call__(self, outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
        """Return the loss, see `Objective`; items are examples."""
        items = len(labels) if num_items_in_batch is None else num_items_in_batch
        device = labels.device
        weight_of_pass, labels = (labels[0] != IGNORED).float(), labels.clamp(min=0)
        weights, logits = self.section.losses, outputs["logits"]
        with torch.autocast(device.type, enabled=False):
            teacher_logits = self.logits[labels]
            total = torch.zeros((), device=device)
            if (soft := self.section.soft_targets) is not None:
                loss = self.task.divergence(logits, teacher_logits, soft.temperature)
                total = total + soft.weight * loss
            if weights.mse:
                total = total + weights.mse * logit_error(logits, teacher_logits)
            if weights.labels:
                total = total + weights.labels * self.task.loss(logits, self.truth[labels])
            if self.tokens is not None:
                total = total + self._token_losses(self.tokens, labels.cpu().numpy(), device)
        return total * weight_of_pass / items

    def _token_losses(self, tokens: TokenOutputs, positions: np.ndarray, device: torch.device) -> torch.Tensor:
        """Return the weighted sum of the losses on the teacher's token vectors, for texts at these positions."""
        weights = self.section.losses
        length = next(iter(self.captured.values())).shape[1]
        mask = (torch.arange(length)[None, :] < torch.from_numpy(self.lengths[positions])[:, None]).to(device)

        def pair(place: str, teacher_place: str) -> tuple[torch.Tensor, torch.Tensor]:
            vectors = self.captured[place].float()
            if place in self.projections:
                vectors = self.projections[place](vectors)
            return vectors, tokens.batch(teacher_place, positions, length).to(device)

        total = torch.zeros((), device=device)
        if weights.hidden:
            pairs = [pair(f"hidden:{own}", f"hidden:{teacher}") for own, teacher in enumerate(self.layer_map)]
            errors = [token_error(student, teacher, mask) for student, teacher in pairs]
            total = total + weights.hidden * torch.stack(errors).mean()
        if weights.embeddings:
            total = total + weights.embeddings * token_error(*pair("embeddings", "embeddings"), mask)
        if weights.cosine:
            last = f"hidden:{len(self.layer_map) - 1}"
            total = total + weights.cosine * token_cosine(*pair(last, f"hidden:{self.layer_map[-1]}"), mask)
        if weights.relations:
            relations = [
                attention_relations(*pair(kind, kind), mask, self.relation_heads) for kind in ("query", "key", "value")
            ]
            total = total + weights.relations * torch.stack(relations).mean()
        return total


def truth_of(targets: np.ndarray, count: int) -> torch.Tensor:
    """Return the true labels (count, ...) of a transfer set, for texts without a label IGNORED, or NaN for numbers.

    Args:
        targets: (n, ...) targets of the first n texts.
        count: Number of texts in the transfer set.
    """
    missing = np.nan if targets.dtype == np.float64 else IGNORED  # any other value can be a label
    truth = np.full((count, *targets.shape[1:]), missing, targets.dtype)
    truth[: len(targets)] = targets
    return torch.from_numpy(truth)


@dataclass(frozen=True)
class WordObjective:
    """Weighted sum of the losses of a translator's distillation.

    The `labels` of a pass are positions in `tokens`, or IGNORED.

    Attributes:
        task: The task, which defines the loss on target tokens.
        section: The recipe's `distill` section, resolved.
        tokens: (total,) target tokens of all lessons: first the teacher's translations, then the references.
        written: Number of tokens in the teacher's translations.
        words: Most likely tokens of the teacher at each position; None if no loss needs them.
    """

    task: Task
    section: ResolvedDistill
    tokens: torch.Tensor
    written: int
    words: TokenOutputs | None

    def __call__(self, outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
        """Return the loss, see `Objective`; items are tokens."""
        weights, logits, device = self.section.losses, outputs["logits"], labels.device
        known = labels != IGNORED
        items = known.sum() if num_items_in_batch is None else num_items_in_batch
        places = labels[known].cpu()
        targets = torch.full_like(labels, IGNORED)
        targets[known] = self.tokens[places].to(device)
        with torch.autocast(device.type, enabled=False):
            total = torch.zeros((), device=device)
            for weight, part in ((weights.sequence, labels < self.written), (weights.labels, labels >= self.written)):
                if weight:
                    total = total + weight * self.task.loss(logits, targets.masked_fill(~part, IGNORED))
            if self.words is not None and (soft := self.section.soft_targets) is not None:
                likeliest = (self.words.rows(name, places.numpy()).to(device) for name in ("log_chances", "tokens"))
                total = total + _word_loss(soft, logits[known], *likeliest)
        return total / items


def _word_loss(
    soft: SoftTargets, logits: torch.Tensor, log_chances: torch.Tensor, tokens: torch.Tensor
) -> torch.Tensor:
    return soft.weight * word_cross_entropy(logits, log_chances, tokens.long(), soft.temperature)


def places(section: ResolvedDistill, layer_map: tuple[int, ...]) -> tuple[list[str], list[str]]:
    """Return the places of token vectors that the losses compare, in the student and in the teacher.

    Args:
        section: The recipe's `distill` section, resolved.
        layer_map: For each layer of the student, the layer of the teacher.
    """
    weights = section.losses
    student, teacher = [], []
    if weights.hidden:
        student += [f"hidden:{layer}" for layer in range(len(layer_map))]
        teacher += [f"hidden:{layer}" for layer in layer_map]
    elif weights.cosine:
        student.append(f"hidden:{len(layer_map) - 1}")
        teacher.append(f"hidden:{layer_map[-1]}")
    if weights.embeddings:
        student.append("embeddings")
        teacher.append("embeddings")
    if weights.relations:
        student += ["query", "key", "value"]
        teacher += ["query", "key", "value"]
    return student, list(dict.fromkeys(teacher))


@contextmanager
def projected(model: PreTrainedModel, ours: list[str], width: int) -> Iterator[tuple[Captured, nn.ModuleDict]]:
    """Capture a student's token vectors and add projections to the teacher's width, within the context.

    Projections are part of the model within the context, so they are trained and saved in checkpoints with it.

    Args:
        model: The student.
        ours: Places in the student.
        width: Width of the teacher's token vectors. If the student has the same width, nothing is projected.

    Yields:
        The captured token vectors, filled by every forward pass, and the projections by place.
    """
    own_width = int(encoder_of(model).config.hidden_size or 0)
    to_project = [place for place in ours if place == "embeddings" or place.startswith("hidden:")]
    projections = nn.ModuleDict(
        {place.replace(".", "_"): nn.Linear(own_width, width) for place in to_project if own_width != width}
    )
    if len(projections):
        model.add_module(_PROJECTIONS, projections.to(model.device))
    try:
        with capturing(model, ours) as captured:
            yield captured, projections
    finally:
        if len(projections):
            delattr(model, _PROJECTIONS)
