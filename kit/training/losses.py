"""Contrastive loss and losses of distillation.

Losses of distillation are sums over the examples of a batch, as is the task's loss; the objective divides by their
number.
"""

from __future__ import annotations

import torch
from torch.nn import functional


def supervised_contrastive(vectors: torch.Tensor, targets: torch.Tensor, temperature: float = 0.1) -> torch.Tensor:
    """Compute the supervised contrastive loss (Khosla et al. 2020, arXiv:2004.11362, eq. 2), averaged over pairs.

    Within the batch, it pulls text vectors of the same class together and pushes those of different classes apart.

    Args:
        vectors: (n, d) text vectors of any norm; compared by cosine similarity.
        targets: (n,) class indices.
        temperature: Divisor of the similarities; lower is sharper.

    Returns:
        Scalar loss; zero if no two examples of the batch share a class.
    """
    unit = torch.nn.functional.normalize(vectors.float(), dim=-1)
    similarity = unit @ unit.T / temperature
    diagonal = torch.eye(len(targets), dtype=torch.bool, device=targets.device)
    same_class = (targets[:, None] == targets[None, :]) & ~diagonal
    log_share = torch.log_softmax(similarity.masked_fill(diagonal, float("-inf")), dim=-1)
    # Without a pair, the sum is zero but still part of the graph.
    return -log_share.masked_fill(~same_class, 0.0).sum() / same_class.sum().clamp(min=1)


def logit_error(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Compute the squared error of logits (Ba & Caruana 2014, arXiv:1312.6184; Kim et al. 2021, arXiv:2105.08919).

    Args:
        student: (n, labels) logits.
        teacher: (n, labels) logits.

    Returns:
        Mean over labels, summed over examples.
    """
    return (student.float() - teacher.float()).pow(2).mean(dim=-1).sum()


def word_cross_entropy(
    student: torch.Tensor, log_chances: torch.Tensor, tokens: torch.Tensor, temperature: float
) -> torch.Tensor:
    """Compute the cross-entropy of the student's next token against the teacher's: word-level distillation.

    Kim & Rush 2016, arXiv:1606.07947, section 3.1; only the teacher's k most likely tokens are kept (Tan et al. 2019,
    arXiv:1902.10461, section 3.2). All other tokens together are one further outcome with the remaining probability,
    for student and teacher, so the student learns their total probability but not its distribution. The temperature
    softens these outcomes; its square keeps the size of gradients independent of it. If k is the size of the
    vocabulary, this is the full cross-entropy.

    Args:
        student: (n, vocabulary) logits at n target positions.
        log_chances: (n, k) log probabilities of the teacher.
        tokens: (n, k) int64 token ids that `log_chances` belong to.
        temperature: Divisor of logits and log probabilities.

    Returns:
        Sum over target positions.
    """
    student_logits, teacher_scores = student.float(), log_chances.float()
    outcomes = student_logits.gather(-1, tokens)
    if tokens.shape[-1] < student.shape[-1]:
        others = student_logits.scatter(-1, tokens, float("-inf")).logsumexp(dim=-1, keepdim=True)
        remaining = (1 - teacher_scores.exp().sum(dim=-1, keepdim=True)).clamp(min=0).log()
        outcomes, teacher_scores = torch.cat([outcomes, others], dim=-1), torch.cat([teacher_scores, remaining], dim=-1)
    target = torch.softmax(teacher_scores / temperature, dim=-1)
    return -(target * torch.log_softmax(outcomes / temperature, dim=-1)).sum() * temperature**2


def token_error(student: torch.Tensor, teacher: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Compute the squared error of token vectors: the hidden-state and embedding losses of TinyBERT.

    Jiao et al. 2020, arXiv:1909.10351, eq. 8 and 9.

    Args:
        student: (n, length, width) vectors after the learned projection.
        teacher: (n, length, width) vectors.
        mask: (n, length), 1 for tokens and 0 for padding.

    Returns:
        Mean over a text's tokens and the width, summed over examples.
    """
    errors = (student.float() - teacher.float()).pow(2).mean(dim=-1)
    return _token_mean(errors, mask).sum()


def token_cosine(student: torch.Tensor, teacher: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Compute one minus the cosine of token vectors (DistilBERT, Sanh et al. 2019, arXiv:1910.01108, section 3).

    Args:
        student: (n, length, width) vectors.
        teacher: (n, length, width) vectors.
        mask: (n, length), 1 for tokens and 0 for padding.

    Returns:
        Mean over a text's tokens, summed over examples.
    """
    distances = 1 - functional.cosine_similarity(student.float(), teacher.float(), dim=-1)
    return _token_mean(distances, mask).sum()


def attention_relations(student: torch.Tensor, teacher: torch.Tensor, mask: torch.Tensor, heads: int) -> torch.Tensor:
    """Compute the divergence of self-attention relations (MiniLM v2, Wang et al. 2021, arXiv:2012.15828, eq. 4 to 6).

    A relation is the softmax of the scaled dot products of a text's query vectors (or keys, or values) with each other,
    after these are split into `heads` parts. Its shape does not depend on the width, so no projection is needed.

    Args:
        student: (n, length, width) vectors; the width is a multiple of `heads`.
        teacher: (n, length, other width) vectors; the width is a multiple of `heads`.
        mask: (n, length), 1 for tokens and 0 for padding.
        heads: Number of relation heads.

    Returns:
        Mean over heads and a text's tokens, summed over examples.
    """
    padding = (mask == 0)[:, None, None, :]
    student_logs, teacher_logs = (_log_relations(vectors.float(), padding, heads) for vectors in (student, teacher))
    # Padding has probability 0 for student and teacher, with a logarithm of minus infinity.
    terms = (teacher_logs.exp() * (teacher_logs - student_logs)).masked_fill(padding, 0.0)
    return _token_mean(terms.sum(dim=-1).mean(dim=1), mask).sum()


def _log_relations(vectors: torch.Tensor, padding: torch.Tensor, heads: int) -> torch.Tensor:
    """Return the logarithms (n, heads, length, length) of relations."""
    parts = vectors.view(*vectors.shape[:-1], heads, -1).transpose(1, 2)
    products = parts @ parts.transpose(-1, -2) / parts.shape[-1] ** 0.5
    return torch.log_softmax(products.masked_fill(padding, -1e9), dim=-1)


def _token_mean(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return means (n,) over the tokens of each text, from values (n, length)."""
    weights = mask.to(values.dtype)
    return (values * weights).sum(dim=-1) / weights.sum(dim=-1).clamp(min=1)
