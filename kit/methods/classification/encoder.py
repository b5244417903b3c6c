"""Steps that the methods on a pretrained encoder share: encode the splits, fit a linear head on text vectors.

Knows encoders and the budget's splits. Knows nothing of gradient training.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kit.data.batching import EncodedDataset
from kit.data.encode import encode
from kit.methods.base import Job
from kit.methods.classification.linear import DEFAULT_C, Linear, choose_c, fit_linear
from kit.models.checkpoints.loading import load_tokenizer
from kit.models.inference import predict_logits
from kit.models.predictor import TransformerPredictor
from kit.models.vectors import text_vectors
from kit.tasks import Task
from kit.training.diagnosis import loss_parts
from kit.training.interfaces import Look, Split
from kit.training.plan import TRAIN_SAMPLE

# A head that fits the training examples all too well leaves the encoder no gradient: as a start, less is more.
START_C = 10.0
# Several labels of a data set have to read like words before their names are used as texts ("0", "B-2" do not).
_WORD = re.compile(r"[^\W\d_]{3,}")


@dataclass(frozen=True)
class EncodedBudget:
    """The budget, tokenised, with class indices; and how many texts were cut, by split.

    names: the names of the labels as one more training example each; empty where they do not read like words.
    """

    tokenizer: PreTrainedTokenizerBase
    train: Split
    validation: Split
    names: Split
    truncation: dict[str, float]

    def whole(self) -> EncodedBudget:
        """The same budget with its validation examples among the training examples."""
        nothing = np.arange(0)
        empty = Split(self.validation.encoded.take(nothing), self.validation.targets[nothing])
        return replace(self, train=self.train.joined(self.validation), validation=empty)


@dataclass(frozen=True)
class LabelWatch:
    """Loss and main metric of a classifier on all validation examples and on a sample of training examples."""

    task: Task
    tokenizer: PreTrainedTokenizerBase
    train: Split
    validation: Split

    @property
    def metric(self) -> str:
        """The task's main metric."""
        return self.task.main_metric

    @property
    def validated(self) -> bool:
        """Whether there are validation examples."""
        return len(self.validation.targets) > 0

    def look(self, model: PreTrainedModel, bf16: bool) -> Look:
        """See `Watch`. Logits that are no numbers give a loss that is none."""
        # Evenly spaced training examples: the budget's order is stratified, so these are too.
        count = min(len(self.train.targets), TRAIN_SAMPLE)
        seen = np.linspace(0, len(self.train.targets) - 1, count).astype(int)
        asked = Split(self.train.encoded.take(seen), self.train.targets[seen]).joined(self.validation)
        logits = predict_logits(model, asked.encoded, self.tokenizer, bf16)
        parts = (("train", slice(None, count)), ("validation", slice(count, None)))
        scores = {
            k: v for name, rows in parts for k, v in self._scores(name, logits[rows], asked.targets[rows]).items()
        }
        return Look(scores, len(logits) - count, self._loss_parts(logits[count:], asked.targets[count:]))

    def _loss_parts(self, logits: np.ndarray, targets: np.ndarray) -> list[float]:
        if not len(targets) or not np.isfinite(logits).all():
            return []
        return loss_parts(self.task.measure.tally(logits, targets)["loss"][:, 0])

    def _scores(self, prefix: str, logits: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        if not np.isfinite(logits).all():
            return {f"{prefix}_loss": math.nan}
        scores = self.task.scores(logits, targets)
        return {f"{prefix}_loss": scores["log_loss"], f"{prefix}_{self.metric}": scores[self.metric]}


def lessons_of(split: Split, tokenizer: PreTrainedTokenizerBase) -> EncodedDataset:
    """The examples of a split, to learn from."""
    return EncodedDataset(
        split.encoded, split.targets, tokenizer.pad_token_id or 0, left=tokenizer.padding_side == "left"
    )


def encode_budget(job: Job) -> EncodedBudget:
    """Tokenise train, validation and test (so that the test's truncation is known and its tokens are cached)."""
    assert job.checkpoint is not None
    tokenizer = load_tokenizer(job.checkpoint.folder, job.checkpoint.trusted)
    key, longest = job.checkpoint.tokenizer_sha256, job.recipe.data.max_length
    parts = {name: getattr(job.data, name) for name in ("train", "validation", "test")}
    encoded = {name: encode(part.texts, tokenizer, longest, key) for name, part in parts.items()}
    truncation = {name: float(part.truncated.mean()) if len(part) else 0.0 for name, part in encoded.items()}
    train = Split(encoded["train"], job.task.targets(job.data.train.labels))
    validation = Split(encoded["validation"], job.task.targets(job.data.validation.labels))
    single = len(job.data.train.texts[0]) == 1
    texts = label_texts(job.task.labels) if single and job.recipe.train.label_names else []
    every = np.eye(len(job.task.labels), dtype=train.targets.dtype) if job.task.multi_label else np.arange(len(texts))
    names = Split(encode([(text,) for text in texts], tokenizer, longest), every[: len(texts)])
    return EncodedBudget(tokenizer, train, validation, names, truncation)


def new_predictor(job: Job, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> TransformerPredictor:
    """The predictor around a fitted classifier."""
    assert job.checkpoint is not None
    return TransformerPredictor(model, tokenizer, job.recipe.data.max_length, job.checkpoint.tokenizer_sha256)


def start_head(job: Job, model: PreTrainedModel, budget: EncodedBudget) -> Linear:
    """Logistic regression on the model's text vectors as a start for fine-tuning."""
    vectors, targets = _vectors(job, model, budget, budget.train.joined(budget.names))
    return fit_linear(vectors, targets, len(job.task.labels), job.recipe.probe.C or START_C)


def fit_probe(job: Job, model: PreTrainedModel, budget: EncodedBudget) -> Linear:
    """Logistic regression on the model's text vectors as a result.

    C is chosen on the validation examples, on which it is then fitted as well. The names of the labels count as one
    example each: on BANKING77 with 5 labels a class that is worth 2.5 points, with 10 labels 0.5.
    """
    labels = len(job.task.labels)
    vectors, targets = _vectors(job, model, budget, budget.train.joined(budget.names))
    if not len(budget.validation.targets):
        return fit_linear(vectors, targets, labels, job.recipe.probe.C or DEFAULT_C)
    held_out, truth = _vectors(job, model, budget, budget.validation)
    chosen = job.recipe.probe.C or choose_c(
        lambda c: fit_linear(vectors, targets, labels, c),
        lambda fitted: job.task.scores(fitted.logits(held_out), truth)["log_loss"],
    )
    return fit_linear(np.concatenate([vectors, held_out]), np.concatenate([targets, truth]), labels, chosen)


def _vectors(job: Job, model: PreTrainedModel, budget: EncodedBudget, split: Split) -> tuple[np.ndarray, np.ndarray]:
    vectors = text_vectors(model, split.encoded, budget.tokenizer, job.weights_key, job.hardware.bf16)
    return vectors, split.targets


def set_head(model: PreTrainedModel, head: Linear) -> None:
    """Put a linear head's weights into a pooled classifier."""
    classifier = model.get_submodule("classifier")
    assert isinstance(classifier, torch.nn.Linear)
    with torch.no_grad():
        classifier.weight.copy_(torch.from_numpy(head.weights.T.copy()))
        classifier.bias.copy_(torch.from_numpy(head.bias))


def label_texts(labels: tuple[str, ...]) -> list[str]:
    """Label names as text (`card_arrival` -> `card arrival`); empty unless every one of them reads like words."""
    if not all(_WORD.search(label) for label in labels):
        return []
    spaced = [re.sub(r"(?<=[a-z])(?=[A-Z])", " ", label) for label in labels]
    return [re.sub(r"[\W_]+", " ", label).strip().lower() for label in spaced]
