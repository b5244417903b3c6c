"""Vocabulary trimming: remove the tokens and embeddings that the texts of the task do not use.

Half of a small encoder is embeddings that a task never uses (Abdaoui et al. 2020, arXiv:2010.05609). Single characters
and special tokens are kept, so that any text can be tokenized. A text whose tokens are all kept gets exactly the same
prediction.
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
    trimmed_tokenizer,
)
from kit.compression.vocabulary_translation import require_one_table, trim_translator
from kit.data.encode import encode
from kit.errors import ModelError
from kit.methods import Fitted, Job
from kit.models.architectures.layers import encoder_of
from kit.models.architectures.pooled import PooledConfig
from kit.models.checkpoints.loading import load_classifier
from kit.models.checkpoints.tokenizers import load_tokenizer
from kit.models.classifier import TransformerPredictor
from kit.models.kinds import form_of
from kit.models.kinds.form import Form
from kit.recipe.sections.compression import VocabularyStep
from kit.records.record import Record

_PROOF_TEXTS = 64  # texts for which the trimmed model must compute exactly the same logits


class Vocabulary:
    """Removal of tokens that are not used in the budget, the pool, or the files that a student was distilled on.

    Validation texts are not counted, because the gate uses them.
    """

    takes = (Form.TORCH, Form.TRANSLATOR, Form.WARM_TRANSLATOR)
    gives = Form.TORCH

    def require(self, step: VocabularyStep, source: Record | None) -> None:
        """Raise ModelError without skeletoken, or if the tokenizer or the embedding matrices cannot be trimmed."""
        if find_spec("skeletoken") is None:
            raise ModelError("skeletoken is not installed", "pip install 'kit[compress]'")
        if source is None:
            return
        tokenizer = load_tokenizer(source.model_folder)
        if not tokenizer.is_fast:
            raise ModelError(
                f"vocabulary: {type(tokenizer).__name__} has no tokenizer.json, so it cannot be edited",
                "remove this step from compress.steps",
            )
        if form_of(source.model_folder, source.backend) is not Form.TORCH:
            require_one_table(source.model_folder)

    def variants(self, step: VocabularyStep) -> list[VocabularyStep]:
        """Return a variant without a maximum size, if the step has one."""
        return [] if step.max_size is None else [step.model_copy(update={"max_size": None})]

    def compress(self, step: VocabularyStep, source: Record, job: Job) -> Fitted:
        """Trim tokenizer and model, and check that texts whose tokens are all kept get the same logits."""
        if form_of(source.model_folder, source.backend) is not Form.TORCH:
            return trim_translator(source.model_folder, job, step.max_size)
        model, tokenizer = load_classifier(source.model_folder), load_tokenizer(source.model_folder)
        max_length = job.recipe.data.max_length
        texts = job.data.train.texts + job.data.pool.texts + (job.transfer.extra_texts if job.transfer else [])
        encoded = encode(texts, tokenizer, max_length)
        kept = kept_tokens(encoded, tokenizer, step.max_size)
        trimmed = trimmed_tokenizer(tokenizer, kept)
        origin = origins(tokenizer, trimmed)
        changed = changed_texts(encoded, encode(texts, trimmed, max_length), origin)
        require_same_reading(encoded, changed, kept)
        unchanged = [text for text, differs in zip(texts, changed, strict=True) if not differs][:_PROOF_TEXTS]
        expected = TransformerPredictor(model, tokenizer, max_length).outputs(unchanged)
        _trim(model, trimmed, origin)
        if not np.array_equal(TransformerPredictor(model, trimmed, max_length).outputs(unchanged), expected):
            kind = encoder_of(model).config.model_type
            raise ModelError(
                f"vocabulary: a {kind} model predicts differently with a smaller table of embeddings",
                "remove this step from compress.steps",
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
        return Fitted(TransformerPredictor(model, trimmed, max_length), settings=settings)


def _trim(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, origin: np.ndarray) -> None:
    """Reduce the embedding matrix to the tokenizer's tokens, and renumber token ids in configurations, in place."""
    cut_source_table(model, origin)
    encoder = encoder_of(model)
    renumber([model.config, encoder.config], origin, tokenizer.pad_token_id)
    if isinstance(model.config, PooledConfig):
        model.config.encoder = encoder.config.to_dict()
    model.eval()  # type: ignore[no-untyped-call]
