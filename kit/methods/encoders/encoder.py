"""Steps that the methods for encoders share: encode the splits, and fit a linear head on text vectors."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kit.data.batching import EncodedDataset
from kit.data.encode import encode
from kit.methods.base import CheckpointJob
from kit.models.checkpoints.tokenizers import load_tokenizer
from kit.models.classifier import TransformerPredictor
from kit.models.inference import predict_logits
from kit.models.linear import Linear
from kit.models.vectors import text_vectors
from kit.tasks.base import EncoderTask
from kit.training.diagnosis import loss_parts
from kit.training.interfaces import Look, Split
from kit.training.plan import TRAIN_SAMPLE

# Label names are used as texts only if all of them contain a word, unlike "0" and "B-2".
_WORD = re.compile(r"[^\W\d_]{3,}")


@dataclass(frozen=True)
class EncodedBudget:
    """The tokenized budget with its targets.

    Args:
        tokenizer: Tokenizer of the checkpoint.
        train: Training examples.
        validation: Validation examples.
        names: Label names as additional training examples, one per label; empty if they are not words.
        truncation: Share of truncated texts, by split.
    """

    tokenizer: PreTrainedTokenizerBase
    train: Split
    validation: Split
    names: Split
    truncation: dict[str, float]

    def whole(self) -> EncodedBudget:
        """Return the budget with its validation examples moved to the training examples."""
        no_rows = np.arange(0)
        empty = Split(self.validation.encoded.take(no_rows), self.validation.targets[no_rows])
        return replace(self, train=self.train.joined(self.validation), validation=empty)


@dataclass(frozen=True)
class LabelWatch:
    """Loss and main metric of an encoder on all validation examples and on a sample of training examples."""

    task: EncoderTask
    tokenizer: PreTrainedTokenizerBase
    train: Split
    validation: Split

    @property
    def metric(self) -> str:
        """The task's main metric."""
        return self.task.main_metric

    @property
    def validated(self) -> bool:
        """True if there are validation examples."""
        return len(self.validation.targets) > 0

    def look(self, model: PreTrainedModel, bf16: bool) -> Look:
        """Evaluate the model, see `Watch`. Logits that are not finite give a loss of NaN."""
        # Evenly spaced training examples: the order of the budget is stratified, so the sample is too.
        count = min(len(self.train.targets), TRAIN_SAMPLE)
        sample = np.linspace(0, len(self.train.targets) - 1, count).astype(int)
        examples = Split(self.train.encoded.take(sample), self.train.targets[sample]).joined(self.validation)
        logits = predict_logits(model, examples.encoded, self.tokenizer, bf16)
        if (scale := self.task.head.scale) is not None:
            logits = scale.original(logits)
        parts = (("train", slice(None, count)), ("validation", slice(count, None)))
        scores = {
            k: v for name, rows in parts for k, v in self._scores(name, logits[rows], examples.targets[rows]).items()
        }
        return Look(scores, len(logits) - count, self._loss_parts(logits[count:], examples.targets[count:]))

    def _loss_parts(self, logits: np.ndarray, targets: np.ndarray) -> list[float]:
        if not len(targets) or not np.isfinite(logits).all():
            return []
        return loss_parts(self.task.losses(logits, targets))

    def _scores(self, prefix: str, logits: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        if not np.isfinite(logits).all():
            return {f"{prefix}_loss": math.nan}
        loss = float(self.task.losses(logits, targets).mean())
        return {f"{prefix}_loss": loss, f"{prefix}_{self.metric}": self.task.scores(logits, targets)[self.metric]}


def lessons_of(split: Split, tokenizer: PreTrainedTokenizerBase) -> EncodedDataset:
    """Return the examples of a split as a dataset for training."""
    return EncodedDataset.for_tokenizer(split.encoded, tokenizer, split.targets)


def encode_budget(job: CheckpointJob) -> EncodedBudget:
    """Tokenize train, validation and test splits; the test split for its share of truncated texts and to cache it."""
    tokenizer = load_tokenizer(job.checkpoint.folder, job.checkpoint.trusted)
    key, max_length = job.checkpoint.tokenizer_sha256, job.recipe.data.max_length
    parts = {name: getattr(job.data, name) for name in ("train", "validation", "test")}
    encoded = {name: encode(part.texts, tokenizer, max_length, key) for name, part in parts.items()}
    truncation = {name: float(part.truncated.mean()) if len(part) else 0.0 for name, part in encoded.items()}
    train = Split(encoded["train"], job.task.targets(job.data.train.labels))
    validation = Split(encoded["validation"], job.task.targets(job.data.validation.labels))
    texts = label_names_to_learn(job)
    named = job.task.targets([(label,) for label in job.task.labels[: len(texts)]])
    names = Split(encode([(text,) for text in texts], tokenizer, max_length), named)
    return EncodedBudget(tokenizer, train, validation, names, truncation)


def label_names_to_learn(job: CheckpointJob) -> list[str]:
    """Return the label names that are training examples (`train.label_names`), in the order of the labels."""
    one_column = len(job.data.train.texts[0]) == 1
    has_names = one_column and job.recipe.train.label_names and job.encoder_task.head.scale is None
    return label_texts(job.task.labels) if has_names else []


def new_predictor(
    job: CheckpointJob, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> TransformerPredictor:
    """Return the predictor of a fitted classifier."""
    return TransformerPredictor(model, tokenizer, job.recipe.data.max_length, job.checkpoint.tokenizer_sha256)


def held_out_outputs(job: CheckpointJob, model: PreTrainedModel, budget: EncodedBudget) -> np.ndarray | None:
    """Return a model's outputs (n, labels) for the validation examples; None without any."""
    if not len(budget.validation.targets):
        return None
    return predict_logits(model, budget.validation.encoded, budget.tokenizer, job.hardware.bf16)


def start_head(job: CheckpointJob, model: PreTrainedModel, budget: EncodedBudget) -> Linear:
    """Fit a linear model on the encoder's text vectors as the initial head for fine-tuning."""
    vectors, targets = _vectors(job, model, budget, budget.train.joined(budget.names))
    linear = job.encoder_task.linear
    return linear.fit(vectors, targets, job.recipe.probe.C or linear.start)


def fit_probe(job: CheckpointJob, model: PreTrainedModel, budget: EncodedBudget) -> tuple[Linear, np.ndarray | None]:
    """Return a linear model on the encoder's text vectors, with its held-out outputs.

    C is chosen on the validation examples, which are then added to the training examples. Each label name is an
    additional example. On BANKING77 this adds 2.5 points with 5 labels per class, and 0.5 with 10.
    """
    linear, task = job.encoder_task.linear, job.encoder_task
    vectors, targets = _vectors(job, model, budget, budget.train.joined(budget.names))
    if not len(budget.validation.targets):
        return linear.fit(vectors, targets, job.recipe.probe.C or linear.default), None
    held_out, truth = _vectors(job, model, budget, budget.validation)
    chosen = job.recipe.probe.C or linear.choose(
        vectors, targets, lambda fitted: float(task.losses(fitted.logits(held_out), truth).mean())
    )
    held_out_logits = linear.fit(vectors, targets, chosen).logits(held_out)
    final = linear.fit(np.concatenate([vectors, held_out]), np.concatenate([targets, truth]), chosen)
    return final, held_out_logits


def _vectors(
    job: CheckpointJob, model: PreTrainedModel, budget: EncodedBudget, split: Split
) -> tuple[np.ndarray, np.ndarray]:
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
    """Return label names as texts (`card_arrival` -> `card arrival`); empty unless all of them contain a word."""
    if not all(_WORD.search(label) for label in labels):
        return []
    spaced = [re.sub(r"(?<=[a-z])(?=[A-Z])", " ", label) for label in labels]
    return [re.sub(r"[\W_]+", " ", label).strip().lower() for label in spaced]
