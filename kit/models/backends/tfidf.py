"""TF-IDF with logistic regression as a predictor, the usual baseline of text classification.

Saved as JSON (words) and safetensors (numbers): loading it runs no code.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file
from sklearn.feature_extraction.text import TfidfVectorizer

from kit.data.scripts import RUNS
from kit.errors import ModelError
from kit.models.damage import listed_labels, loading
from kit.runtime.json_files import read_object

ANALYZERS = ("word", "mixed", "char")
_CHARACTERS = 4  # longest n-gram of characters, with analyzer `char`
_UNSEPARATED_CHARACTERS = 3  # the same in text without spaces, with `mixed`: most words there have one or two
FILE = "tfidf.json"
WEIGHTS = "tfidf.safetensors"


class TfidfPredictor:
    """A fitted vectoriser and the weights of its linear model.

    Args:
        vectoriser: Fitted, see `new_vectoriser`.
        weights: (features, labels).
        bias: (labels,).
        labels: Names in logit order.
        analyzer: Analyzer of the vectoriser.
    """

    depends_on_batch = False

    def __init__(
        self,
        vectoriser: TfidfVectorizer,
        weights: np.ndarray,
        bias: np.ndarray,
        labels: tuple[str, ...],
        *,
        analyzer: str = "word",
    ) -> None:
        self.vectoriser = vectoriser
        self.analyzer = analyzer
        self.weights = weights
        self.bias = bias
        self.labels = labels

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return int(self.weights.size + self.bias.size)

    def cut(self, texts: list[tuple[str, ...]]) -> np.ndarray:
        """Return (n,) bool, all False: texts are never truncated."""
        return np.zeros(len(texts), bool)

    def outputs(self, texts: list[tuple[str, ...]]) -> np.ndarray:
        """Return logits (n, labels) in float32."""
        if not texts:
            return np.zeros((0, len(self.labels)), np.float32)
        features = self.vectoriser.transform(join_pairs(texts))
        return np.asarray(features @ self.weights + self.bias, np.float32)

    def save(self, folder: Path) -> None:
        """Write `tfidf.json` and `tfidf.safetensors`."""
        folder.mkdir(parents=True, exist_ok=True)
        vocabulary = {word: int(index) for word, index in self.vectoriser.vocabulary_.items()}
        content = {
            "id2label": dict(enumerate(self.labels)),
            "ngrams": self.vectoriser.ngram_range[1],
            **({} if self.analyzer == "word" else {"analyzer": self.analyzer}),
            "vocabulary": sorted(vocabulary, key=vocabulary.__getitem__),
        }
        (folder / FILE).write_text(json.dumps(content, ensure_ascii=False), "utf-8")
        arrays = {"weights": self.weights, "bias": self.bias, "idf": self.vectoriser.idf_}
        save_file(
            {name: np.ascontiguousarray(array, np.float64) for name, array in arrays.items()},
            folder / WEIGHTS,
        )

    @classmethod
    def load(cls, folder: Path) -> TfidfPredictor:
        """Load what `save` wrote. Raises ModelError if it is damaged."""
        with loading(folder):
            content = read_object(folder / FILE, ModelError)
            labels, vocabulary = listed_labels(content, folder / FILE), content["vocabulary"]
            arrays = load_file(folder / WEIGHTS)
            shapes = {"weights": (len(vocabulary), len(labels)), "bias": (len(labels),), "idf": (len(vocabulary),)}
            for name, shape in shapes.items():
                if arrays[name].shape != shape:
                    raise ValueError(f"{WEIGHTS} and {FILE} have different sizes: {name}")
            analyzer = content.get("analyzer", "word")
            vectoriser = new_vectoriser(int(content["ngrams"]), vocabulary=vocabulary, analyzer=analyzer)
            vectoriser.idf_ = arrays["idf"]
            vectoriser.transform(["a text"])
            return cls(vectoriser, arrays["weights"], arrays["bias"], labels, analyzer=analyzer)


def new_vectoriser(
    ngrams: int, max_features: int | None = None, vocabulary: list[str] | None = None, *, analyzer: str = "word"
) -> TfidfVectorizer:
    """Return a TF-IDF vectoriser with logarithmic counts.

    Words of one letter are kept: `I` and `a` matter in short texts.

    Args:
        ngrams: Longest n-gram of words.
        max_features: Most frequent features to keep; None keeps all.
        vocabulary: Features in the order of their columns; None learns them.
        analyzer: `word`; `char` for the characters of each word and their neighbours; `mixed` for words where spaces
            separate them, and for characters of the scripts without spaces and of emoji.

    Raises:
        ValueError: If the analyzer is not one of these.
    """
    if analyzer not in ANALYZERS:
        raise ValueError(f"the analyzer is {analyzer}, not {', '.join(ANALYZERS)}")
    shared = {"sublinear_tf": True, "max_features": max_features, "vocabulary": vocabulary}
    if analyzer == "char":
        return TfidfVectorizer(analyzer="char_wb", ngram_range=(1, _CHARACTERS), preprocessor=_composed, **shared)
    kind = _MixedVectoriser if analyzer == "mixed" else TfidfVectorizer
    pattern = r"(?u)\b\w+\b|[!?]"
    return kind(ngram_range=(1, ngrams), strip_accents="unicode", token_pattern=pattern, **shared)


class _MixedVectoriser(TfidfVectorizer):  # type: ignore[misc]
    """N-grams of words and, in scripts without spaces, n-grams of characters."""

    def build_analyzer(self) -> Callable[[str], list[str]]:
        """Return a function from a text to its features."""
        return partial(_mixed_features, super().build_analyzer())


def _mixed_features(words: Callable[[str], list[str]], text: str) -> list[str]:
    text = unicodedata.normalize("NFKC", text).replace("\ufe0f", "")  # the same emoji with and without its selector
    features = words(RUNS.sub(" ", text))
    for run in RUNS.findall(text):
        padded = f" {run} "  # its start and end are features too
        features += run
        features += [
            padded[start : start + length]
            for length in range(2, _UNSEPARATED_CHARACTERS + 1)
            for start in range(len(padded) - length + 1)
        ]
    return features


def _composed(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def join_pairs(texts: list[tuple[str, ...]]) -> list[str]:
    """Return one string per text or text pair."""
    return [" [SEP] ".join(row) for row in texts]
