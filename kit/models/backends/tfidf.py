"""TF-IDF with logistic regression as a predictor, the usual baseline of text classification.

Saved as JSON (words) and safetensors (numbers): loading it runs no code. Features are those of scikit-learn, which is
only imported to fit: `TfidfFeatures` computes the same numbers, bit for bit.
"""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from kit.errors import ModelError
from kit.models.backends.tfidf_analyzers import analyzer_of
from kit.models.damage import listed_labels, loading
from kit.runtime.json_files import read_object

FILE = "tfidf.json"
WEIGHTS = "tfidf.safetensors"


class TfidfFeatures:
    """TF-IDF of texts over a fixed vocabulary, with logarithmic counts and rows of unit length.

    Args:
        vocabulary: Features in the order of their columns.
        idf: (features,) inverse document frequencies.
        ngrams: Longest n-gram of words.
        analyzer: Name of the analyzer, see `tfidf_analyzers`.
    """

    def __init__(self, vocabulary: list[str], idf: np.ndarray, ngrams: int, analyzer: str) -> None:
        self.vocabulary, self.idf, self.ngrams, self.analyzer = vocabulary, idf, ngrams, analyzer
        self._columns = {feature: column for column, feature in enumerate(vocabulary)}
        self._analyze = analyzer_of(analyzer, ngrams)

    def transform(self, texts: list[str]) -> Any:
        """Return a sparse matrix (n, features) in float64."""
        from scipy.sparse import csr_matrix

        rows = [self._counts(text) for text in texts]
        offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
        columns = np.array([column for row in rows for column in row], np.int64)
        values = np.log(np.array([count for row in rows for count in row.values()], np.float64))
        values += 1.0
        values *= self.idf[columns]
        for start, stop in pairwise(offsets.tolist()):
            if start < stop:  # the squares are added one after the other, as scikit-learn does
                values[start:stop] /= np.sqrt(np.cumsum(values[start:stop] ** 2)[-1])
        return csr_matrix((values, columns, offsets), shape=(len(texts), len(self.vocabulary)))

    def _counts(self, text: str) -> dict[int, int]:
        """Return the count of each of a text's features by its column, in ascending order."""
        features = self._analyze(text)
        counts = Counter(self._columns[feature] for feature in features if feature in self._columns)
        return {column: counts[column] for column in sorted(counts)}


class TfidfPredictor:
    """Features and the weights of a linear model.

    Args:
        features: Features of texts.
        weights: (features, labels).
        bias: (labels,).
        labels: Names in logit order.
    """

    depends_on_batch = False

    def __init__(self, features: TfidfFeatures, weights: np.ndarray, bias: np.ndarray, labels: tuple[str, ...]) -> None:
        self.features = features
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
        features = self.features.transform(join_pairs(texts))
        return np.asarray(features @ self.weights + self.bias, np.float32)

    def divide_logits(self, temperature: np.ndarray) -> bool:
        """Divide all logits by a temperature, see `Calibratable`."""
        self.weights, self.bias = self.weights / temperature, self.bias / temperature
        return True

    def save(self, folder: Path) -> None:
        """Write `tfidf.json` and `tfidf.safetensors`."""
        folder.mkdir(parents=True, exist_ok=True)
        features = self.features
        content = {
            "id2label": dict(enumerate(self.labels)),
            "ngrams": features.ngrams,
            **({} if features.analyzer == "word" else {"analyzer": features.analyzer}),
            "vocabulary": features.vocabulary,
        }
        (folder / FILE).write_text(json.dumps(content, ensure_ascii=False), "utf-8")
        arrays = {"weights": self.weights, "bias": self.bias, "idf": features.idf}
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
            _require_features(vocabulary)
            features = TfidfFeatures(
                vocabulary, arrays["idf"], int(content["ngrams"]), analyzer=content.get("analyzer", "word")
            )
            return cls(features, arrays["weights"], arrays["bias"], labels)


def _require_features(vocabulary: list[str]) -> None:
    """Raise ValueError if a saved vocabulary is not a list of distinct features."""
    if not isinstance(vocabulary, list) or not vocabulary or len(set(vocabulary)) != len(vocabulary):
        raise ValueError(f"vocabulary in {FILE} is not a list of distinct features")


def join_pairs(texts: list[tuple[str, ...]]) -> list[str]:
    """Return one string per text or text pair."""
    return [" [SEP] ".join(row) for row in texts]
