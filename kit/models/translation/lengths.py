"""Lengths: how many tokens a translation may have, whatever is translated beside it.

Knows numbers of tokens, and how transformers' search asks whether to stop. Knows nothing of texts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from transformers import StoppingCriteria

# A translation has no more tokens than so many times those of its source (more where the model has learnt longer ones),
# and these.
LEAST_RATIO, _AT_LEAST = 2.0, 16


def limits_of(sources: np.ndarray, search: Mapping[str, Any]) -> np.ndarray:
    """(n,) tokens that translations may have, of sources with (n,) tokens. search: generation settings, as saved."""
    limits = (float(search.get("length_ratio", LEAST_RATIO)) * np.asarray(sources)).astype(np.int64) + _AT_LEAST
    most = search.get("max_new_tokens")
    return limits if most is None else np.minimum(limits, int(most))


class Limits(StoppingCriteria):
    """Stops each translation of a batch at its own limit; every hypothesis of it, where there are several.

    limits: (batch,) tokens behind the one that translations start from.
    """

    def __init__(self, limits: torch.Tensor) -> None:
        self.limits = limits

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        """(batch * hypotheses,) which of them have reached it."""
        return input_ids.shape[1] - 1 >= self.limits.repeat_interleave(len(input_ids) // len(self.limits))
