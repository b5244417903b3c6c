"""Objectives of distillation: weighted losses between a student and its teacher."""

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
from kit.recipe.sections.distillation import DistillSection
from kit.tasks.base import Task
from kit.training.losses import (
    attention_relations,
    logit_error,
    softened_divergence,
    token_cosine,
    token_error,
    word_cross_entropy,
)

_PROJECTIONS = "distill_projections"


@dataclass(frozen=True)
class TeacherObjective:
    """A weighted sum of distillation's losses. Targets are positions in the transfer set, or all of a pass IGNORED.

    Logits and truth lie where the student is computed: a step that looks them up on the host waits for the device. The
    teacher's token vectors are too many for that, and their losses do wait.

    logits: (n, labels) of the teacher, in the task's order of labels. truth: (n, ...) targets, see `truth_of`.
    tokens: the teacher's token vectors, None if no loss asks for them. lengths: (n,) tokens of each text. layer_map:
    layer of the teacher for each of the student's. captured: filled by every forward pass of the student.
    projections: of the student's token vectors to the teacher's width, by place; trained with the student.
    """

    task: Task
    section: DistillSection
    logits: torch.Tensor
    truth: torch.Tensor
    tokens: TokenOutputs | None
    lengths: np.ndarray
    layer_map: tuple[int, ...]
    relation_heads: int
    captured: Captured = field(default_factory=dict)
    projections: nn.ModuleDict = field(default_factory=nn.ModuleDict)

    def __call__(self, outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
        """See `Objective`."""
        items = len(labels) if num_items_in_batch is None else num_items_in_batch
        device = labels.device
        counts, labels = (labels[0] != IGNORED).float(), labels.clamp(min=0)
        weights, logits = self.section.losses, outputs["logits"]
        with torch.autocast(device.type, enabled=False):
            theirs = self.logits[labels]
            total = torch.zeros((), device=device)
            if weights.logits:
                assert self.section.temperature is not None
                loss = softened_divergence(logits, theirs, self.section.temperature, self.task.multi_label)
                total = total + weights.logits * loss
            if weights.mse:
                total = total + weights.mse * logit_error(logits, theirs)
            if weights.labels:
                total = total + weights.labels * self.task.loss(logits, self.truth[labels])
            if self.tokens is not None:
                total = total + self._of_tokens(labels.cpu().numpy(), device)
        return total * counts / items

    def _of_tokens(self, positions: np.ndarray, device: torch.device) -> torch.Tensor:
        assert self.tokens is not None
        weights = self.section.losses
        length = next(iter(self.captured.values())).shape[1]
        mask = (torch.arange(length)[None, :] < torch.from_numpy(self.lengths[positions])[:, None]).to(device)

        def both(ours: str, theirs: str) -> tuple[torch.Tensor, torch.Tensor]:
            vectors = self.captured[ours].float()
            if ours in self.projections:
                vectors = self.projections[ours](vectors)
            return vectors, self.tokens.batch(theirs, positions, length).to(device)  # type: ignore[union-attr]

        total = torch.zeros((), device=device)
        if weights.hidden:
            pairs = [both(f"hidden:{ours}", f"hidden:{theirs}") for ours, theirs in enumerate(self.layer_map)]
            errors = [token_error(ours, theirs, mask) for ours, theirs in pairs]
            total = total + weights.hidden * torch.stack(errors).mean()
        if weights.embeddings:
            total = total + weights.embeddings * token_error(*both("embeddings", "embeddings"), mask)
        if weights.cosine:
            last = f"hidden:{len(self.layer_map) - 1}"
            total = total + weights.cosine * token_cosine(*both(last, f"hidden:{self.layer_map[-1]}"), mask)
        if weights.relations:
            relations = [
                attention_relations(*both(kind, kind), mask, self.relation_heads) for kind in ("query", "key", "value")
            ]
            total = total + weights.relations * torch.stack(relations).mean()
        return total


def truth_of(targets: np.ndarray, count: int) -> torch.Tensor:
    """(count, ...) targets of a transfer set of `count` texts, whose first ones have these labels, the others none."""
    truth = np.full((count, *targets.shape[1:]), IGNORED, targets.dtype)
    truth[: len(targets)] = targets
    return torch.from_numpy(truth)


@dataclass(frozen=True)
class WordObjective:
    """A weighted sum of a translator's losses. Targets are places among the tokens of all lessons, or IGNORED.

    tokens: (total,) of all lessons, those that the teacher wrote before the references. written: tokens of the former.
    words: what the teacher finds likeliest at each place, None if no loss asks for it.
    """

    task: Task
    section: DistillSection
    tokens: torch.Tensor
    written: int
    words: TokenOutputs | None

    def __call__(self, outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
        """See `Objective`. Items are tokens."""
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
            if self.words is not None and weights.logits:
                theirs = (self.words.rows(name, places.numpy()).to(device) for name in ("log_chances", "tokens"))
                total = total + weights.logits * self._of_words(logits[known], *theirs)
        return total / items

    def _of_words(self, logits: torch.Tensor, log_chances: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        assert self.section.temperature is not None
        return word_cross_entropy(logits, log_chances, tokens.long(), self.section.temperature)


def places(section: DistillSection, layer_map: tuple[int, ...]) -> tuple[list[str], list[str]]:
    """Where the losses of a section look: places in the student, and in the teacher."""
    weights = section.losses
    ours, theirs = [], []
    if weights.hidden:
        ours += [f"hidden:{layer}" for layer in range(len(layer_map))]
        theirs += [f"hidden:{layer}" for layer in layer_map]
    elif weights.cosine:
        ours.append(f"hidden:{len(layer_map) - 1}")
        theirs.append(f"hidden:{layer_map[-1]}")
    if weights.embeddings:
        ours.append("embeddings")
        theirs.append("embeddings")
    if weights.relations:
        ours += ["query", "key", "value"]
        theirs += ["query", "key", "value"]
    return ours, list(dict.fromkeys(theirs))


@contextmanager
def projected(model: PreTrainedModel, ours: list[str], width: int) -> Iterator[tuple[Captured, nn.ModuleDict]]:
    """Capture a student's token vectors, and give it the projections to the teacher's width, until the context ends.

    ours: places in the student. width: of the teacher's token vectors; where the student's are as wide, nothing is
    projected. Projections are part of the model meanwhile, so that they are trained and resumed with it.
    """
    own = int(encoder_of(model).config.hidden_size or 0)
    projecting = [place for place in ours if place == "embeddings" or place.startswith("hidden:")]
    modules = nn.ModuleDict({place.replace(".", "_"): nn.Linear(own, width) for place in projecting if own != width})
    if len(modules):
        model.add_module(_PROJECTIONS, modules.to(model.device))
    try:
        with capturing(model, ours) as captured:
            yield captured, modules
    finally:
        if len(modules):
            delattr(model, _PROJECTIONS)
