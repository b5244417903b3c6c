"""Scores of translations: BLEU, chrF++ and TER, as sacrebleu counts them.

sacrebleu counts what every sentence adds; scores of the sums are computed here for a thousand resamples at once, and
equal those that sacrebleu computes (tested). All three are kept as shares: a BLEU of 33.2 is 0.332.

BLEU: Papineni et al. 2002, doi:10.3115/1073083.1073135. chrF++: Popovic 2017, doi:10.18653/v1/W17-4770. TER: Snover et
al. 2006 (a rate of errors: lower is better). sacrebleu: Post 2018, arXiv:1804.08771.

Knows strings and counts. Knows nothing of models or files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.data.language_codes import primary
from kit.measurement.metrics import Floats

SCORES = ("bleu", "chrf", "ter")
_ORDERS = 4  # longest run of words that BLEU counts
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
    """Outputs and targets are (n,) strings: translations and their references.

    main: `bleu` or `chrf`. language: of the translations; it decides what BLEU takes for a word. names: the scores that
    are computed.
    """

    main: str = "bleu"
    language: str = ""
    names: tuple[str, ...] = SCORES

    def alone(self) -> TranslationMeasure:
        """The main metric without the others, which take longer than it."""
        return replace(self, names=(self.main,))

    def tally(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, Floats]:
        """Counts of every sentence: arrays (n, width). Raises ValueError for no, or not as many, references."""
        if len(outputs) != len(targets) or not len(outputs):
            raise ValueError(f"{len(outputs)} translations for {len(targets)} references")
        found = {}
        for name in self.names:
            counts = self._scorer(name)._extract_corpus_statistics(list(outputs), [list(targets)])
            found[name] = np.asarray(counts, np.float64)
        return found

    def scores(
        self, sums: Mapping[str, Floats], n: int, whole: Mapping[str, Floats] | None = None
    ) -> dict[str, Floats]:
        """Scores (...) of sums (..., width)."""
        return {name: _SCORE[name](sums[name]) for name in self.names}

    def right(self, outputs: np.ndarray, targets: np.ndarray) -> NDArray[np.bool_]:
        """(n,) whether a translation is just its reference."""
        return np.asarray(outputs == targets, np.bool_)

    def same(self, outputs: np.ndarray, others: np.ndarray) -> NDArray[np.bool_]:
        """(n,) whether both translate alike."""
        return np.asarray(outputs == others, np.bool_)

    def signatures(self) -> dict[str, str]:
        """What sacrebleu calls these settings, by which others can compute the same scores."""
        found = {}
        for name in SCORES:
            scorer = self._scorer(name)
            scorer.corpus_score(["a"], [["a"]])  # only then it knows the number of references
            found[name] = str(scorer.get_signature())
        return found

    def _scorer(self, name: str) -> Any:
        from sacrebleu.metrics.bleu import BLEU
        from sacrebleu.metrics.chrf import CHRF
        from sacrebleu.metrics.ter import TER

        if name == "bleu":
            return BLEU(tokenize=_TOKENIZERS.get(primary(self.language), "13a"), force=True)
        return CHRF(word_order=2) if name == "chrf" else TER()


def _bleu(sums: Floats) -> Floats:
    """sums: (..., 10) words of translations and of references, matches of 1 to 4 words, and how many there are."""
    ours, theirs = sums[..., 0], sums[..., 1]
    matches, total = sums[..., 2 : 2 + _ORDERS], sums[..., 2 + _ORDERS :]
    # Without a match of some length, the chance of one is halved each time (sacrebleu's smoothing `exp`).
    missing = (matches == 0) & (total > 0)
    halved = 0.5 ** np.cumsum(missing, axis=-1)
    counted = np.where(missing, halved, matches)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(counted / total)
        brevity = np.where(ours < theirs, np.exp(1 - theirs / ours), 1.0)
    whole = (total > 0).all(axis=-1) & matches.any(axis=-1)
    mean = np.where(whole, np.where(np.isfinite(logs), logs, 0.0).sum(axis=-1) / _ORDERS, -np.inf)
    return np.asarray(np.where(whole, np.where(ours > 0, brevity, 0.0) * np.exp(mean), 0.0))


def _chrf(sums: Floats) -> Floats:
    """sums: (..., 3 * orders) runs in the translation, in the reference, and in both, of each length."""
    ours, theirs, both = (sums[..., place::3] for place in range(3))
    there = (ours > 0) & (theirs > 0)
    orders = np.maximum(there.sum(axis=-1), 1)
    precision = np.where(there, both / np.where(there, ours, 1), 0).sum(axis=-1) / orders
    recall = np.where(there, both / np.where(there, theirs, 1), 0).sum(axis=-1) / orders
    below = 4 * precision + recall  # recall counts twice as much
    return np.asarray(np.where(below > 0, 5 * precision * recall / np.where(below > 0, below, 1), 0.0))


def _ter(sums: Floats) -> Floats:
    """sums: (..., 2) edits and words of the references."""
    edits, words = sums[..., 0], sums[..., 1]
    return np.asarray(np.where(words > 0, edits / np.where(words > 0, words, 1), (edits > 0).astype(np.float64)))


_SCORE = {"bleu": _bleu, "chrf": _chrf, "ter": _ter}
