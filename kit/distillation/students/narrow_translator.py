"""Narrower translators: both sides with token vectors of less width, or with fewer feed-forward neurons.

Knows how transformers' translators say their shape. Knows nothing of layers, data or training.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from transformers import PreTrainedConfig, PreTrainedModel

from kit.distillation.students.layers import encoder_config, narrower
from kit.distillation.students.narrow import narrow_weights
from kit.errors import ModelError, RecipeError, first_line
from kit.models.checkpoints.loading import quiet
from kit.models.translation.seq2seq import SCRATCH_HEADS, SCRATCH_INNER, SCRATCH_WIDTH, drop_pooler
from kit.recipe.sections.distillation import StudentSection

# What configurations call heads and neurons, of one side or of both; each calls a width hidden_size.
_HEADS = ("encoder_attention_heads", "decoder_attention_heads", "num_attention_heads")
_NEURONS = ("encoder_ffn_dim", "decoder_ffn_dim", "d_ff", "intermediate_size", "hidden_dim")
# Those whose width may change: the others compute the vectors of positions from it, and would read all of them anew.
_OF_ANY_WIDTH = ("encoder-decoder", "bart", "mbart", "t5", "mt5")
_T5 = ("t5", "mt5")


def translator_widths(section: StudentSection, folder: Path | None) -> StudentSection:
    """The section with all widths of both sides, if it names one; else as it is.

    folder: of a translator, or of an encoder whose decoder will be as wide; None for what is made from nothing.
    Raises RecipeError or ModelError for what cannot be cut out of it.
    """
    if section.hidden_size is None and section.heads is None and section.intermediate_size is None:
        return section
    kind, width, heads, inner = _facts(folder)
    if kind in _T5:
        if section.heads is not None:
            raise RecipeError("a T5's heads stay as they are", "leave it out", key="distill.student.heads")
        hidden, _, neurons = narrower(section, width, width, inner)  # its heads are of a width of their own
        wanted = heads
    else:
        hidden, wanted, neurons = narrower(section, width, heads, inner)
    if hidden != width and kind not in _OF_ANY_WIDTH:
        raise RecipeError(
            f"a {kind} model's positions follow from its width, and it cannot be cut",
            "choose layers and intermediate_size, or add init: random for a student of any shape",
            key="distill.student.hidden_size",
        )
    return section.model_copy(update={"hidden_size": hidden, "heads": wanted, "intermediate_size": neurons})


def narrow_translator(model: PreTrainedModel, section: StudentSection) -> PreTrainedModel:
    """A translator of the widths of a resolved section, with the part of each weight that `init` says.

    Without widths, the model itself. Raises ModelError for an architecture whose weights are not known.
    """
    if section.hidden_size is None:
        return model
    config = copy.deepcopy(model.config)
    for side in _sides(config):
        side.hidden_size = section.hidden_size
        for names, wanted in ((_HEADS, section.heads), (_NEURONS, section.intermediate_size)):
            for name in names:
                if hasattr(side, name) and not (names is _HEADS and config.model_type in _T5):
                    setattr(side, name, wanted)
    try:
        with quiet():
            student = type(model)(config)
    except Exception as error:
        raise ModelError(f"no model of this shape can be made: {first_line(error)}", key="distill.student") from error
    if config.model_type == "encoder-decoder":
        drop_pooler(student.get_encoder())
    student.load_state_dict(narrow_weights(model.state_dict(), student, section))
    student.generation_config = model.generation_config
    return student


def _facts(folder: Path | None) -> tuple[str, int, int, int]:
    """Kind, width, heads and neurons. Raises ModelError where the two sides differ, or do not say it."""
    if folder is None:
        return "m2m_100", SCRATCH_WIDTH, SCRATCH_HEADS, SCRATCH_INNER
    config = encoder_config(folder)
    sides = _sides(config)
    widths, heads, neurons = (
        {getattr(side, name) for side in sides for name in names if hasattr(side, name)}
        for names in (("hidden_size",), _HEADS, _NEURONS)
    )
    if {len(widths), len(heads), len(neurons)} != {1}:
        raise ModelError(
            f"encoder and decoder of the {config.model_type} model differ in width, heads or neurons",
            "choose layers alone, or add init: random for a student of any shape",
            key="distill.student",
        )
    kind = config.model_type if config.is_encoder_decoder else "encoder-decoder"
    return kind, widths.pop(), heads.pop(), neurons.pop()


def _sides(config: PreTrainedConfig) -> list[Any]:
    """The configurations that say widths: of encoder and decoder, or the one of both."""
    return [config.encoder, config.decoder] if config.model_type == "encoder-decoder" else [config]
