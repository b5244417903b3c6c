"""What a model that writes learns from, and what it is measured on meanwhile: pairs of texts as tokens.

Knows models with their tokenizers, and examples. Knows nothing of where models start from or how they are trained.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kit.data.batching import PairDataset, sorted_batches
from kit.data.encode import IGNORED, Encoded, encode
from kit.data.examples import Examples
from kit.models.inference import BATCH_TOKENS
from kit.models.translation.seq2seq import Tongues
from kit.models.translation.translator import shift_of
from kit.training.diagnosis import loss_parts
from kit.training.interfaces import Look
from kit.training.plan import TRAIN_SAMPLE


@dataclass(frozen=True)
class Writer:
    """A model that is to learn to translate, with its tokenizers.

    first: token that its translations begin with. rate_shares: of the learning rate, by the beginning of names.
    """

    model: PreTrainedModel
    tongues: Tongues
    prefix: str
    first: int | None
    tokenizer_key: str | None = None
    rate_shares: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Pairs:
    """Sources and translations of n examples as tokens."""

    source: Encoded
    target: Encoded

    def __len__(self) -> int:
        return len(self.source)


@dataclass(frozen=True)
class _References:
    """For each of n references: summed loss, tokens predicted first, number of tokens."""

    losses: np.ndarray
    right: np.ndarray
    tokens: np.ndarray

    @property
    def loss(self) -> float:
        """Mean loss per token."""
        return float(self.losses.sum() / self.tokens.sum())

    @property
    def accuracy(self) -> float:
        """Share of tokens that are predicted first."""
        return float(self.right.sum() / self.tokens.sum())

    @property
    def loss_parts(self) -> list[float]:
        """Values whose mean is the loss; none if the loss is not a number."""
        return loss_parts(self.losses, self.tokens) if np.isfinite(self.losses).all() else []


@dataclass(frozen=True)
class PairWatch:
    """Loss of the references a token (without smoothing), and the share of their tokens that come first."""

    writer: Writer
    train: Pairs
    validation: Pairs
    metric: str = "token_accuracy"

    @property
    def validated(self) -> bool:
        """Whether there are validation examples."""
        return len(self.validation) > 0

    def look(self, model: PreTrainedModel, bf16: bool) -> Look:
        """See `Watch`; each token is predicted after the reference's own tokens."""
        seen = np.linspace(0, len(self.train) - 1, min(len(self.train), TRAIN_SAMPLE)).astype(int)
        sample = Pairs(self.train.source.take(seen), self.train.target.take(seen))
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

    def _score(self, pairs: Pairs, model: PreTrainedModel, bf16: bool) -> _References:
        dataset = dataset_of(pairs, self.writer)
        losses, right, tokens = np.zeros(len(pairs)), np.zeros(len(pairs)), np.zeros(len(pairs))
        was_training = model.training
        model.eval()  # type: ignore[no-untyped-call]
        device = next(model.parameters()).device
        sizes = pairs.source.lengths + pairs.target.lengths
        try:
            with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                for indices in sorted_batches(sizes, BATCH_TOKENS[device.type]):
                    batch = {name: part.to(device) for name, part in dataset.collate(indices.tolist()).items()}
                    labels = batch.pop("labels")
                    logits = model(**batch).logits.float()
                    loss = torch.nn.functional.cross_entropy(
                        logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="none"
                    )
                    known = labels != IGNORED
                    losses[indices] = loss.view(labels.shape).sum(dim=1).double().cpu().numpy()
                    right[indices] = ((logits.argmax(dim=-1) == labels) & known).sum(dim=1).cpu().numpy()
                    tokens[indices] = known.sum(dim=1).cpu().numpy()
        finally:
            model.train(was_training)
        return _References(losses, right, tokens)


def encode_pairs(examples: Examples, writer: Writer, max_length: int) -> Pairs:
    """Sources with their prefix and translations, as tokens."""
    source, target = writer.tongues.source, writer.tongues.target
    key = writer.tokenizer_key
    lines: list[tuple[str, ...]] = [(labels[0],) for labels in examples.labels]
    ours = encode(sources_of(examples, writer), source, max_length, key)
    if target is not source:
        theirs = encode(lines, target, max_length, key_of(target))
    else:
        theirs = encode(lines, target, max_length, None if key is None else f"{key} target", as_target=True)
    return Pairs(ours, theirs)


def key_of(tokenizer: PreTrainedTokenizerBase) -> str:
    """What identifies a tokenizer that was trained here."""
    return hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode()).hexdigest()


def dataset_of(pairs: Pairs, writer: Writer, kind: type[PairDataset] = PairDataset) -> PairDataset:
    """The pairs, to learn from. kind: which says what their labels are."""
    source, target = writer.tongues.source, writer.tongues.target
    return kind(
        pairs.source, pairs.target, (source.pad_token_id or 0, target.pad_token_id or 0), shift_of(writer.model)
    )


def sources_of(examples: Examples, writer: Writer) -> list[tuple[str, ...]]:
    """Sources, each behind the text that the model wants before it."""
    return [(writer.prefix + texts[0],) for texts in examples.texts]
