"""Examples: texts with their label names, the form of the data before tokenization."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Examples:
    """Texts and labels, row by row.

    Attributes:
        ids: (n,) int64, row number in the source as read; it does not change when rows are dropped.
        texts: n tuples of one text, or of two for text pairs.
        labels: n tuples of label names. Unlabelled examples have (), others one name, or several if multi-label. The
            label of parallel text is the translation.
    """

    ids: np.ndarray
    texts: list[tuple[str, ...]]
    labels: list[tuple[str, ...]]

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, indices: Sequence[int] | np.ndarray) -> Examples:
        """Return the examples at these positions, in this order."""
        order = [int(i) for i in indices]
        return Examples(self.ids[order], [self.texts[i] for i in order], [self.labels[i] for i in order])

    def fingerprint(self) -> str:
        """Return the sha256 of ids, texts and labels in order."""
        digest = hashlib.sha256()
        for row, texts, labels in zip(self.ids, self.texts, self.labels, strict=True):
            digest.update(repr((int(row), texts, labels)).encode())
        return digest.hexdigest()
