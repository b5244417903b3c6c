import numpy as np
import pytest
import torch

from kit.training.losses import supervised_contrastive


def by_hand(vectors: np.ndarray, targets: list[int], temperature: float) -> float:
    """The formula of the paper, pair by pair."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    total, pairs = 0.0, 0
    for i in range(len(targets)):
        others = [a for a in range(len(targets)) if a != i]
        below = sum(np.exp(unit[i] @ unit[a] / temperature) for a in others)
        for p in others:
            if targets[p] == targets[i]:
                total -= np.log(np.exp(unit[i] @ unit[p] / temperature) / below)
                pairs += 1
    return total / pairs


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_matches_the_formula_pair_by_pair(temperature) -> None:
    vectors = np.random.default_rng(0).normal(size=(6, 4))
    targets = [0, 1, 0, 2, 1, 1]
    found = supervised_contrastive(torch.tensor(vectors), torch.tensor(targets), temperature)
    assert float(found) == pytest.approx(by_hand(vectors, targets, temperature), rel=1e-5)


def test_classes_apart_cost_less_than_classes_mixed() -> None:
    apart = torch.tensor([[1.0, 0], [1, 0.1], [-1, 0], [-1, 0.1]])
    same, mixed = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 0, 1])
    assert supervised_contrastive(apart, same) < supervised_contrastive(apart, mixed)


def test_without_a_pair_the_loss_is_zero_and_has_a_gradient() -> None:
    vectors = torch.randn(3, 4, requires_grad=True)
    loss = supervised_contrastive(vectors, torch.tensor([0, 1, 2]))
    loss.backward()
    assert float(loss) == 0.0
    assert vectors.grad is not None and torch.isfinite(vectors.grad).all()
