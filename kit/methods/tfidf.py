"""TF-IDF and logistic regression, fitted on the budget: the baseline that needs no pretrained weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from kit.errors import DataError
from kit.methods.base import Fitted, Job
from kit.methods.linear import DEFAULT_C, choose_c, fit_linear
from kit.models.tfidf import TfidfPredictor, join_pairs, new_vectoriser


class Tfidf:
    """Counts of words and word pairs."""

    name = "tfidf"
    needs_checkpoint = False

    def pooling(self, folder: Path, wanted: str) -> str | None:
        """There are no token vectors to pool."""
        return None

    def fit(self, job: Job) -> Fitted:
        """Choose C on the validation examples, then fit on training and validation examples together."""
        settings, data, task = job.recipe.tfidf, job.data, job.task
        labels = len(task.labels)
        train_texts, held_out_texts = join_pairs(data.train.texts), join_pairs(data.validation.texts)
        targets, held_out = task.targets(data.train.labels), task.targets(data.validation.labels)
        chosen = settings.C or DEFAULT_C
        if settings.C is None and held_out_texts:
            vectoriser = self._fit_words(job, train_texts)
            features, outside = vectoriser.transform(train_texts), vectoriser.transform(held_out_texts)
            chosen = choose_c(
                lambda c: fit_linear(features, targets, labels, c),
                lambda fitted: task.scores(fitted.logits(outside), held_out)["log_loss"],
            )
        texts = train_texts + held_out_texts
        vectoriser = self._fit_words(job, texts)
        linear = fit_linear(vectoriser.transform(texts), np.concatenate([targets, held_out]), labels, chosen)
        predictor = TfidfPredictor(vectoriser, linear.weights, linear.bias, task.labels)
        return Fitted(predictor, None, {"C": chosen, "features": len(vectoriser.vocabulary_)})

    def _fit_words(self, job: Job, texts: list[str]) -> TfidfVectorizer:
        settings = job.recipe.tfidf
        try:
            return new_vectoriser(settings.ngrams, settings.max_features).fit(texts)
        except ValueError as error:
            raise DataError(f"method tfidf: no words in the {len(texts)} training texts ({error})") from error
