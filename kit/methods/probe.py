"""The probe: a frozen encoder and logistic regression on its text vectors.

It is saved as a classifier whose head holds the regression's weights, so it loads and predicts like any other.
"""

from __future__ import annotations

import torch
from accelerate import PartialState

from kit.methods.base import Fitted, Job
from kit.methods.encoder import encode_budget, fit_probe, new_predictor, set_head
from kit.models.load import Head, build_classifier, resolve_pooling


class Probe:
    """Nothing in the encoder moves."""

    name = "probe"
    needs_checkpoint = True

    def fit(self, job: Job) -> Fitted:
        """Fit on training and validation examples, after choosing C on the latter."""
        assert job.checkpoint is not None
        torch.manual_seed(job.recipe.train.seed)
        budget = encode_budget(job)
        pooling = job.recipe.model.pooling
        if resolve_pooling(job.checkpoint.folder, pooling) is None:
            pooling = "mean"  # without a declared pooling, the mean of all tokens is the safest text vector
        head = Head(job.task.labels, job.task.multi_label)
        model = build_classifier(job.checkpoint, head, "pretrained", pooling).to(PartialState().device)
        fitted = fit_probe(job, model, budget)
        set_head(model, fitted)
        settings = {"C": fitted.C, "pooling": pooling, "device": job.hardware.device}
        return Fitted(new_predictor(job, model, budget.tokenizer), None, settings, budget.truncation)
