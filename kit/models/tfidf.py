"""TF-IDF and logistic regression as a predictor: the baseline that users ask for.

Saved as JSON (words) and safetensors (numbers): loading it runs no code.

Knows scikit-learn's TF-IDF and linear models. Knows nothing of budgets or Records.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from sklearn.feature_extraction.text import TfidfVectorizer

from kit.errors import ModelError

FILE = "tfidf.json"
WEIGHTS = "tfidf.safetensors"


class TfidfPredictor:
    """A fitted vectoriser and the weights of its linear model.

    weights: (features, labels). bias: (labels,). labels: names in logit order.
    """

    depends_on_batch = False

    def __init__(
        self, vectoriser: TfidfVectorizer, weights: np.ndarray, bias: np.ndarray, labels: tuple[str, ...]
    ) -> None:
        self.vectoriser = vectoriser
        self.weights = weights
        self.bias = bias
        self.labels = labels

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return int(self.weights.size + self.bias.size)

    def cut(self, texts: list[tuple[str, ...]]) -> np.ndarray:
        """(n,) bool: which texts are longer than the model reads; none is."""
        return np.zeros(len(texts), bool)

    def outputs(self, texts: list[tuple[str, ...]]) -> np.ndarray:
        """(n, labels) float32, one row a text."""
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
        """Read what `save` wrote. Raises ModelError if it is damaged."""
        try:
            content = json.loads((folder / FILE).read_text("utf-8"))
            arrays = load_file(folder / WEIGHTS)
            vectoriser = new_vectoriser(int(content["ngrams"]), vocabulary=content["vocabulary"])
            vectoriser.idf_ = arrays["idf"]
            names = content["id2label"]
            labels = tuple(str(names[str(index)]) for index in range(len(names)))
            return cls(vectoriser, arrays["weights"], arrays["bias"], labels)
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            raise ModelError(f"the TF-IDF model in {folder} is damaged: {error}") from error


def new_vectoriser(
    ngrams: int, max_features: int | None = None, vocabulary: list[str] | None = None
) -> TfidfVectorizer:
    """Words and runs of words, with logarithmic counts. Keeps one-letter words: `I` and `a` matter in short texts."""
    return TfidfVectorizer(
        ngram_range=(1, ngrams),
        sublinear_tf=True,
        strip_accents="unicode",
        token_pattern=r"(?u)\b\w+\b|[!?]",
        max_features=max_features,
        vocabulary=vocabulary,
    )


def join_pairs(texts: list[tuple[str, ...]]) -> list[str]:
    """One string a text or text pair."""
    return [" [SEP] ".join(row) for row in texts]
