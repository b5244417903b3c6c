"""The probe: a frozen encoder and logistic regression on its text vectors.

It is saved as a classifier whose head holds the regression's weights, so it loads and predicts like any other.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from accelerate import PartialState

from kit.data.encode import encode
from kit.methods.base import Fitted, Job
from kit.methods.classification.encoder import encode_budget, fit_probe, new_predictor, set_head
from kit.models.checkpoints.loading import Head, build_classifier, require_positions, resolve_pooling
from kit.models.inference import full_float32
from kit.models.predictor import Texts, TransformerPredictor
from kit.models.vectors import text_vectors


class Probe:
    """Nothing in the encoder moves."""

    name = "probe"
    needs_checkpoint = True

    def pooling(self, folder: Path, wanted: str) -> str | None:
        """As the recipe or the checkpoint says; else the mean of all tokens, the safest text vector."""
        return resolve_pooling(folder, wanted) or "mean"

    def fit(self, job: Job) -> Fitted:
        """Fit on training and validation examples, after choosing C on the latter."""
        assert job.checkpoint is not None
        torch.manual_seed(job.recipe.train.seed)
        budget = encode_budget(job)
        head = Head(job.task.labels, job.task.multi_label)
        model = build_classifier(job.checkpoint, head, "pretrained", job.recipe.model.pooling)
        model.to(PartialState().device)
        require_positions(model, job.recipe.data.max_length)
        fitted = fit_probe(job, model, budget)
        set_head(model, fitted)
        settings = {"C": fitted.C, "device": job.hardware.device}
        predictor = ProbePredictor(new_predictor(job, model, budget.tokenizer), job.checkpoint.sha256)
        return Fitted(predictor, None, settings, budget.truncation)


class ProbePredictor(TransformerPredictor):
    """The classifier, whose encoder is the checkpoint's: vectors that were computed before serve again."""

    def __init__(self, plain: TransformerPredictor, weights_key: str) -> None:
        super().__init__(plain.model, plain.tokenizer, plain.max_length, plain.tokenizer_key)
        self.weights_key = weights_key

    def outputs(self, texts: Texts, bf16: bool = False) -> np.ndarray:
        """(n, labels) float32, one row a text. bf16: see `TransformerPredictor`."""
        encoded = encode(texts, self.tokenizer, self.max_length, self.tokenizer_key)
        vectors = text_vectors(self.model, encoded, self.tokenizer, self.weights_key, bf16)
        with full_float32(), torch.inference_mode():
            logits = self.model.get_submodule("classifier")(torch.from_numpy(vectors).to(self.model.device))
        found: np.ndarray = logits.cpu().numpy()
        return found
