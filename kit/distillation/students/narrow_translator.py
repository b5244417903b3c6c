"""Narrower translators: encoder and decoder with narrower token vectors or fewer feed-forward neurons."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from transformers import PreTrainedConfig, PreTrainedModel

from kit.distillation.students.layers import encoder_config, narrower
from kit.distillation.students.narrow import narrow_weights
from kit.errors import ModelError, RecipeError, first_line
from kit.models.checkpoints.tokenizers import quiet
from kit.models.translation.seq2seq import SCRATCH_HEADS, SCRATCH_INNER, SCRATCH_WIDTH, drop_pooler
from kit.recipe.sections.distillation import StudentSection

# Keys of configurations for heads and neurons, of one side or of both; the key for the width is always hidden_size.
_HEAD_KEYS = ("encoder_attention_heads", "decoder_attention_heads", "num_attention_heads")
_NEURON_KEYS = ("encoder_ffn_dim", "decoder_ffn_dim", "d_ff", "intermediate_size", "hidden_dim")
# Architectures whose width can change: others compute position vectors from it, so all of them would be different.
_RESIZABLE = ("encoder-decoder", "bart", "mbart", "t5", "mt5")
_T5 = ("t5", "mt5")


def translator_widths(section: StudentSection, folder: Path | None) -> StudentSection:
    """Return the section of a student with all widths filled in if it has one of them, otherwise unchanged.

    Args:
        section: The recipe's section.
        folder: Folder of a translator, or of an encoder whose decoder will have the same width; None for a translator
            with random weights.

    Raises:
        RecipeError: The student is larger than the model, or its widths do not fit together.
        ModelError: Encoder and decoder have different widths.
    """
    if section.hidden_size is None and section.heads is None and section.intermediate_size is None:
        return section
    kind, width, heads, inner = _sizes(folder)
    if kind in _T5:
        if section.heads is not None:
            raise RecipeError("the heads of a T5 model cannot change", "leave it out", key="distill.student.heads")
        hidden, _, neurons = narrower(section, width, width, inner=inner)  # the width of T5's heads is independent
        student_heads = heads
    else:
        hidden, student_heads, neurons = narrower(section, width, heads, inner=inner)
    if hidden != width and kind not in _RESIZABLE:
        raise RecipeError(
            f"the position vectors of a {kind} model depend on its width, which cannot change",
            "choose layers and intermediate_size, or add init: random for a student of any shape",
            key="distill.student.hidden_size",
        )
    return section.model_copy(update={"hidden_size": hidden, "heads": student_heads, "intermediate_size": neurons})


def narrow_translator(model: PreTrainedModel, section: StudentSection) -> PreTrainedModel:
    """Return a narrower translator whose weights are selected from those of the model as set by `init`.

    Args:
        model: The translator.
        section: Resolved section of the student; without widths, the model itself is returned.

    Raises:
        ModelError: This architecture has weights that cannot be narrowed.
    """
    if section.hidden_size is None:
        return model
    config = copy.deepcopy(model.config)
    for side in _sides(config):
        side.hidden_size = section.hidden_size
        for keys, size in ((_HEAD_KEYS, section.heads), (_NEURON_KEYS, section.intermediate_size)):
            for key in keys:
                if hasattr(side, key) and not (keys is _HEAD_KEYS and config.model_type in _T5):
                    setattr(side, key, size)
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


def _sizes(folder: Path | None) -> tuple[str, int, int, int]:
    """Return model type, width, heads and neurons.

    Raises ModelError if encoder and decoder differ in them.
    """
    if folder is None:
        return "m2m_100", SCRATCH_WIDTH, SCRATCH_HEADS, SCRATCH_INNER
    config = encoder_config(folder)
    sides = _sides(config)
    widths, heads, neurons = (
        {getattr(side, key) for side in sides for key in keys if hasattr(side, key)}
        for keys in (("hidden_size",), _HEAD_KEYS, _NEURON_KEYS)
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
    """Return the configurations with widths: of encoder and decoder, or the one for both."""
    return [config.encoder, config.decoder] if config.model_type == "encoder-decoder" else [config]
