"""Vocabulary trimming of translators.

A translator with one tokenizer and one embedding matrix for both sides keeps the tokens of sources and references. In a
translator with a pretrained encoder and a fresh decoder only the source vocabulary is trimmed: the target tokenizer was
trained on the budget's own references.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedModel

from kit.compression.tables import cut_all_tables, cut_source_table, named_tokens, renumber
from kit.compression.tokens import (
    changed_texts,
    expected_change,
    kept_tokens,
    origins,
    require_same_reading,
    trimmed_tokenizer,
)
from kit.data.encode import Encoded, encode
from kit.errors import ModelError
from kit.methods import Fitted, Job
from kit.models.checkpoints.config_file import read_config
from kit.models.checkpoints.tokenizers import TARGET
from kit.models.translation.seq2seq import TokenizerPair
from kit.models.translation.translator import Translator

_PROOF_PAIRS = 64  # pairs for which the trimmed model must compute the same logits


@dataclass(frozen=True)
class _Tokenized:
    """Tokenized sources and targets.

    With `joint`, one tokenizer is used for both, so the targets' tokens count too.
    """

    sources: Encoded
    targets: Encoded
    joint: bool

    @property
    def counted(self) -> Encoded:
        """Texts in the trimmed vocabulary."""
        return self.sources.joined(self.targets) if self.joint else self.sources

    def pair(self, row: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the token ids of a source and of its target, each (1, length)."""
        source, target = (side.take(np.array([row])).input_ids for side in (self.sources, self.targets))
        return torch.from_numpy(source).long()[None], torch.from_numpy(target).long()[None]


def require_one_table(folder: Path) -> None:
    """Raise ModelError for separate embedding matrices per side, unless it is an encoder with a decoder made by kit."""
    config = read_config(folder)
    if config.model_type == "encoder-decoder":
        return
    if not config.shares_embeddings or (folder / TARGET).is_dir():
        raise ModelError(
            f"vocabulary: this {config.model_type} model has a table of embeddings for each side, which one trimmed "
            "tokenizer cannot match",
            "remove this step from compress.steps; float16 and int8-torch make its file smaller",
        )


def trim_translator(folder: Path, job: Job, max_size: int | None) -> Fitted:
    """Trim the vocabulary of a translator, and check that it computes the same on pairs whose tokens are all kept.

    Args:
        folder: Folder of the translator.
        job: Recipe, task and data of the translator.
        max_size: Maximum number of tokens; None keeps all tokens of the texts.

    Raises:
        ModelError: The tokenizer cannot be trimmed, or the trimmed model computes other logits.
        VerificationError: A text is tokenized differently although all its tokens are kept.
    """
    original = Translator.load(folder)
    model, before = original.model, original.tokenizer_pair.source
    joint = original.tokenizer_pair.target is before
    encoder = model.get_encoder()
    configs = [model.config, model.generation_config] if joint else [model.config.encoder, encoder.config]
    old = _tokenize(job, original.prefix, original.tokenizer_pair)
    kept = kept_tokens(old.counted, before, max_size) | named_tokens(configs, len(before))
    after = trimmed_tokenizer(before, kept)
    origin = origins(before, after)
    tokenizer_pair = TokenizerPair(after, after if joint else original.tokenizer_pair.target)
    new = _tokenize(job, original.prefix, tokenizer_pair)
    changed = changed_texts(old.counted, new.counted, origin)
    require_same_reading(old.counted, changed, kept)
    rows = _same_pairs(changed, old)
    expected = [_logits(model, *old.pair(row)) for row in rows]
    if joint:
        expected = [logits[..., torch.from_numpy(origin)] for logits in expected]
        cut_all_tables(model, origin)
    else:
        cut_source_table(encoder, origin)
    renumber(configs, origin, after.pad_token_id)
    logits_after = [_logits(model, *new.pair(row)) for row in rows]
    _require_same_logits(logits_after, expected, joint, model.config.model_type)
    settings = {
        "device": job.hardware.device,
        "tokens": len(origin),
        "tokens_before": len(before),
        "sides": "both" if joint else "source",
        "texts": len(old.sources),
        "texts_read_differently": float(changed[: len(old.sources)].mean()),
        "new_texts_read_differently": expected_change(old.sources, before, max_size, old.targets if joint else None),
        "pairs_proven": len(rows),
    }
    return Fitted(Translator(model, tokenizer_pair, original.max_length, original.prefix), settings=settings)


def _tokenize(job: Job, prefix: str, tokenizer_pair: TokenizerPair) -> _Tokenized:
    """Tokenize the sources of budget and pool, and the references of the budget only."""
    max_length = job.recipe.data.max_length
    texts: list[tuple[str, ...]] = [(prefix + text[0],) for text in job.data.train.texts + job.data.pool.texts]
    references: list[tuple[str, ...]] = [(labels[0],) for labels in job.data.train.labels]
    sources = encode(texts, tokenizer_pair.source, max_length)
    targets = encode(references, tokenizer_pair.target, max_length, as_target=True)
    return _Tokenized(sources, targets, tokenizer_pair.target is tokenizer_pair.source)


def _same_pairs(changed: np.ndarray, tokenized: _Tokenized) -> list[int]:
    """Return the rows of pairs of the budget whose tokens are the same as before."""
    count = len(tokenized.targets)
    different = changed[:count]
    if tokenized.joint:
        different = different | changed[len(tokenized.sources) :]
    return [int(row) for row in np.flatnonzero(~different)[:_PROOF_PAIRS]]


def _logits(model: PreTrainedModel, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the logits (1, length, tokens) of a target, given a source."""
    device = model.device
    with torch.inference_mode():
        logits: torch.Tensor = model(input_ids=source.to(device), decoder_input_ids=target.to(device)).logits.cpu()
    return logits


def _require_same_logits(logits: list[torch.Tensor], expected: list[torch.Tensor], joint: bool, kind: str) -> None:
    """Raise ModelError if logits differ from the expected logits.

    With a joint vocabulary a small tolerance applies, because a smaller output layer may sum in another order. With
    separate vocabularies the output layer is unchanged, and the logits must be equal.
    """
    same = [
        torch.allclose(*pair, rtol=1e-5, atol=1e-5) if joint else torch.equal(*pair)
        for pair in zip(logits, expected, strict=True)
    ]
    if not all(same):
        raise ModelError(
            f"vocabulary: a {kind} model predicts differently with a smaller table of embeddings",
            "remove this step from compress.steps",
        )
