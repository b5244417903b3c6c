"""Calibration of fitted classifiers on held-out examples, and of compressed ones by their start."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from kit.measurement.calibration import fit_temperature, match_temperature
from kit.methods.base import Fitted, Job
from kit.models.predictor import Calibratable, Texts


def calibrated(fitted: Fitted, job: Job) -> Fitted:
    """Divide the logits of a fitted classifier by the temperature of its held-out outputs.

    The model is changed in place; order and label of its predictions stay. It is returned unchanged without
    `train.calibrate: temperature`, and without held-out outputs.

    Args:
        fitted: The fitted model.
        job: Its job; only the labels of validation examples are used.
    """
    if job.recipe.train.calibrate != "temperature" or fitted.held_out is None:
        return fitted
    targets = job.task.targets(job.data.validation.labels)
    temperature = fit_temperature(fitted.held_out, targets, multi_label=job.task.multi_label)
    return _divided(fitted, temperature, about={"examples": len(targets)})


def matched(fitted: Fitted, texts: Texts, outputs: np.ndarray, job: Job) -> Fitted:
    """Divide the logits of a compressed classifier so that its probabilities are closest to others.

    Labels are not used: the model that was compressed may have been trained on all labels of the budget, and its
    probabilities are calibrated already.

    Args:
        fitted: The compressed model.
        texts: Texts that the compression did not use.
        outputs: Calibrated outputs for them.
        job: Its job.
    """
    if job.recipe.train.calibrate != "temperature" or not texts:
        return fitted
    temperature = match_temperature(fitted.predictor.outputs(texts), outputs, multi_label=job.task.multi_label)
    return _divided(fitted, temperature, about={"texts": len(texts)})


def _divided(fitted: Fitted, temperature: np.ndarray, about: dict[str, Any]) -> Fitted:
    predictor = fitted.predictor
    if not isinstance(predictor, Calibratable) or not predictor.divide_logits(temperature):
        return fitted
    settings = {**fitted.settings, "calibration": {"temperature": temperature.tolist(), **about}}
    return replace(fitted, settings=settings)
