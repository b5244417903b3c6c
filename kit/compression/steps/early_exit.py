"""Early exit: a linear classifier after each block, at which a text exits if the prediction is confident enough.

As in DeeBERT (Xin et al. 2020, arXiv:2004.12993; the idea: BranchyNet, Teerapittayanon et al. 2016, arXiv:1709.01686),
the encoder and its last classifier are unchanged. The exits are fitted to the predictions of the last classifier. The
confidence threshold is chosen with the labels of the validation examples; no other labels are used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from accelerate import PartialState

from kit.analysis.points import metric_samples
from kit.data.encode import encode
from kit.errors import ModelError
from kit.measurement.intervals import spread
from kit.methods import Fitted, Job
from kit.models.architectures.early_exit import EarlyExitClassifier, confidence, require_same_alone, with_exits
from kit.models.checkpoints.loading import load_classifier
from kit.models.checkpoints.tokenizers import load_tokenizer
from kit.models.classifier import TransformerPredictor
from kit.models.inference import run_batches
from kit.models.kinds.form import Form
from kit.models.predictor import Texts
from kit.recipe.sections.compression import EarlyExitStep
from kit.records.record import Record
from kit.runtime.quantities import percent
from kit.tasks.classification.divergence import softened_divergence

# The curve's thresholds: from "all texts exit after the first block" to "none exits early". Fixed numbers, because a
# threshold equal to the confidence of a text may be exceeded in a batch but not alone, by rounding.
_THRESHOLDS = (0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.92, 0.94, 0.95, 0.96, 0.97, 0.98, 0.99,
               0.995, 0.999, 1.0)  # fmt: skip
# L2 penalty on the weights, for features of unit variance and the loss summed over texts: the closest predictions on
# held-out texts, for 200 to 6,000 texts (benchmarks/LOG.md).
_L2_PENALTY = 50.0
_MIN_METRIC = 1e-9  # avoids a division by zero in the retained share
_MAX_ITERATIONS = 100  # L-BFGS converges in fewer
_MAX_VECTOR_BYTES = 2**29  # text vectors that exits are fitted on; for more texts, a sample is used


class EarlyExit:
    """Early exit of texts after the first block with a confident prediction."""

    takes = (Form.TORCH,)
    gives = Form.EARLY_EXIT

    def require(self, step: EarlyExitStep, source: Record | None) -> None:
        """Raise ModelError unless the model can have exits, and the threshold is set or can be chosen."""
        if source is None:
            return
        if step.threshold is None and not source.content.data.sizes.validation:
            raise _no_validation_error()
        require_same_alone(with_exits(load_classifier(source.model_folder)))

    def variants(self, step: EarlyExitStep) -> list[EarlyExitStep]:
        """Return the setting halfway between the step's and the one that loses nothing."""
        key, value = ("retained", step.retained) if step.threshold is None else ("threshold", step.threshold)
        return [step.model_copy(update={key: (1 + value) / 2})] if value < 1 else []

    def compress(self, step: EarlyExitStep, source: Record, job: Job) -> Fitted:
        """Fit the exits on the texts of budget and pool, and choose the threshold on the validation examples."""
        if step.threshold is None and not len(job.data.validation):
            raise _no_validation_error()
        model = with_exits(load_classifier(source.model_folder)).to(PartialState().device)
        predictor = TransformerPredictor(model, load_tokenizer(source.model_folder), job.recipe.data.max_length)
        texts = _sample(job.data.train.texts + job.data.pool.texts, model, job.recipe.train.seed)
        _fit(model, _vectors(predictor, texts), job.task.multi_label)
        settings: dict[str, Any] = {"device": job.hardware.device, "texts": len(texts)}
        if len(job.data.validation):
            outputs = _ExitOutputs.of(predictor, job)
            curve = outputs.curve(_THRESHOLDS)
            model.config.threshold = _chosen(curve, step.retained) if step.threshold is None else step.threshold
            [chosen] = outputs.curve((model.config.threshold,))
            settings |= {"chosen": chosen, "curve": curve}
            job.progress.say(
                f"early-exit: texts exit above a confidence of {chosen['threshold']:.4g}, after {chosen['layers']:.1f} "
                f"of {len(chosen['leave'])} layers on average; {percent(chosen['retained'], 1)} retained on validation "
                "examples"
            )
        else:
            model.config.threshold = step.threshold
        return Fitted(predictor, settings={**settings, "threshold": model.config.threshold})


@dataclass(frozen=True)
class _ExitOutputs:
    """Logits (n, layers, labels) of all exits and the last classifier for the validation examples."""

    job: Job
    logits: torch.Tensor

    @classmethod
    def of(cls, predictor: TransformerPredictor, job: Job) -> _ExitOutputs:
        """Run every exit on every validation example, even past the exit where the text would stop."""
        with torch.no_grad():
            logits = _exits(predictor).logits_by_layer(_vectors(predictor, job.data.validation.texts))
        return cls(job, logits.cpu())

    def curve(self, thresholds: Sequence[float]) -> list[dict[str, Any]]:
        """Return the curve of quality against computation, one point per threshold.

        Each point has the main metric, `retained` (its share of the last classifier's metric), `retained_error` (the
        standard error of `retained`, by paired resamples of the examples), `leave` (share of texts that exit after each
        layer) and `layers` (mean number of layers per text).
        """
        count, depth = self.logits.shape[:2]
        confident = confidence(self.logits, self.job.task.multi_label)[None] > torch.tensor(thresholds)[:, None, None]
        confident[:, :, -1] = True
        exits = confident.int().argmax(dim=2)  # (thresholds, n) the first confident layer
        values, samples = self._scores([self.logits[torch.arange(count), layers].numpy() for layers in exits])
        return [
            {
                "threshold": threshold,
                self.job.task.main_metric: float(value),
                "retained": float(value / values[-1]) if values[-1] > 0 else float(value >= values[-1]),
                "retained_error": float(spread(sample / np.maximum(samples[-1], _MIN_METRIC))),
                "leave": (torch.bincount(layers, minlength=depth).double() / count).tolist(),
                "layers": float((layers + 1).double().mean()),
            }
            for threshold, layers, value, sample in zip(thresholds, exits, values[:-1], samples[:-1], strict=True)
        ]

    def _scores(self, outputs: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Return the main metric of R - 1 outputs and, last, of the last classifier: (R,), and (R, B) on resamples."""
        return metric_samples(
            [*outputs, self.logits[:, -1].numpy()],
            self.job.task.targets(self.job.data.validation.labels),
            self.job.task.measure,
        )


def _chosen(curve: list[dict[str, Any]], retained: float) -> float:
    """Return the lowest threshold such that it and all higher ones retain enough, less one standard error.

    The margin of one standard error is from Breiman et al. 1984, section 3.4.3. Without it, the fastest of 21
    thresholds that seems to retain enough is often a lucky one: on 200 examples, a threshold chosen to retain 99 %
    retained 94 % of the test metric.
    """
    threshold = 1.0
    for point in reversed(curve):
        if point["retained"] - point["retained_error"] < retained:
            break
        threshold = point["threshold"]
    return threshold


def _fit(model: EarlyExitClassifier, vectors: torch.Tensor, multi_label: bool) -> None:
    """Fit every exit to the predictions of the last classifier, given text vectors (n, layers, hidden).

    The problem is convex and starts from zero, so the result depends on no seed, learning rate or number of epochs.
    """
    with torch.no_grad():
        targets = model.classifier(vectors[:, -1])
    for number, layer in enumerate(model.exits):
        weight, bias = _fit_exit(vectors[:, number], targets, multi_label)
        layer.load_state_dict({"weight": weight, "bias": bias})


def _fit_exit(vectors: torch.Tensor, targets: torch.Tensor, multi_label: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Fit weights (labels, hidden) and biases (labels,) by L-BFGS, on standardized features.

    Args:
        vectors: Text vectors (n, hidden) after the exit's block.
        targets: Logits (n, labels) of the last classifier.
        multi_label: Fit one binary problem per label instead of a softmax.
    """
    mean, scale = vectors.mean(0), vectors.std(0, correction=0).clamp(min=1e-6)
    features = (vectors - mean) / scale
    problems = targets.shape[1] if multi_label else 1
    weight = vectors.new_zeros(targets.shape[1], vectors.shape[1], requires_grad=True)
    bias = vectors.new_zeros(targets.shape[1], requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=_MAX_ITERATIONS, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        divergence = problems * softened_divergence(features @ weight.T + bias, targets, 1.0, multi_label)
        total = (divergence + _L2_PENALTY / 2 * weight.square().sum()) / len(features)
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    unscaled = weight.detach() / scale
    return unscaled, bias.detach() - unscaled @ mean


def _vectors(predictor: TransformerPredictor, texts: Texts) -> torch.Tensor:
    """Return the text vectors (n, layers, hidden) after every block, in float32 on the model's device."""
    model = _exits(predictor)
    encoded = encode(texts, predictor.tokenizer, predictor.max_length)
    vectors = run_batches(
        model,
        encoded,
        predictor.tokenizer,
        lambda network, batch: network.vectors_by_layer(**batch).flatten(1),  # type: ignore[operator]
    )
    return torch.from_numpy(vectors).to(model.device).view(len(texts), len(model.exits) + 1, -1)


def _exits(predictor: TransformerPredictor) -> EarlyExitClassifier:
    assert isinstance(predictor.model, EarlyExitClassifier)
    return predictor.model


def _sample(texts: Texts, model: EarlyExitClassifier, seed: int) -> Texts:
    """Return the texts, or a random sample if their vectors would exceed the memory limit."""
    limit = _MAX_VECTOR_BYTES // (4 * model.classifier.in_features * (len(model.exits) + 1))
    rows = np.sort(np.random.default_rng(seed).permutation(len(texts))[:limit])
    return [texts[row] for row in rows]


def _no_validation_error() -> ModelError:
    return ModelError(
        "early-exit: there are no validation examples to choose the threshold on",
        "set it: {early-exit: {threshold: 0.95}}, or reserve validation examples in the budget (data.validation)",
    )
