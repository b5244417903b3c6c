import numpy as np
import pytest
import torch

from kit.tasks.classification.divergence import softened_divergence
from kit.training.losses import (
    attention_relations,
    logit_error,
    supervised_contrastive,
    token_cosine,
    token_error,
    word_cross_entropy,
)


def by_hand(vectors: np.ndarray, targets: list[int], temperature: float) -> float:
    """Compute the formula of the paper pair by pair."""
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
def test_contrastive_loss_equals_the_formula(temperature) -> None:
    vectors = np.random.default_rng(0).normal(size=(6, 4))
    targets = [0, 1, 0, 2, 1, 1]
    loss = supervised_contrastive(torch.tensor(vectors), torch.tensor(targets), temperature)
    assert float(loss) == pytest.approx(by_hand(vectors, targets, temperature), rel=1e-5)


def test_separated_classes_have_a_lower_contrastive_loss() -> None:
    apart = torch.tensor([[1.0, 0], [1, 0.1], [-1, 0], [-1, 0.1]])
    same, mixed = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 0, 1])
    assert supervised_contrastive(apart, same) < supervised_contrastive(apart, mixed)


def test_contrastive_loss_without_pairs_is_zero_with_a_gradient() -> None:
    vectors = torch.randn(3, 4, requires_grad=True)
    loss = supervised_contrastive(vectors, torch.tensor([0, 1, 2]))
    loss.backward()
    assert float(loss) == 0.0
    assert vectors.grad is not None and torch.isfinite(vectors.grad).all()


STUDENT = torch.tensor([[1.0, -0.5, 0.2], [0.1, 0.4, -2.0]])
TEACHER = torch.tensor([[2.0, -1.0, 0.0], [0.0, 1.5, -1.0]])


def softmax(values: np.ndarray) -> np.ndarray:
    raised = np.exp(values - values.max(-1, keepdims=True))
    return raised / raised.sum(-1, keepdims=True)


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
def test_softened_divergence_equals_the_formula(temperature) -> None:
    ours, theirs = (softmax(logits.numpy() / temperature) for logits in (STUDENT, TEACHER))
    expected = temperature**2 * (theirs * (np.log(theirs) - np.log(ours))).sum()
    assert float(softened_divergence(STUDENT, TEACHER, temperature)) == pytest.approx(expected, rel=1e-5)


def test_multi_label_divergence_is_the_mean_over_labels() -> None:
    ours, theirs = (1 / (1 + np.exp(-logits.numpy() / 2)) for logits in (STUDENT, TEACHER))
    divergences = theirs * np.log(theirs / ours) + (1 - theirs) * np.log((1 - theirs) / (1 - ours))
    expected = 4 * divergences.mean(-1).sum()
    assert float(softened_divergence(STUDENT, TEACHER, 2.0, multi_label=True)) == pytest.approx(expected, rel=1e-5)


def test_gradient_size_hardly_depends_on_the_temperature() -> None:
    norms = []
    for temperature in (4.0, 16.0, 64.0):
        student = STUDENT.clone().requires_grad_()
        softened_divergence(student, TEACHER, temperature).backward()
        norms.append(float(student.grad.norm()))
    assert max(norms) / min(norms) < 1.3  # without the squared temperature: 256


def word_by_word(logits: np.ndarray, theirs: np.ndarray, tokens: np.ndarray, temperature: float) -> float:
    """Compute the sum over outcomes one by one: k tokens, and all others together."""
    total = 0.0
    for row in range(len(logits)):
        chances = softmax(logits[row])
        ours = [chances[token] for token in tokens[row]] + [sum(np.delete(chances, tokens[row]))]
        target = [np.exp(chance) for chance in theirs[row]]
        target.append(1 - sum(target))
        ours, target = (np.asarray(side) ** (1 / temperature) for side in (ours, target))
        total -= (target / target.sum() * np.log(ours / ours.sum())).sum() * temperature**2
    return total


@pytest.mark.parametrize("temperature", [1.0, 3.0])
@pytest.mark.parametrize("kept", [1, 3])
def test_word_cross_entropy_is_the_sum_over_kept_tokens_and_the_rest(kept, temperature) -> None:
    random = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(4, 7, generator=random) for _ in range(2))
    likeliest = teacher.log_softmax(-1).topk(kept)
    loss = word_cross_entropy(student, likeliest.values, likeliest.indices, temperature)
    expected = word_by_word(student.numpy(), likeliest.values.numpy(), likeliest.indices.numpy(), temperature)
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_whole_vocabulary_gives_the_full_cross_entropy() -> None:
    random = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(4, 7, generator=random) for _ in range(2))
    likeliest = teacher.log_softmax(-1).topk(7)
    expected = torch.nn.functional.cross_entropy(student, teacher.softmax(-1), reduction="sum")
    assert float(word_cross_entropy(student, likeliest.values, likeliest.indices, 1.0)) == pytest.approx(
        float(expected)
    )


def test_a_certain_teacher_equals_a_label() -> None:
    """The other tokens have no probability, even after rounding, and their logits still get gradients."""
    student = STUDENT.clone().requires_grad_()
    loss = word_cross_entropy(student, torch.tensor([[0.0], [1e-4]]), torch.tensor([[0], [1]]), 1.0)
    loss.backward()
    expected = torch.nn.functional.cross_entropy(STUDENT, torch.tensor([0, 1]), reduction="sum")
    assert float(loss) == pytest.approx(float(expected)) and torch.isfinite(student.grad).all()
    assert (student.grad[0] != 0).all()


def test_logit_error_is_the_mean_over_labels_summed_over_examples() -> None:
    expected = ((STUDENT - TEACHER).numpy() ** 2).mean(1).sum()
    assert float(logit_error(STUDENT, TEACHER)) == pytest.approx(expected, rel=1e-6)


LOSSES = {
    "divergence": lambda a, b, mask: softened_divergence(a[:, 0], b[:, 0], 2.0),
    "logits": lambda a, b, mask: logit_error(a[:, 0], b[:, 0]),
    "tokens": token_error,
    "cosine": token_cosine,
    "relations": lambda a, b, mask: attention_relations(a, b, mask, 2),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_zero_for_equal_inputs_and_fall_along_gradients(name) -> None:
    generator = torch.Generator().manual_seed(0)
    teacher = torch.randn(3, 5, 8, generator=generator)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 0, 0, 0, 0]])
    assert float(LOSSES[name](teacher, teacher, mask)) == pytest.approx(0.0, abs=1e-5)
    student = torch.randn(3, 5, 8, generator=generator, requires_grad=True)
    before = LOSSES[name](student, teacher, mask)
    before.backward()
    assert torch.isfinite(student.grad).all()
    after = LOSSES[name](student - 0.05 * student.grad, teacher, mask)
    assert 0 < float(after) < float(before)


@pytest.mark.parametrize("name", ["tokens", "cosine", "relations"])
def test_padding_is_ignored(name) -> None:
    generator = torch.Generator().manual_seed(1)
    student, teacher = (torch.randn(2, 6, 8, generator=generator) for _ in range(2))
    mask = torch.tensor([[1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 0, 0]])
    whole = LOSSES[name](student, teacher, mask)
    changed = student.clone()
    changed[mask == 0] = 100.0
    assert float(LOSSES[name](changed, teacher, mask)) == pytest.approx(float(whole), rel=1e-5)
    shorter = LOSSES[name](student[:, :4], teacher[:, :4], mask[:, :4])
    assert float(shorter) == pytest.approx(float(whole), rel=1e-5)


def test_relations_equal_the_formula_for_different_widths() -> None:
    generator = torch.Generator().manual_seed(2)
    student, teacher = torch.randn(2, 4, 6, generator=generator), torch.randn(2, 4, 12, generator=generator)
    mask = torch.ones(2, 4, dtype=torch.long)
    loss = float(attention_relations(student, teacher, mask, 3))
    ours, theirs = (
        softmax(np.einsum("nlhd,nmhd->nhlm", *[x.numpy().reshape(2, 4, 3, -1)] * 2) / np.sqrt(x.shape[-1] / 3))
        for x in (student, teacher)
    )
    assert loss == pytest.approx((theirs * np.log(theirs / ours)).sum(-1).mean((1, 2)).sum(), rel=1e-4)
