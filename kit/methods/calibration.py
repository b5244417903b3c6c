"""Calibration of fitted classifiers on held-out examples, and of compressed ones by their start."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from kit.measurement.calibration import fit_temperature, match_temperature
from kit.measurement.logits import softmax
from kit.methods.base import Fitted, Job
from kit.models.predictor import Calibratable, Texts

_DIGITS = 6


def calibrated(fitted: Fitted, job: Job) -> Fitted:
    """Divide the logits of a fitted classifier by the temperature of its held-out outputs.

    The model is changed in place; order and label of its predictions stay. It is returned unchanged without
    `train.calibrate: temperature`, and without held-out outputs.

    Args:
        fitted: The fitted model.
        job: Its job; only the labels of validation examples are used.
    """
    if job.recipe.train.calibrate is None or fitted.held_out is None:
        return fitted
    targets = job.task.targets(job.data.validation.labels)
    if job.recipe.train.calibrate == "none":
        return _with_held_out(fitted, job, fitted.held_out)
    temperature = fit_temperature(fitted.held_out, targets, multi_label=job.task.multi_label)
    divided = _divided(fitted, temperature, about={"examples": len(targets)})
    return _with_held_out(divided, job, fitted.held_out / temperature)


def matched(fitted: Fitted, texts: Texts, outputs: np.ndarray, job: Job) -> Fitted:
    """Divide the logits of a compressed classifier so that its probabilities are closest to others.

    Labels are not used: the model that was compressed may have been trained on all labels of the budget, and its
    probabilities are calibrated already.

    Args:
        fitted: The compressed model.
        texts: Texts that the compression did not use, the validation examples first.
        outputs: Calibrated outputs for them.
        job: Its job.
    """
    if job.recipe.train.calibrate != "temperature" or not texts:
        return fitted
    own = fitted.predictor.outputs(texts)
    temperature = match_temperature(own, outputs, multi_label=job.task.multi_label)
    divided = _divided(fitted, temperature, about={"texts": len(texts)})
    validation = len(job.data.validation)
    if divided is fitted or not 0 < validation <= len(texts) or getattr(job.recipe.train, "refit", None):
        return divided  # a model that was trained on the validation examples has no held-out ones
    return _with_held_out(divided, job, own[:validation] / temperature)


def _divided(fitted: Fitted, temperature: np.ndarray, about: dict[str, Any]) -> Fitted:
    predictor = fitted.predictor
    if not isinstance(predictor, Calibratable) or not predictor.divide_logits(temperature):
        return fitted
    settings = {**fitted.settings, "calibration": {"temperature": temperature.tolist(), **about}}
    return replace(fitted, settings=settings)


def _with_held_out(fitted: Fitted, job: Job, logits: np.ndarray) -> Fitted:
    """Keep the confidences of held-out predictions; only with one label per text."""
    if job.task.multi_label:
        return fitted
    probabilities, targets = softmax(logits), job.task.targets(job.data.validation.labels)
    confidences = [round(float(value), _DIGITS) for value in probabilities.max(axis=1)]
    right = (probabilities.argmax(axis=1) == targets).tolist()
    return replace(fitted, settings={**fitted.settings, "held_out": {"confidences": confidences, "right": right}})
