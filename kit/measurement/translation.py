"""Scores of translations: BLEU, chrF++ and TER, with the counts of sacrebleu.

sacrebleu counts each sentence; the scores of sums are computed here for a thousand resamples at once, and equal those
of sacrebleu (tested). All three are kept as shares: a BLEU of 33.2 is 0.332.

BLEU: Papineni et al. 2002, doi:10.3115/1073083.1073135. chrF++: Popovic 2017, doi:10.18653/v1/W17-4770. TER: Snover et
al. 2006 (an error rate: lower is better). sacrebleu: Post 2018, arXiv:1804.08771.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.data.language_codes import primary
from kit.measurement.logits import Floats
from kit.measurement.units import OF_HUNDRED

_ORDERS = 4  # longest n-gram that BLEU counts
_TOKENIZERS = {
    "zh": "zh",
    "yue": "zh",
    "ja": "char",
    "ko": "char",
    "th": "char",
    "lo": "char",
    "km": "char",
    "my": "char",
}


@dataclass(frozen=True)
class TranslationMeasure:
    """Measure of (n,) translations against their (n,) references, both strings.

    Attributes:
        main: `bleu` or `chrf`.
        language: Language code of the translations, which sets the words of BLEU.
        names: Scores to compute.
    """

    main: str = "bleu"
    language: str = ""
    names: tuple[str, ...] = OF_HUNDRED

    def alone(self) -> TranslationMeasure:
        """Return a measure of the main metric only: the other metrics take longer to compute."""
        return replace(self, names=(self.main,))

    def tally(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, Floats]:
        """Return each sentence's counts: arrays (n, width).

        Raises ValueError if references are missing.
        """
        if len(outputs) != len(targets) or not len(outputs):
            raise ValueError(f"{len(outputs)} translations for {len(targets)} references")
        parts = {}
        for name in self.names:
            counts = self._scorer(name)._extract_corpus_statistics(list(outputs), [list(targets)])
            parts[name] = np.asarray(counts, np.float64)
        return parts

    def scores(
        self, sums: Mapping[str, Floats], n: int, whole: Mapping[str, Floats] | None = None
    ) -> dict[str, Floats]:
        """Return scores (...) of sums (..., width)."""
        return {name: _SCORE[name](sums[name]) for name in self.names}

    def right(self, outputs: np.ndarray, targets: np.ndarray) -> NDArray[np.bool_]:
        """Return (n,) whether each translation equals its reference."""
        return np.asarray(outputs == targets, np.bool_)

    def same(self, outputs: np.ndarray, others: np.ndarray) -> NDArray[np.bool_]:
        """Return (n,) whether both models translate each text to the same string."""
        return np.asarray(outputs == others, np.bool_)

    def signatures(self) -> dict[str, str]:
        """Return sacrebleu's signature of each score, with which others can compute the same scores."""
        parts = {}
        for name in OF_HUNDRED:
            scorer = self._scorer(name)
            scorer.corpus_score(["a"], [["a"]])  # the signature needs the number of references
            parts[name] = str(scorer.get_signature())
        return parts

    def _scorer(self, name: str) -> Any:
        from sacrebleu.metrics.bleu import BLEU
        from sacrebleu.metrics.chrf import CHRF
        from sacrebleu.metrics.ter import TER

        if name == "bleu":
            return BLEU(tokenize=_TOKENIZERS.get(primary(self.language), "13a"), force=True)
        return CHRF(word_order=2) if name == "chrf" else TER()


def _bleu(sums: Floats) -> Floats:
    """Return BLEU from (..., 10) sums: words of translations and references, matches and totals per order."""
    words, reference_words = sums[..., 0], sums[..., 1]
    matches, total = sums[..., 2 : 2 + _ORDERS], sums[..., 2 + _ORDERS :]
    # The k-th order without a match counts as 0.5**k matches (sacrebleu's smoothing `exp`).
    missing = (matches == 0) & (total > 0)
    halved = 0.5 ** np.cumsum(missing, axis=-1)
    counted = np.where(missing, halved, matches)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(counted / total)
        brevity = np.where(words < reference_words, np.exp(1 - reference_words / words), 1.0)
    whole = (total > 0).all(axis=-1) & matches.any(axis=-1)
    mean = np.where(whole, np.where(np.isfinite(logs), logs, 0.0).sum(axis=-1) / _ORDERS, -np.inf)
    return np.asarray(np.where(whole, np.where(words > 0, brevity, 0.0) * np.exp(mean), 0.0))


def _chrf(sums: Floats) -> Floats:
    """Return chrF++ from (..., 3 * orders) sums: n-grams of translation, reference and both, per order."""
    hypothesis, reference, both = (sums[..., place::3] for place in range(3))
    present = (hypothesis > 0) & (reference > 0)
    orders = np.maximum(present.sum(axis=-1), 1)
    precision = np.where(present, both / np.where(present, hypothesis, 1), 0).sum(axis=-1) / orders
    recall = np.where(present, both / np.where(present, reference, 1), 0).sum(axis=-1) / orders
    below = 4 * precision + recall  # recall counts twice as much
    return np.asarray(np.where(below > 0, 5 * precision * recall / np.where(below > 0, below, 1), 0.0))


def _ter(sums: Floats) -> Floats:
    """Return TER from (..., 2) sums: edits, and words of the references."""
    edits, words = sums[..., 0], sums[..., 1]
    return np.asarray(np.where(words > 0, edits / np.where(words > 0, words, 1), (edits > 0).astype(np.float64)))


_SCORE = {"bleu": _bleu, "chrf": _chrf, "ter": _ter}
