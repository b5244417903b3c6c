"""Losses beside the task's own.

Losses of distillation are sums over the examples of a batch, like the task's: the objective divides by their number.

Knows tensors. Knows nothing of models, recipes or data.
"""

from __future__ import annotations

import torch
from torch.nn import functional


def supervised_contrastive(vectors: torch.Tensor, targets: torch.Tensor, temperature: float = 0.1) -> torch.Tensor:
    """Supervised contrastive loss (Khosla et al. 2020, arXiv:2004.11362, eq. 2), in the mean over pairs.

    Pulls text vectors of one class together and pushes those of other classes apart, within the batch.
    vectors: (n, d), any length; compared by cosine. targets: (n,) class indices. temperature: lower is sharper.
    Returns a scalar; zero when no two examples of the batch share a class.
    """
    unit = torch.nn.functional.normalize(vectors.float(), dim=-1)
    similarity = unit @ unit.T / temperature
    itself = torch.eye(len(targets), dtype=torch.bool, device=targets.device)
    alike = (targets[:, None] == targets[None, :]) & ~itself
    log_share = torch.log_softmax(similarity.masked_fill(itself, float("-inf")), dim=-1)
    # Without a pair the sum is zero, and still part of the graph.
    return -log_share.masked_fill(~alike, 0.0).sum() / alike.sum().clamp(min=1)


def softened_divergence(
    student: torch.Tensor, teacher: torch.Tensor, temperature: float, multi_label: bool = False
) -> torch.Tensor:
    """Kullback-Leibler divergence of the student's softened answers from the teacher's, times the squared temperature.

    Hinton, Vinyals & Dean 2015, arXiv:1503.02531; the square keeps gradients alike at every temperature. student,
    teacher: logits (n, labels). multi_label: every label is a yes or no of its own, and their divergences are averaged.
    Returns the sum over examples.
    """
    ours, theirs = student.float() / temperature, teacher.float() / temperature
    if multi_label:
        sure, unsure = functional.logsigmoid(theirs), functional.logsigmoid(-theirs)
        each = sure.exp() * (sure - functional.logsigmoid(ours)) + unsure.exp() * (
            unsure - functional.logsigmoid(-ours)
        )
        return each.mean(dim=-1).sum() * temperature**2
    target = torch.log_softmax(theirs, dim=-1)
    divergence = functional.kl_div(torch.log_softmax(ours, dim=-1), target, reduction="sum", log_target=True)
    return divergence * temperature**2


def logit_error(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Squared error of logits (Ba & Caruana 2014, arXiv:1312.6184; Kim et al. 2021, arXiv:2105.08919).

    student, teacher: (n, labels). Returns the mean over labels, summed over examples.
    """
    return (student.float() - teacher.float()).pow(2).mean(dim=-1).sum()


def word_cross_entropy(
    student: torch.Tensor, log_chances: torch.Tensor, tokens: torch.Tensor, temperature: float
) -> torch.Tensor:
    """Cross-entropy of the student's next token against the teacher's: word-level distillation.

    Kim & Rush 2016, arXiv:1606.07947, section 3.1; of the teacher's distribution the k likeliest tokens alone are kept
    (Tan et al. 2019, arXiv:1902.10461, section 3.2). All other tokens are one outcome more, on both sides: with the
    probability that is left, so that the student also learns how much that is, and not which of them. The temperature
    softens these outcomes; its square keeps gradients alike at every temperature. With k as large as the vocabulary
    nothing is left, and this is the full cross-entropy.
    student: (n, vocabulary) logits at n places of translations. log_chances: (n, k) logarithms of the teacher's
    probabilities, of these tokens: (n, k) int64. Returns the sum over places.
    """
    ours, theirs = student.float(), log_chances.float()
    outcomes = ours.gather(-1, tokens)
    if tokens.shape[-1] < student.shape[-1]:
        others = ours.scatter(-1, tokens, float("-inf")).logsumexp(dim=-1, keepdim=True)
        left = (1 - theirs.exp().sum(dim=-1, keepdim=True)).clamp(min=0).log()
        outcomes, theirs = torch.cat([outcomes, others], dim=-1), torch.cat([theirs, left], dim=-1)
    target = torch.softmax(theirs / temperature, dim=-1)
    return -(target * torch.log_softmax(outcomes / temperature, dim=-1)).sum() * temperature**2


def token_error(student: torch.Tensor, teacher: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Squared error of token vectors: the hidden-state and embedding losses of TinyBERT.

    Jiao et al. 2020, arXiv:1909.10351, eq. 8 and 9; the student's vectors have passed their learned projection already.
    student, teacher: (n, length, width). mask: (n, length), 1 for tokens, 0 for padding.
    Returns the mean over a text's tokens and the width, summed over examples.
    """
    each = (student.float() - teacher.float()).pow(2).mean(dim=-1)
    return _token_mean(each, mask).sum()


def token_cosine(student: torch.Tensor, teacher: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """One minus the cosine of token vectors (DistilBERT, Sanh et al. 2019, arXiv:1910.01108, section 3).

    student, teacher: (n, length, width). mask: (n, length). Returns means over a text's tokens, summed over examples.
    """
    each = 1 - functional.cosine_similarity(student.float(), teacher.float(), dim=-1)
    return _token_mean(each, mask).sum()


def attention_relations(student: torch.Tensor, teacher: torch.Tensor, mask: torch.Tensor, heads: int) -> torch.Tensor:
    """Divergence of self-attention relations (MiniLM v2, Wang et al. 2021, arXiv:2012.15828, eq. 4 to 6).

    A relation is the softmax of the scaled products of a text's query vectors with each other, or its keys, or values,
    once these are cut into `heads` parts: it has the same shape whatever the width, so nothing has to be projected.
    student: (n, length, width), teacher: (n, length, other width), each divisible by heads. mask: (n, length).
    Returns the mean over heads and a text's tokens, summed over examples.
    """
    absent = (mask == 0)[:, None, None, :]
    ours, theirs = (_relations(vectors.float(), absent, heads) for vectors in (student, teacher))
    # Padding has probability 0 on both sides, for which logarithms are minus infinity.
    each = (theirs.exp() * (theirs - ours)).masked_fill(absent, 0.0).sum(dim=-1).mean(dim=1)
    return _token_mean(each, mask).sum()


def _relations(vectors: torch.Tensor, absent: torch.Tensor, heads: int) -> torch.Tensor:
    """(n, heads, length, length) logarithms of relations."""
    parts = vectors.view(*vectors.shape[:-1], heads, -1).transpose(1, 2)
    products = parts @ parts.transpose(-1, -2) / parts.shape[-1] ** 0.5
    return torch.log_softmax(products.masked_fill(absent, -1e9), dim=-1)


def _token_mean(each: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """(n,) means over the tokens of each text of (n, length) values."""
    weights = mask.to(each.dtype)
    return (each * weights).sum(dim=-1) / weights.sum(dim=-1).clamp(min=1)
