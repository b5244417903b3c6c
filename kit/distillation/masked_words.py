"""Augmentation of texts: a masked language model fills in masked words."""

from __future__ import annotations

import torch
from accelerate import PartialState
from transformers import AutoModelForMaskedLM

from kit.data.distillation_texts import MASK
from kit.errors import ModelError, errors_about, first_line
from kit.models.checkpoints.checkpoint import resolve_checkpoint
from kit.models.checkpoints.tokenizers import load_tokenizer, quiet
from kit.models.predictor import Texts
from kit.recipe import ModelSection

_CHOICES = 20  # number of most likely tokens to draw from
_BATCH_SIZE = 64


def fill_masks(texts: Texts, checkpoint: str, max_length: int, seed: int) -> Texts:
    """Return texts with each `MASK` replaced by a word drawn from the model's most likely ones.

    Args:
        texts: Texts with masked words; each text is a tuple of its columns.
        checkpoint: Name or folder of a masked language model.
        max_length: Longest text in tokens; masks after it are removed.
        seed: Seed of the draws.

    Raises:
        ModelError: The checkpoint is missing or is not a masked language model.
    """
    with errors_about("distill.augment.checkpoint"):
        resolved = resolve_checkpoint(ModelSection(checkpoint=checkpoint))
    tokenizer = load_tokenizer(resolved.folder)
    try:
        with quiet():
            model, report = AutoModelForMaskedLM.from_pretrained(
                resolved.folder, output_loading_info=True, trust_remote_code=False
            )
    except Exception as error:
        raise ModelError(
            f"{checkpoint} cannot be loaded: {first_line(error)}", key="distill.augment.checkpoint"
        ) from error
    if report["missing_keys"] or not tokenizer.mask_token:
        raise ModelError(
            f"{checkpoint} is not a masked language model",
            "name one such as bert-base-uncased",
            key="distill.augment.checkpoint",
        )
    device = PartialState().device
    model.to(device).eval()
    flat = [text for row in texts for text in row]
    generator = torch.Generator().manual_seed(seed)
    filled: list[str] = []
    for start in range(0, len(flat), _BATCH_SIZE):
        chunk = flat[start : start + _BATCH_SIZE]
        masked = [text.replace(MASK, tokenizer.mask_token) for text in chunk]
        batch = tokenizer(masked, truncation=True, max_length=max_length, padding=True, return_tensors="pt").to(device)
        with torch.inference_mode():
            logits = model(**batch).logits.float().cpu()
        for text, ids, scores in zip(chunk, batch["input_ids"].cpu(), logits, strict=True):
            best = scores[ids == tokenizer.mask_token_id].topk(_CHOICES, dim=-1)
            words = []
            if len(best.values):
                drawn = torch.multinomial(best.values.softmax(-1), 1, generator=generator)
                words = [str(tokenizer.decode([int(w)])).strip() for w in best.indices.gather(-1, drawn).flatten()]
            filled.append(_replace_masks(text, words))
    columns = len(texts[0]) if texts else 1
    return [tuple(filled[index : index + columns]) for index in range(0, len(filled), columns)]


def _replace_masks(text: str, words: list[str]) -> str:
    for word in words:
        text = text.replace(MASK, word, 1)
    return " ".join(text.replace(MASK, "").split())
