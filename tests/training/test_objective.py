"""Objectives: loss with and without labels, and no synchronization with the device."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest
import torch

from kit.distillation.objectives import TeacherObjective, truth_of
from kit.recipe.resolved import ResolvedDistill
from kit.recipe.sections.distillation import LossesSection
from kit.tasks.classification.divergence import softened_divergence
from kit.tasks.classification.task import Classification
from kit.training.objective import LabelObjective

ONE = Classification("classification", ("a", "b", "c"), False, False, "accuracy", label_smoothing=0.1)
SEVERAL = Classification("classification", ("a", "b", "c"), True, False, "macro_f1", label_smoothing=0.1)
TARGETS = {False: np.array([2, 0, 1]), True: np.array([[1, 0, 1], [0, 0, 0], [0, 1, 0]], np.float32)}
TEXTS = 8  # in the transfer set; the first three have labels


def taught(task: Classification, device: str = "cpu") -> TeacherObjective:
    return TeacherObjective(
        task=task,
        section=ResolvedDistill(losses=LossesSection(logits=1.0, mse=0.5, labels=2.0), temperature=2.0),
        logits=torch.randn(TEXTS, 3, generator=torch.Generator().manual_seed(0)).to(device),
        truth=truth_of(TARGETS[task.multi_label], TEXTS).to(device),
        tokens=None,
        lengths=np.ones(TEXTS, np.int64),
        layer_map=(),
        relation_heads=1,
    )


@pytest.mark.parametrize("task", [ONE, SEVERAL], ids=["one label", "several labels"])
@pytest.mark.parametrize("positions", [[1, 6, 2, 7], [5, 6], [0, 1]], ids=["some known", "none known", "all known"])
def test_label_loss_counts_only_labelled_texts(task: Classification, positions: list[int]) -> None:
    objective, where = taught(task), torch.tensor(positions)
    logits = torch.randn(len(positions), 3, generator=torch.Generator().manual_seed(1), requires_grad=True)
    loss = objective({"logits": logits}, where)
    section, theirs = objective.section, objective.logits[where]
    expected = softened_divergence(logits, theirs, section.temperature, task.multi_label)
    expected = expected + 0.5 * (logits - theirs).pow(2).mean(-1).sum()
    known = where < 3
    if known.any():
        expected = expected + 2.0 * task.loss(logits[known], torch.from_numpy(TARGETS[task.multi_label])[where[known]])
    expected = expected / len(positions)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    ours, others = (torch.autograd.grad(total, logits)[0] for total in (loss, expected))
    torch.testing.assert_close(ours, others, rtol=1e-6, atol=1e-7)


@pytest.fixture
def _without_values(monkeypatch) -> None:
    """Tests with tensors of the device "meta", which have no values: reading or moving them to the CPU fails."""
    monkeypatch.setattr(
        torch, "autocast", lambda *args, **settings: nullcontext()
    )  # autocast does not support this device


@pytest.mark.usefixtures("_without_values")
@pytest.mark.parametrize("task", [ONE, SEVERAL], ids=["one label", "several labels"])
def test_teacher_losses_do_not_read_values_on_the_host(task: Classification) -> None:
    logits = torch.empty(4, 3, device="meta", requires_grad=True)
    where = torch.empty(4, dtype=torch.int64, device="meta")
    taught(task, "meta")({"logits": logits}, where).backward()
    assert logits.grad is not None


@pytest.mark.usefixtures("_without_values")
def test_label_losses_do_not_read_values_on_the_host() -> None:
    outputs = {name: torch.empty(4, 3, device="meta", requires_grad=True) for name in ("logits", "vectors")}
    LabelObjective(ONE, 0.5)(outputs, torch.empty(4, dtype=torch.int64, device="meta")).backward()
    assert all(tensor.grad is not None for tensor in outputs.values())


@pytest.mark.parametrize(
    ("read", "error"),
    [
        (torch.Tensor.item, RuntimeError),
        (torch.Tensor.cpu, NotImplementedError),
        (bool, RuntimeError),
        (lambda tensor: tensor[tensor > 0], NotImplementedError),
    ],
)
def test_reading_a_value_from_a_meta_tensor_fails(read, error) -> None:
    with pytest.raises(error, match="meta"):
        read(torch.empty(1, device="meta"))
