"""Interface of predictors: fitted models with everything that predictions need."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable

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


@runtime_checkable
class Calibratable(Protocol):
    """Interface of classifiers that a temperature can calibrate, see `kit.measurement.calibration`."""

    def divide_logits(self, temperature: np.ndarray) -> bool:
        """Divide all logits by a temperature, also in the model that `save` writes.

        Args:
            temperature: (1,) or (labels,) numbers above 0.

        Returns:
            False if the model has no layer that could hold the temperature: it is unchanged.
        """
