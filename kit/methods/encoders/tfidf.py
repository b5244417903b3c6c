"""TF-IDF and a linear model, fitted on the budget: the baseline that needs no pretrained weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kit.errors import DataError
from kit.methods.base import Fitted, Job
from kit.models.backends.tfidf import TfidfFeatures, TfidfPredictor, join_pairs
from kit.models.backends.tfidf_analyzers import CHARACTERS, analyzer_of

if TYPE_CHECKING:
    from sklearn.feature_extraction.text import TfidfVectorizer

_MIN_TEXTS = 10  # minimum number of validation texts for a warning about their share without features


class Tfidf:
    """Linear model on TF-IDF features of words and word pairs, or of characters."""

    name = "tfidf"
    needs_checkpoint = False

    def pooling(self, folder: Path, wanted: str) -> str | None:
        """Return None: there are no token vectors to pool."""
        return None

    def fit(self, job: Job) -> Fitted:
        """Choose C on the validation examples, and fit on training and validation examples."""
        data, task, analyzer = job.data, job.encoder_task, job.recipe.tfidf.analyzer
        if analyzer == "mixed":
            job.progress.say("tfidf: also counts characters (analyzer mixed) in texts without spaces between words")
        chosen, held_out = self._choose(job)
        texts = join_pairs(data.train.texts) + join_pairs(data.validation.texts)
        targets = np.concatenate([task.targets(data.train.labels), task.targets(data.validation.labels)])
        vectoriser = self._fit_words(job, texts)
        linear = task.linear.fit(vectoriser.transform(texts), targets, chosen["C"])
        features = saved_features(vectoriser, job.recipe.tfidf.ngrams, analyzer)
        predictor = TfidfPredictor(features, linear.weights, linear.bias, labels=task.labels)
        settings = {**chosen, "features": len(vectoriser.vocabulary_), "analyzer": analyzer}
        return Fitted(predictor, None, settings, held_out=held_out)

    def _choose(self, job: Job) -> tuple[dict[str, Any], np.ndarray | None]:
        """Return the settings and the held-out outputs.

        The settings are C, and the share of validation texts without any feature if there are validation texts.
        """
        regularization, data, task = job.recipe.tfidf.C, job.data, job.encoder_task
        if not len(data.validation):
            return {"C": regularization or task.linear.default}, None
        train_texts, held_out_texts = join_pairs(data.train.texts), join_pairs(data.validation.texts)
        targets, held_out = task.targets(data.train.labels), task.targets(data.validation.labels)
        vectoriser = self._fit_words(job, train_texts)
        features, outside = vectoriser.transform(train_texts), vectoriser.transform(held_out_texts)
        chosen = regularization or task.linear.choose(
            features, targets, lambda fitted: float(task.losses(fitted.logits(outside), held_out).mean())
        )
        held_out_outputs = task.linear.fit(features, targets, chosen).logits(outside)
        return {"C": chosen, "texts_without_features": _share_without_features(outside, job)}, held_out_outputs

    def _fit_words(self, job: Job, texts: list[str]) -> TfidfVectorizer:
        settings, analyzer = job.recipe.tfidf, job.recipe.tfidf.analyzer
        try:
            return new_vectoriser(settings.ngrams, settings.max_features, analyzer=analyzer).fit(texts)
        except ValueError as error:
            raise DataError(
                f"{analyzer} finds nothing to count in the {len(texts)} training texts ({error})",
                "" if analyzer == "char" else "set tfidf.analyzer to char",
                key="tfidf.analyzer",
            ) from error


def new_vectoriser(ngrams: int, max_features: int | None = None, *, analyzer: str = "word") -> TfidfVectorizer:
    """Return a TF-IDF vectoriser with logarithmic counts.

    Args:
        ngrams: Longest n-gram of words.
        max_features: Most frequent features to keep; None keeps all.
        analyzer: Name of the analyzer, see `kit.models.backends.tfidf_analyzers`.

    Raises:
        ValueError: If there is no analyzer of this name.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(analyzer=analyzer_of(analyzer, ngrams), sublinear_tf=True, max_features=max_features)


def saved_features(vectoriser: TfidfVectorizer, ngrams: int, analyzer: str) -> TfidfFeatures:
    """Return the features of a fitted vectoriser, for a predictor."""
    columns = vectoriser.vocabulary_
    return TfidfFeatures(
        sorted(columns, key=columns.__getitem__),
        vectoriser.idf_,
        CHARACTERS if analyzer == "char" else ngrams,
        analyzer=analyzer,
    )


def _share_without_features(features: Any, job: Job) -> float:
    """Return the share of validation texts that have no feature, with a warning if that is most of them."""
    count, empty = int(features.shape[0]), int((features.getnnz(axis=1) == 0).sum())
    if count >= _MIN_TEXTS and 2 * empty >= count:
        way_out = "" if job.recipe.tfidf.analyzer == "char" else "; try tfidf.analyzer: char"
        job.progress.say(
            f"tfidf: {empty} of {count} validation texts have no word in common with the training texts, so all of "
            f"them get the same prediction{way_out}"
        )
    return empty / count
