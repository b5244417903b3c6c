"""Distillation of translators: a student that learns to write what its teacher writes.

Sequence-level knowledge distillation (Kim & Rush 2016, arXiv:1606.07947): the teacher translates the transfer set once,
by its own search, and the student is trained on that. Such translations are simpler than people's, which a small model
can follow. Nothing else passes from one to the other, so the student may have any shape and vocabulary.

A student of the teacher's layers keeps the whole encoder and some layers of the decoder: the decoder runs once a token,
the encoder once a sentence (Kasai et al. 2021, Deep Encoder, Shallow Decoder, arXiv:2006.10369).
"""

from __future__ import annotations

import copy
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

from kit.data.examples import Examples
from kit.data.pairs import loops
from kit.errors import ModelError, RecipeError
from kit.methods.base import Fitted, Job
from kit.methods.translate import fit_writer, writer_of
from kit.methods.writing import Writer
from kit.models.bpe import train_bpe
from kit.models.seq2seq import Tongues, load_translator, scratch_translator, set_dropout, start_of
from kit.recipe.distilling import StudentSection
from kit.training.teacher_outputs import teacher_translations

# Layers of a fresh student's encoder, which runs once a sentence; the recipe counts those of the decoder.
FRESH_ENCODER = 6
# Where architectures of transformers keep the layers of their decoders.
_DECODERS = ("decoder.bert.encoder.layer", "model.decoder.layers", "decoder.block", "decoder.layers")


@dataclass(frozen=True)
class TranslateDistill:
    """A student that learns its teacher's translations of budget and pool."""

    name: str = "distill"
    needs_checkpoint: bool = True

    def fit(self, job: Job) -> Fitted:
        """Let the teacher translate the transfer set once, then train the student on what it wrote."""
        assert job.transfer is not None
        teacher = job.teachers[0]
        lines, computed = teacher_translations(teacher, job.transfer.texts, job.progress)
        rows = [row for row, line in enumerate(lines) if line and not loops(line)]
        if not rows:
            raise ModelError(
                f"distill.teacher: {teacher.name} translates nothing: all {len(lines)} translations are empty or loop",
                "train the teacher on more pairs",
            )
        written = Examples(
            np.asarray(rows, np.int64), [job.transfer.texts[row] for row in rows], [(lines[row],) for row in rows]
        )
        lessons = _with_references(written, job)
        torch.manual_seed(job.recipe.train.seed)
        fitted = fit_writer(job, student_of(job, lessons), lessons)
        settings: dict[str, Any] = {
            "teachers": [
                {
                    "name": teacher.name,
                    "record": teacher.record.id if teacher.record else None,
                    "sha256": teacher.sha256,
                }
            ],
            "teacher_answers_computed": [asdict(computed)],
            "transfer_set": {
                "texts": len(job.transfer),
                "labelled": job.transfer.labelled,
                "pool": job.transfer.pool,
                "extra": job.transfer.extra,
                "extra_dropped": job.transfer.dropped,
                "augmented": job.transfer.augmented,
                "not_translated": len(lines) - len(rows),
                "references": len(lessons) - len(written),
            },
        }
        return replace(fitted, settings={**fitted.settings, **settings})


@dataclass(frozen=True)
class TranslateStudent:
    """The control: the same student for as many steps on the budget's references, without a teacher."""

    name: str = "student"
    needs_checkpoint: bool = True

    def fit(self, job: Job) -> Fitted:
        """Train the small model like any other."""
        section, train = job.recipe.distill.student, job.data.train
        if section.init == "random":
            return fit_writer(job, _fresh(job, section, train), train)
        layers = section.layers
        if section.checkpoint is None and isinstance(layers, list):
            translation = job.recipe.translation.model_copy(update={"decoder_layers": len(layers)})
            job = replace(job, recipe=job.recipe.model_copy(update={"translation": translation}))
        writer = writer_of(job, train)
        if section.checkpoint is None and isinstance(layers, list) and _start(job) == "translator":
            writer = replace(writer, model=with_decoder_layers(writer.model, layers))
        return fit_writer(job, writer, train)


def student_of(job: Job, lessons: Examples) -> Writer:
    """The student as it starts. lessons: that a fresh one's vocabulary is made of."""
    section = job.recipe.distill.student
    if section.checkpoint is not None:
        return writer_of(job, lessons)
    if section.init == "random":
        return _fresh(job, section, lessons)
    assert isinstance(section.layers, list) and job.checkpoint is not None
    model, tongues = load_translator(job.checkpoint.folder)
    set_all_dropout(model, job.recipe.train.dropout)
    # The teacher's tokenizer was saved with its languages set, and the model with the token that follows from them.
    first = model.generation_config.forced_bos_token_id if model.generation_config else None
    prefix = str(getattr(model.config, "prefix", "") or "")
    model.train()
    return Writer(with_decoder_layers(model, section.layers), tongues, prefix, first)


def resolve_translation_student(section: StudentSection, folder: Path | None) -> StudentSection:
    """The section with the layers that it comes to. folder: of the teacher, or of what the teacher is to be made of.

    Raises RecipeError or ModelError for what no translator can be: before anything is trained.
    """
    if section.architecture != "transformer":
        raise RecipeError(
            f"distill.student: a {section.architecture} cannot translate",
            "use layers:N, random weights, or a checkpoint",
        )
    if section.checkpoint is not None:
        return section
    if section.init == "random":
        width = section.hidden_size or 256
        heads = section.heads or max(1, width // 64)
        if width % heads:
            raise RecipeError(f"distill.student.heads: {heads} heads cannot be cut from a width of {width}", "")
        layers = section.layers if isinstance(section.layers, int) else 2
        return section.model_copy(
            update={
                "hidden_size": width,
                "heads": heads,
                "layers": layers,
                "intermediate_size": section.intermediate_size or 2 * width,
            }
        )
    if section.hidden_size is not None or section.heads is not None or section.intermediate_size is not None:
        raise RecipeError(
            "distill.student: a narrower translator cannot be cut out of its teacher",
            "leave hidden_size, heads and intermediate_size out, or add init: random for one of any shape",
        )
    count = None if folder is None else decoder_depth(folder)
    wanted = section.layers
    if wanted is None:
        wanted = max(1, (count or 2) // 2)
    if isinstance(wanted, int):
        if count is not None and wanted > count:
            raise RecipeError(f"distill.student.layers: {wanted} are more than the teacher's decoder has: {count}", "")
        wanted = spread(wanted, count) if count is not None else list(range(wanted))
    if count is not None and max(wanted) >= count:
        raise RecipeError(
            f"distill.student.layers: the teacher's decoder has no layer {max(wanted)}",
            f"its layers are numbered 0 to {count - 1}",
        )
    return section.model_copy(update={"layers": wanted})


def spread(wanted: int, count: int) -> list[int]:
    """Numbers of `wanted` layers of `count`, spread evenly, the first and (of two or more) the last among them."""
    return [0] if wanted == 1 else [round(k * (count - 1) / (wanted - 1)) for k in range(wanted)]


def decoder_depth(folder: Path) -> int | None:
    """How many layers the decoder of a saved translator has; None for a checkpoint that has no decoder yet."""
    if start_of(folder) != "translator":
        return None
    config = json.loads((folder / "config.json").read_text("utf-8"))
    inner = config.get("decoder") if isinstance(config.get("decoder"), dict) else config
    for name in ("decoder_layers", "num_decoder_layers", "num_hidden_layers", "num_layers"):
        if isinstance(inner.get(name), int):
            return int(inner[name])
    raise ModelError(f"the layers of the decoder in {folder} cannot be told from its configuration")


def with_decoder_layers(model: PreTrainedModel, layers: list[int]) -> PreTrainedModel:
    """The model, which is changed, with these layers of its decoder (numbered from 0) and no others.

    Raises ModelError for an architecture whose decoder cannot be found.
    """
    path = next((path for path in _DECODERS if _has(model, path)), None)
    if path is None:
        raise ModelError(
            f"distill.student: the decoder of a {model.config.model_type} model cannot be found",
            "use a student of random weights, or a checkpoint",
        )
    parent, _, name = path.rpartition(".")
    stack = model.get_submodule(path)
    assert isinstance(stack, nn.ModuleList)
    kept = nn.ModuleList(copy.deepcopy(stack[index]) for index in layers)
    for place, layer in enumerate(kept):  # cached keys and values are found by the number of their layer
        for part in layer.modules():
            if isinstance(getattr(part, "layer_idx", None), int):
                part.layer_idx = place  # type: ignore[assignment]
    if path == "decoder.block" and hasattr(stack[0].layer[0].SelfAttention, "relative_attention_bias"):  # type: ignore[union-attr, index]
        # T5 keeps the table of relative positions of all layers in the first one.
        kept[0].layer[0].SelfAttention = copy.deepcopy(kept[0].layer[0].SelfAttention)  # type: ignore[union-attr, index]
        _take_positions(stack[0], kept[0])
    setattr(model.get_submodule(parent), name, kept)
    inner = model.config.decoder if model.config.model_type == "encoder-decoder" else model.config
    for key in ("decoder_layers", "num_decoder_layers"):
        if hasattr(inner, key):
            setattr(inner, key, len(layers))
    if model.config.model_type == "encoder-decoder":
        inner.num_hidden_layers = len(layers)
    return model


def set_all_dropout(model: PreTrainedModel, rate: float | None) -> None:
    """Set the rate of every dropout module; None keeps what the model has."""
    if rate is None:
        return
    set_dropout(model.config, rate)
    for part in model.modules():
        if isinstance(part, nn.Dropout):
            part.p = rate
        elif isinstance(getattr(part, "dropout", None), float):
            part.dropout = rate  # type: ignore[assignment]


def _take_positions(source: nn.Module, target: nn.Module) -> None:
    theirs, ours = source.layer[0].SelfAttention, target.layer[0].SelfAttention  # type: ignore[union-attr, index]
    ours.has_relative_attention_bias = True
    ours.relative_attention_bias = copy.deepcopy(theirs.relative_attention_bias)


def _fresh(job: Job, section: StudentSection, lessons: Examples) -> Writer:
    """A small Transformer with random weights and a vocabulary of both languages, made of the lessons."""
    assert isinstance(section.layers, int) and section.hidden_size and section.heads and section.intermediate_size
    longest = job.recipe.data.max_length
    texts = [row[0] for row in lessons.texts] + [labels[0] for labels in lessons.labels]
    joint = train_bpe(texts, job.recipe.translation.vocabulary or 8_000, longest)
    torch.manual_seed(job.recipe.train.seed)
    model = scratch_translator(
        joint,
        longest,
        job.recipe.train.dropout,
        width=section.hidden_size,
        heads=section.heads,
        inner=section.intermediate_size,
        layers=(FRESH_ENCODER, section.layers),
    )
    return Writer(model, Tongues(joint, joint), "", None)


def _with_references(written: Examples, job: Job) -> Examples:
    """The teacher's translations, and beside them the budget's own references if the recipe gives labels a weight."""
    if not job.recipe.distill.losses.labels:
        return written
    train = job.data.train
    return Examples(
        np.concatenate([written.ids, train.ids]), written.texts + train.texts, written.labels + train.labels
    )


def _start(job: Job) -> str:
    return start_of(job.checkpoint.folder if job.checkpoint is not None else None)


def _has(model: nn.Module, path: str) -> bool:
    try:
        return isinstance(model.get_submodule(path), nn.ModuleList)
    except AttributeError:
        return False
