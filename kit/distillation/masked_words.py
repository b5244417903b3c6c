"""Masked words filled in by a masked language model, for augmentation.

Knows transformers' models. Knows nothing of recipes or training.
"""

from __future__ import annotations

import torch
from accelerate import PartialState
from transformers import AutoModelForMaskedLM

from kit.data.distillation_texts import MASK
from kit.errors import ModelError, first_line
from kit.models.checkpoints.checkpoint import resolve_checkpoint
from kit.models.checkpoints.loading import load_tokenizer, quiet
from kit.models.predictor import Texts
from kit.recipe import ModelSection

_CHOICES = 20  # the most likely words, of which one is drawn by its probability
_BATCH = 64


def fill_masks(texts: Texts, checkpoint: str, max_length: int, seed: int) -> Texts:
    """Texts in which each `MASK` is replaced by a word that the model finds likely there.

    Words beyond `max_length` tokens are left out where they are masked. Raises ModelError if the checkpoint is missing,
    or has no head for masked words.
    """
    try:
        found = resolve_checkpoint(ModelSection(checkpoint=checkpoint))
    except ModelError as error:
        error.key = "distill.augment.checkpoint"
        raise
    tokenizer = load_tokenizer(found.folder)
    try:
        with quiet():
            model, report = AutoModelForMaskedLM.from_pretrained(
                found.folder, output_loading_info=True, trust_remote_code=False
            )
    except Exception as error:
        raise ModelError(
            f"{checkpoint} cannot be loaded: {first_line(error)}", key="distill.augment.checkpoint"
        ) from error
    if report["missing_keys"] or not tokenizer.mask_token:
        raise ModelError(
            f"{checkpoint} is no masked language model",
            "name one such as bert-base-uncased",
            key="distill.augment.checkpoint",
        )
    device = PartialState().device
    model.to(device).eval()
    flat = [text for row in texts for text in row]
    generator = torch.Generator().manual_seed(seed)
    done: list[str] = []
    for start in range(0, len(flat), _BATCH):
        part = flat[start : start + _BATCH]
        rows = [text.replace(MASK, tokenizer.mask_token) for text in part]
        batch = tokenizer(rows, truncation=True, max_length=max_length, padding=True, return_tensors="pt").to(device)
        with torch.inference_mode():
            logits = model(**batch).logits.float().cpu()
        for text, ids, scores in zip(part, batch["input_ids"].cpu(), logits, strict=True):
            best = scores[ids == tokenizer.mask_token_id].topk(_CHOICES, dim=-1)
            words = []
            if len(best.values):
                drawn = torch.multinomial(best.values.softmax(-1), 1, generator=generator)
                words = [str(tokenizer.decode([int(w)])).strip() for w in best.indices.gather(-1, drawn).flatten()]
            done.append(_filled(text, words))
    width = len(texts[0]) if texts else 1
    return [tuple(done[index : index + width]) for index in range(0, len(done), width)]


def _filled(text: str, words: list[str]) -> str:
    for word in words:
        text = text.replace(MASK, word, 1)
    return " ".join(text.replace(MASK, "").split())
