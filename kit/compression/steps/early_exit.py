"""Early exit: a small classifier behind each block, where a text that is sure enough gets its answer and leaves.

As in DeeBERT (Xin et al. 2020, arXiv:2004.12993; the idea: BranchyNet, Teerapittayanon et al. 2016, arXiv:1709.01686),
the encoder and its last classifier stay as they are. The exits learn the last classifier's answers, so labels are only
looked at to choose how sure a text must be: those of the validation examples.

Knows models with exits and the budget. Knows nothing of other techniques.
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
from kit.models.checkpoints.loading import load_classifier, load_tokenizer
from kit.models.inference import run_batches
from kit.models.predictor import Texts, TransformerPredictor
from kit.models.saved_kind import Kind
from kit.recipe.sections.compression import EarlyExitStep
from kit.records.record import Record
from kit.runtime.quantities import percent
from kit.training.losses import softened_divergence

# The curve's thresholds: from "all leave behind the first block" to "none leaves early". Fixed numbers, not confidences
# of texts, which rounding would put on one side in a batch and on the other alone.
_THRESHOLDS = (0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.92, 0.94, 0.95, 0.96, 0.97, 0.98, 0.99,
               0.995, 0.999, 1.0)  # fmt: skip
# What the squared weights (of features of unit variance) weigh against the sum over texts: the closest answers on texts
# held out, from 200 texts to 6,000 (benchmarks/LOG.md).
_PRIOR = 50.0
_LEAST = 1e-9  # of a metric: below, nothing can be a share of it
_STEPS = 100  # of L-BFGS; it converges in fewer
_VECTOR_BYTES = 2**29  # of all text vectors that exits are fitted on; from there, on a sample of the texts


class EarlyExit:
    """Let texts leave behind the first block that is sure of them."""

    takes = (Kind.TORCH,)
    gives = Kind.EARLY_EXIT

    def require(self, step: EarlyExitStep, source: Record | None) -> None:
        """A pooled encoder with several blocks, and validation examples unless the threshold is given."""
        if source is None:
            return
        if step.threshold is None and not source.content["data"]["sizes"]["validation"]:
            raise _nothing_to_choose_on()
        require_same_alone(with_exits(load_classifier(source.model_folder)))

    def variants(self, step: EarlyExitStep) -> list[EarlyExitStep]:
        """Halfway to where nothing is lost."""
        key, value = ("retained", step.retained) if step.threshold is None else ("threshold", step.threshold)
        return [step.model_copy(update={key: (1 + value) / 2})] if value < 1 else []

    def compress(self, step: EarlyExitStep, source: Record, job: Job) -> Fitted:
        """Fit the exits on the texts of budget and pool; choose the threshold on the validation examples."""
        if step.threshold is None and not len(job.data.validation):
            raise _nothing_to_choose_on()
        model = with_exits(load_classifier(source.model_folder)).to(PartialState().device)
        predictor = TransformerPredictor(model, load_tokenizer(source.model_folder), job.recipe.data.max_length)
        texts = _sample(job.data.train.texts + job.data.pool.texts, model, job.recipe.train.seed)
        _fit(model, _vectors(predictor, texts), job.task.multi_label)
        settings: dict[str, Any] = {"device": job.hardware.device, "texts": len(texts)}
        if len(job.data.validation):
            examined = _Examined.of(predictor, job)
            curve = examined.curve(_THRESHOLDS)
            model.config.threshold = _chosen(curve, step.retained) if step.threshold is None else step.threshold
            [chosen] = examined.curve((model.config.threshold,))
            settings |= {"chosen": chosen, "curve": curve}
            job.progress.say(
                f"early-exit: above {chosen['threshold']:.4g} texts leave, after {chosen['layers']:.1f} of "
                f"{len(chosen['leave'])} layers on average; {percent(chosen['retained'], 1)} retained on validation"
            )
        else:
            model.config.threshold = step.threshold
        return Fitted(predictor, settings={**settings, "threshold": model.config.threshold})


@dataclass(frozen=True)
class _Examined:
    """What every exit says to every validation example. logits: (n, layers, labels), of all exits and the last."""

    job: Job
    logits: torch.Tensor

    @classmethod
    def of(cls, predictor: TransformerPredictor, job: Job) -> _Examined:
        """Ask all exits, whoever would have left before."""
        with torch.no_grad():
            logits = _exits(predictor).logits_by_layer(_vectors(predictor, job.data.validation.texts))
        return cls(job, logits.cpu())

    def curve(self, thresholds: Sequence[float]) -> list[dict[str, Any]]:
        """Points of the curve of accuracy against the work that is left.

        retained_error: standard error of what is retained, on the same resamples of the examples for both. leave: share
        of texts that leave behind each layer. layers: how many a text goes through on average.
        """
        count, depth = self.logits.shape[:2]
        sure = confidence(self.logits, self.job.task.multi_label)[None] > torch.tensor(thresholds)[:, None, None]
        sure[:, :, -1] = True
        left = sure.int().argmax(dim=2)  # (thresholds, n) the first layer that is sure
        values, samples = self._scores([self.logits[torch.arange(count), each].numpy() for each in left])
        return [
            {
                "threshold": threshold,
                self.job.task.main_metric: float(value),
                "retained": float(value / values[-1]) if values[-1] > 0 else float(value >= values[-1]),
                "retained_error": float(spread(sample / np.maximum(samples[-1], _LEAST))),
                "leave": (torch.bincount(each, minlength=depth).double() / count).tolist(),
                "layers": float((each + 1).double().mean()),
            }
            for threshold, each, value, sample in zip(thresholds, left, values[:-1], samples[:-1], strict=True)
        ]

    def _scores(self, answers: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Main metric of these answers and, last, of the last classifier's: (R,) values, (R, B) on resamples."""
        return metric_samples(
            [*answers, self.logits[:, -1].numpy()],
            self.job.task.targets(self.job.data.validation.labels),
            self.job.task.measure,
        )


def _chosen(curve: list[dict[str, Any]], retained: float) -> float:
    """The lowest threshold from which on all retain enough by a standard error (Breiman et al. 1984, section 3.4.3).

    Of 21 thresholds, the fastest that seems to retain enough is a lucky one: on 200 examples, one that was to keep 99 %
    kept 94 % of the test metric.
    """
    threshold = 1.0
    for point in reversed(curve):
        if point["retained"] - point["retained_error"] < retained:
            break
        threshold = point["threshold"]
    return threshold


def _fit(model: EarlyExitClassifier, vectors: torch.Tensor, multi_label: bool) -> None:
    """Give every exit the weights whose answers are closest to the last classifier's. vectors: (n, layers, hidden).

    The problem is convex and starts from zero, so nothing is left to chance, nor to a rate or a number of passes.
    """
    with torch.no_grad():
        answers = model.classifier(vectors[:, -1])
    for number, layer in enumerate(model.exits):
        weight, bias = _closest(vectors[:, number], answers, multi_label)
        layer.load_state_dict({"weight": weight, "bias": bias})


def _closest(vectors: torch.Tensor, answers: torch.Tensor, multi_label: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights (labels, hidden) and biases (labels,) by L-BFGS, on features of mean zero and unit variance."""
    mean, scale = vectors.mean(0), vectors.std(0, correction=0).clamp(min=1e-6)
    features = (vectors - mean) / scale
    labels = answers.shape[1] if multi_label else 1  # each of several labels is a problem of its own
    weight = vectors.new_zeros(answers.shape[1], vectors.shape[1], requires_grad=True)
    bias = vectors.new_zeros(answers.shape[1], requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=_STEPS, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        divergence = labels * softened_divergence(features @ weight.T + bias, answers, 1.0, multi_label)
        total = (divergence + _PRIOR / 2 * weight.square().sum()) / len(features)
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    found = weight.detach() / scale
    return found, bias.detach() - found @ mean


def _vectors(predictor: TransformerPredictor, texts: Texts) -> torch.Tensor:
    """(n, layers, hidden) float32 text vectors behind every block, in one pass, where the model is."""
    model = _exits(predictor)
    encoded = encode(texts, predictor.tokenizer, predictor.max_length)
    found = run_batches(
        model,
        encoded,
        predictor.tokenizer,
        lambda network, batch: network.vectors_by_layer(**batch).flatten(1),  # type: ignore[operator]
    )
    return torch.from_numpy(found).to(model.device).view(len(texts), len(model.exits) + 1, -1)


def _exits(predictor: TransformerPredictor) -> EarlyExitClassifier:
    assert isinstance(predictor.model, EarlyExitClassifier)
    return predictor.model


def _sample(texts: Texts, model: EarlyExitClassifier, seed: int) -> Texts:
    """As many of the texts, drawn at random, as their vectors have room for."""
    most = _VECTOR_BYTES // (4 * model.classifier.in_features * (len(model.exits) + 1))
    kept = np.sort(np.random.default_rng(seed).permutation(len(texts))[:most])
    return [texts[index] for index in kept]


def _nothing_to_choose_on() -> ModelError:
    return ModelError(
        "early-exit: there are no validation examples to choose the threshold on",
        "give it: {early-exit: {threshold: 0.95}}, or keep validation examples in the budget (data.validation)",
    )
