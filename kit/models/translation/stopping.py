"""Stopping criterion of the search for translations."""

from __future__ import annotations

from typing import Any

import torch
from transformers import StoppingCriteria


class Limits(StoppingCriteria):
    """Stopping criterion with a limit per translation, which holds for each of its hypotheses.

    Args:
        limits: (batch,) maximum number of tokens after the start token.
    """

    def __init__(self, limits: torch.Tensor) -> None:
        self.limits = limits

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        """Return (batch * hypotheses,) bool: True for hypotheses that have reached their limit."""
        return input_ids.shape[1] - 1 >= self.limits.repeat_interleave(len(input_ids) // len(self.limits))
