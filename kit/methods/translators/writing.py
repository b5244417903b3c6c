"""Tokenized pairs of texts to train translators on, and the loss on references during training."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kit.data.batching import PairDataset
from kit.data.encode import IGNORED, Encoded, encode
from kit.data.examples import Examples
from kit.data.padding import pad_id_of, sorted_batches
from kit.models.inference import BATCH_TOKENS
from kit.models.translation.seq2seq import TokenizerPair
from kit.models.translation.translator import shift_of
from kit.training.diagnosis import loss_parts
from kit.training.interfaces import Look
from kit.training.plan import TRAIN_SAMPLE


@dataclass(frozen=True)
class Writer:
    """A translator to train, with its tokenizers.

    Args:
        model: Encoder-decoder.
        tokenizer_pair: Tokenizers of source and target.
        prefix: Text before every source.
        first: Id of the token that translations begin with; None for the model's default.
        tokenizer_key: Identifier of the tokenizers for cache keys; None disables the cache.
        rate_shares: Factors of the learning rate, by prefix of the parameters' names.
    """

    model: PreTrainedModel
    tokenizer_pair: TokenizerPair
    prefix: str
    first: int | None
    tokenizer_key: str | None = None
    rate_shares: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Pairs:
    """Tokenized sources and targets of n examples."""

    source: Encoded
    target: Encoded

    def __len__(self) -> int:
        return len(self.source)


@dataclass(frozen=True)
class _ReferenceScores:
    """Evaluation of n references.

    Args:
        losses: (n,) summed loss of the tokens.
        correct: (n,) number of tokens with the highest predicted probability.
        tokens: (n,) number of tokens.
    """

    losses: np.ndarray
    correct: np.ndarray
    tokens: np.ndarray

    @property
    def loss(self) -> float:
        """Mean loss per token."""
        return float(self.losses.sum() / self.tokens.sum())

    @property
    def accuracy(self) -> float:
        """Share of tokens with the highest predicted probability."""
        return float(self.correct.sum() / self.tokens.sum())

    @property
    def loss_parts(self) -> list[float]:
        """Values whose mean is the loss; empty if the loss is not finite."""
        return loss_parts(self.losses, self.tokens) if np.isfinite(self.losses).all() else []


@dataclass(frozen=True)
class PairWatch:
    """Per-token loss on references, without label smoothing, and accuracy of their tokens."""

    writer: Writer
    train: Pairs
    validation: Pairs
    metric: str = "token_accuracy"

    @property
    def validated(self) -> bool:
        """True if there are validation examples."""
        return len(self.validation) > 0

    def look(self, model: PreTrainedModel, bf16: bool) -> Look:
        """Evaluate the model, see `Watch`.

        Each token is predicted from the previous tokens of the reference.
        """
        rows = np.linspace(0, len(self.train) - 1, min(len(self.train), TRAIN_SAMPLE)).astype(int)
        sample = Pairs(self.train.source.take(rows), self.train.target.take(rows))
        parts = {"train": self._score(sample, model, bf16), "validation": self._score(self.validation, model, bf16)}
        scores = {
            name: value
            for split, score in parts.items()
            for name, value in ((f"{split}_loss", score.loss), (f"{split}_{self.metric}", score.accuracy))
        }
        return Look(scores, len(self.validation), parts["validation"].loss_parts)

    def loss(self, model: PreTrainedModel, pairs: Pairs) -> float | None:
        """Return the per-token loss on the references in float32, or None if there are none."""
        return self._score(pairs, model, False).loss if len(pairs) else None

    def _score(self, pairs: Pairs, model: PreTrainedModel, bf16: bool) -> _ReferenceScores:
        dataset = dataset_of(pairs, self.writer)
        losses, correct, tokens = np.zeros(len(pairs)), np.zeros(len(pairs)), np.zeros(len(pairs))
        was_training = model.training
        model.eval()  # type: ignore[no-untyped-call]
        device = next(model.parameters()).device
        sizes = pairs.source.lengths + pairs.target.lengths
        try:
            with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                for indices in sorted_batches(sizes, BATCH_TOKENS[device.type]):
                    batch = {name: tensor.to(device) for name, tensor in dataset.collate(indices.tolist()).items()}
                    labels = batch.pop("labels")
                    logits = model(**batch).logits.float()
                    loss = torch.nn.functional.cross_entropy(
                        logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="none"
                    )
                    counted = labels != IGNORED
                    losses[indices] = loss.view(labels.shape).sum(dim=1).double().cpu().numpy()
                    correct[indices] = ((logits.argmax(dim=-1) == labels) & counted).sum(dim=1).cpu().numpy()
                    tokens[indices] = counted.sum(dim=1).cpu().numpy()
        finally:
            model.train(was_training)
        return _ReferenceScores(losses, correct, tokens)


def encode_pairs(examples: Examples, writer: Writer, max_length: int) -> Pairs:
    """Tokenize sources, with the writer's prefix, and targets."""
    source, target = writer.tokenizer_pair.source, writer.tokenizer_pair.target
    key = writer.tokenizer_key
    lines: list[tuple[str, ...]] = [(labels[0],) for labels in examples.labels]
    sources = encode(sources_of(examples, writer), source, max_length, cache_key=key)
    if target is not source:
        targets = encode(lines, target, max_length, cache_key=key_of(target))
    else:
        targets = encode(lines, target, max_length, cache_key=None if key is None else f"{key} target", as_target=True)
    return Pairs(sources, targets)


def key_of(tokenizer: PreTrainedTokenizerBase) -> str:
    """Return the hash of a tokenizer, as a cache key for tokenizers without a checkpoint."""
    return hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode()).hexdigest()


def dataset_of(pairs: Pairs, writer: Writer, kind: type[PairDataset] = PairDataset) -> PairDataset:
    """Return the pairs as a dataset for training, of the class `kind`."""
    source, target = writer.tokenizer_pair.source, writer.tokenizer_pair.target
    return kind(pairs.source, pairs.target, (pad_id_of(source), pad_id_of(target)), shift_of(writer.model))


def sources_of(examples: Examples, writer: Writer) -> list[tuple[str, ...]]:
    """Return the sources with the writer's prefix."""
    return [(writer.prefix + texts[0],) for texts in examples.texts]
