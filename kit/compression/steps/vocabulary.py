"""Vocabulary trimming: a table of embeddings with only the rows that the task's texts use, and a tokenizer to match.

Half of a small encoder is rows that a task never looks at (Abdaoui et al. 2020, arXiv:2010.05609). Single characters
and special tokens stay, so that any text can still be read; a text whose tokens all stay gets the very same answer.

Knows tokenizers and tables of embeddings. Knows nothing of other techniques.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
from accelerate import PartialState
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kit.compression.tables import cut_source_table, renumber
from kit.compression.tokens import (
    changed_texts,
    expected_change,
    kept_tokens,
    origins,
    require_same_reading,
    without_others,
)
from kit.compression.vocabulary_translation import require_one_table, trim_translator
from kit.data.encode import encode
from kit.errors import ModelError
from kit.methods import Fitted, Job
from kit.models.architectures.layers import encoder_of
from kit.models.architectures.pooled import PooledConfig
from kit.models.checkpoints.loading import load_classifier, load_tokenizer
from kit.models.predictor import TransformerPredictor
from kit.models.saved_kind import Kind, kind_of
from kit.recipe.sections.compression import VocabularyStep
from kit.records.record import Record

_PROOF_TEXTS = 64  # that must get the very same logits from the trimmed model


class Vocabulary:
    """Keep the tokens that the texts of budget and pool use, and the files that a student was distilled on.

    Not those of validation, which judge the step.
    """

    takes = (Kind.TORCH, Kind.TRANSLATOR, Kind.WARM_TRANSLATOR)
    gives = Kind.TORCH

    def require(self, step: VocabularyStep, source: Record | None) -> None:
        """skeletoken, a tokenizer that can be edited, and of a translator one table for both sides."""
        if find_spec("skeletoken") is None:
            raise ModelError("skeletoken is not installed", "pip install 'kit[compress]'")
        if source is None:
            return
        tokenizer = load_tokenizer(source.model_folder)
        if not tokenizer.is_fast:
            raise ModelError(
                f"vocabulary: {type(tokenizer).__name__} has no tokenizer.json, so it cannot be edited",
                "take this step out of compress.steps",
            )
        if kind_of(source.model_folder, source.backend) is not Kind.TORCH:
            require_one_table(source.model_folder)

    def variants(self, step: VocabularyStep) -> list[VocabularyStep]:
        """Without a largest size, if it has one."""
        return [] if step.max_size is None else [step.model_copy(update={"max_size": None})]

    def compress(self, step: VocabularyStep, source: Record, job: Job) -> Fitted:
        """Trim tokenizer and model, and prove that texts whose tokens stay are read as before."""
        if kind_of(source.model_folder, source.backend) is not Kind.TORCH:
            return trim_translator(source.model_folder, job, step.max_size)
        model, tokenizer = load_classifier(source.model_folder), load_tokenizer(source.model_folder)
        longest = job.recipe.data.max_length
        texts = job.data.train.texts + job.data.pool.texts + (job.transfer.extra_texts if job.transfer else [])
        encoded = encode(texts, tokenizer, longest)
        kept = kept_tokens(encoded, tokenizer, step.max_size)
        smaller = without_others(tokenizer, kept)
        origin = origins(tokenizer, smaller)
        again = encode(texts, smaller, longest)
        changed = changed_texts(encoded, again, origin)
        require_same_reading(encoded, changed, kept)
        alike = [text for text, other in zip(texts, changed, strict=True) if not other][:_PROOF_TEXTS]
        expected = TransformerPredictor(model, tokenizer, longest).outputs(alike)
        _trim(model, smaller, origin)
        if not np.array_equal(TransformerPredictor(model, smaller, longest).outputs(alike), expected):
            raise ModelError(
                f"vocabulary: a {encoder_of(model).config.model_type} model answers differently with a smaller table",
                "take this step out of compress.steps",
            )
        model.to(PartialState().device)
        settings: dict[str, Any] = {
            "device": job.hardware.device,
            "tokens": len(origin),
            "tokens_before": len(tokenizer),
            "texts": len(texts),
            "texts_read_differently": float(changed.mean()) if len(texts) else 0.0,
            "new_texts_read_differently": expected_change(encoded, tokenizer, step.max_size),
        }
        return Fitted(TransformerPredictor(model, smaller, longest), settings=settings)


def _trim(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, origin: np.ndarray) -> None:
    """Keep the rows of the table of embeddings that belong to the tokenizer's tokens, in its order."""
    cut_source_table(model, origin)
    encoder = encoder_of(model)
    renumber([model.config, encoder.config], origin, tokenizer.pad_token_id)
    if isinstance(model.config, PooledConfig):
        model.config.encoder = encoder.config.to_dict()
    model.eval()  # type: ignore[no-untyped-call]
