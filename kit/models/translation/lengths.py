"""Maximum lengths of translations, which do not depend on the other texts of a batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

# A translation has at most this many times the tokens of its source (more if the training data has longer ones), plus a
# constant number.
LEAST_RATIO, _EXTRA_TOKENS = 2.0, 16


def limits_of(sources: np.ndarray, search: Mapping[str, Any]) -> np.ndarray:
    """Return the maximum numbers (n,) of tokens of translations.

    Args:
        sources: (n,) numbers of tokens of the sources.
        search: Saved generation settings.
    """
    limits = (float(search.get("length_ratio", LEAST_RATIO)) * np.asarray(sources)).astype(np.int64) + _EXTRA_TOKENS
    maximum = search.get("max_new_tokens")
    return limits if maximum is None else np.minimum(limits, int(maximum))
