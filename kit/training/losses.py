"""Losses beside the task's own.

Knows tensors. Knows nothing of models, recipes or data.
"""

from __future__ import annotations

import torch


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
