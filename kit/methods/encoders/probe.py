"""The probe: logistic regression on the text vectors of a frozen encoder.

The model is saved as a classifier with the weights of the regression in its head, so it loads like any other.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from accelerate import PartialState

from kit.data.encode import encode
from kit.methods.base import CheckpointJob, Fitted
from kit.methods.encoders.encoder import encode_budget, fit_probe, new_predictor, set_head
from kit.models.checkpoints.loading import build_classifier, require_positions, resolve_pooling
from kit.models.classifier import TransformerPredictor
from kit.models.inference import full_float32
from kit.models.predictor import Texts
from kit.models.vectors import text_vectors


class Probe:
    """Logistic regression on the text vectors of a frozen encoder."""

    name = "probe"
    needs_checkpoint = True

    def pooling(self, folder: Path, wanted: str) -> str | None:
        """Return the pooling of the recipe or the checkpoint; by default the mean of all token vectors."""
        return resolve_pooling(folder, wanted) or "mean"

    def fit(self, job: CheckpointJob) -> Fitted:
        """Choose C on the validation examples, and fit on training and validation examples."""
        torch.manual_seed(job.recipe.train.seed)
        budget = encode_budget(job)
        head = job.encoder_task.head
        model = build_classifier(job.checkpoint, head, "pretrained", job.recipe.model.pooling)
        model.to(PartialState().device)
        require_positions(model, job.recipe.data.max_length)
        fitted, held_out = fit_probe(job, model, budget)
        set_head(model, fitted)
        settings = {"C": fitted.C, "device": job.hardware.device}
        predictor = ProbePredictor(new_predictor(job, model, budget.tokenizer), job.checkpoint.sha256)
        return Fitted(predictor, None, settings, budget.truncation, held_out=held_out)


class ProbePredictor(TransformerPredictor):
    """A classifier with the encoder of the checkpoint, so that cached text vectors can be used."""

    def __init__(self, plain: TransformerPredictor, weights_key: str) -> None:
        super().__init__(plain.model, plain.tokenizer, plain.max_length, plain.tokenizer_key)
        self.weights_key = weights_key

    def outputs(self, texts: Texts, bf16: bool = False) -> np.ndarray:
        """Return the logits (n, labels) in float32. See `TransformerPredictor` for `bf16`."""
        encoded = encode(texts, self.tokenizer, self.max_length, self.tokenizer_key)
        vectors = text_vectors(self.model, encoded, self.tokenizer, self.weights_key, bf16)
        with full_float32(), torch.inference_mode():
            logits = self.model.get_submodule("classifier")(torch.from_numpy(vectors).to(self.model.device))
        outputs: np.ndarray = logits.cpu().numpy()
        return outputs
