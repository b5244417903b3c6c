"""Interface of predictors: fitted models with everything that predictions need."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np

Texts = list[tuple[str, ...]]


class Predictor(Protocol):
    """Interface of every fitted model."""

    @property
    def parameters(self) -> int:
        """Number of weights."""

    @property
    def depends_on_batch(self) -> bool:
        """True if a prediction can depend on the other texts of its batch."""

    def outputs(self, texts: Texts) -> np.ndarray:
        """Return a row per text.

        These are (n, labels) float32 logits, (n, 1) float32 numbers of a regression, or (n,) strings of a translator.
        """

    def cut(self, texts: Texts) -> np.ndarray:
        """Return (n,) bool: True for texts that are truncated to the model's maximum length."""

    def save(self, folder: Path) -> None:
        """Write everything that `load_predictor` needs into a folder."""
