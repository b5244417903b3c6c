"""Examples: texts with their labels, the form in which data travel through kit.

Knows texts and label names. Knows nothing of files, tokenizers or class indices.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Examples:
    """Texts and labels, row by row.

    ids: (n,) int64, the row number in the source as read; it never changes when rows are dropped.
    texts: n tuples of one text, or of two for text pairs.
    labels: n tuples of label names; exactly one name each, unless the task is multi-label.
    """

    ids: np.ndarray
    texts: list[tuple[str, ...]]
    labels: list[tuple[str, ...]]

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, indices: Sequence[int] | np.ndarray) -> Examples:
        """The examples at these positions, in this order."""
        order = [int(i) for i in indices]
        return Examples(self.ids[order], [self.texts[i] for i in order], [self.labels[i] for i in order])

    def fingerprint(self) -> str:
        """sha256 over ids, texts and labels in order."""
        digest = hashlib.sha256()
        for row, texts, labels in zip(self.ids, self.texts, self.labels, strict=True):
            digest.update(repr((int(row), texts, labels)).encode())
        return digest.hexdigest()
