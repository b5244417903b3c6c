"""Vocabulary trimming of translators.

Where both sides have one tokenizer and one table, tokens stay that sources or references use. Where an encoder got a
fresh decoder only the source's are trimmed: the target's tokenizer was made of the budget's own text.

Knows tokenizers and tables of translators. Knows nothing of other techniques.
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
    without_others,
)
from kit.data.encode import Encoded, encode
from kit.errors import ModelError
from kit.methods import Fitted, Job
from kit.models.translation.seq2seq import TARGET, Tongues
from kit.models.translation.translator import Translator
from kit.runtime.json_files import read_object

_PROOF_PAIRS = 64  # of which the trimmed model must give the very same logits


@dataclass(frozen=True)
class _Read:
    """Texts as tokenizers cut them. joint: whether one cuts both sides, so that the targets' tokens count too."""

    sources: Encoded
    targets: Encoded
    joint: bool

    @property
    def counted(self) -> Encoded:
        """What has to be read as before."""
        return self.sources.joined(self.targets) if self.joint else self.sources

    def pair(self, row: int) -> tuple[torch.Tensor, torch.Tensor]:
        """(1, length) ids of a source and of its target."""
        source, target = (side.take(np.array([row])).input_ids for side in (self.sources, self.targets))
        return torch.from_numpy(source).long()[None], torch.from_numpy(target).long()[None]


def require_one_table(folder: Path) -> None:
    """Raise ModelError for a translator that has a table of embeddings for each side, unless kit made the decoder."""
    config = read_object(folder / "config.json", ModelError)
    if config["model_type"] == "encoder-decoder":
        return
    if not config.get("share_encoder_decoder_embeddings", True) or (folder / TARGET).is_dir():
        raise ModelError(
            f"vocabulary: this {config['model_type']} model has a table of embeddings for each side, and one tokenizer "
            "for both cannot be trimmed to them",
            "take this step out of compress.steps; float16 and int8-torch make its file smaller",
        )


def trim_translator(folder: Path, job: Job, max_size: int | None) -> Fitted:
    """The translator in a folder with fewer tokens, proven to compute as before on pairs whose tokens all stay."""
    whole = Translator.load(folder)
    model, before = whole.model, whole.tongues.source
    joint = whole.tongues.target is before
    encoder = model.get_encoder()
    configs = [model.config, model.generation_config] if joint else [model.config.encoder, encoder.config]
    old = _read(job, whole.prefix, whole.tongues)
    kept = kept_tokens(old.counted, before, max_size) | named_tokens(configs, len(before))
    after = without_others(before, kept)
    origin = origins(before, after)
    tongues = Tongues(after, after if joint else whole.tongues.target)
    new = _read(job, whole.prefix, tongues)
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
    found = [_logits(model, *new.pair(row)) for row in rows]
    _require_same_logits(found, expected, joint, model.config.model_type)
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
    return Fitted(Translator(model, tongues, whole.max_length, whole.prefix), settings=settings)


def _read(job: Job, prefix: str, tongues: Tongues) -> _Read:
    """Sources of budget and pool, and the budget's references: those of the pool are never read."""
    longest = job.recipe.data.max_length
    texts: list[tuple[str, ...]] = [(prefix + text[0],) for text in job.data.train.texts + job.data.pool.texts]
    references: list[tuple[str, ...]] = [(labels[0],) for labels in job.data.train.labels]
    sources = encode(texts, tongues.source, longest)
    targets = encode(references, tongues.target, longest, as_target=True)
    return _Read(sources, targets, tongues.target is tongues.source)


def _same_pairs(changed: np.ndarray, read: _Read) -> list[int]:
    """The budget's pairs of which nothing is read differently."""
    count = len(read.targets)
    different = changed[:count]
    if read.joint:
        different = different | changed[len(read.sources) :]
    return [int(row) for row in np.flatnonzero(~different)[:_PROOF_PAIRS]]


def _logits(model: PreTrainedModel, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """(1, length, tokens) of a target after a source."""
    device = model.device
    with torch.inference_mode():
        found: torch.Tensor = model(input_ids=source.to(device), decoder_input_ids=target.to(device)).logits.cpu()
    return found


def _require_same_logits(found: list[torch.Tensor], expected: list[torch.Tensor], joint: bool, kind: str) -> None:
    """Raise ModelError for other logits.

    An output layer of another size may be multiplied in another order, which other numbers are not: where it is cut,
    the last digit is left open.
    """
    same = [
        torch.allclose(*pair, rtol=1e-5, atol=1e-5) if joint else torch.equal(*pair)
        for pair in zip(found, expected, strict=True)
    ]
    if not all(same):
        raise ModelError(
            f"vocabulary: a {kind} model answers differently with a smaller table",
            "take this step out of compress.steps",
        )
