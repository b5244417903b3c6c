"""Students: smaller copies of a classifier, with some of its layers or of less width, and with its weights.

Knows models and the student's section of a recipe. Knows nothing of teachers' answers, losses or training.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel

from kit.distillation.students.narrow import narrow_weights
from kit.errors import ModelError, RecipeError, first_line
from kit.models.architectures.layers import encoder_of, find_layers, spread_evenly
from kit.models.architectures.pooled import PooledClassifier, PooledConfig
from kit.models.checkpoints.loading import quiet
from kit.recipe.sections.distillation import StudentSection

# How configurations call what a narrower student changes, under the names that transformers maps to; and what else the
# width of feed-forward layers is called.
_WIDTHS = ("hidden_size", "num_attention_heads", "intermediate_size")
_INNER = ("intermediate_size", "hidden_dim", "ffn_dim", "d_ff")


@dataclass(frozen=True)
class Shape:
    """An encoder's size. layers: numbers of the source's layers. Widths as in transformers' configurations."""

    layers: tuple[int, ...]
    hidden_size: int
    heads: int
    intermediate_size: int


def encoder_config(folder: Path) -> PreTrainedConfig:
    """The configuration of the encoder of a checkpoint or of a classifier that kit saved. Raises ModelError."""
    try:
        with quiet():
            config: PreTrainedConfig = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:
        raise ModelError(f"the configuration in {folder} cannot be read: {first_line(error)}") from error
    return config.encoder_config() if isinstance(config, PooledConfig) else config


def resolve_student(section: StudentSection, source: PreTrainedConfig) -> StudentSection:
    """The section with the shape that it comes to over a source encoder, in full.

    Raises RecipeError for layers that the source does not have, or widths that do not go together.
    """
    if section.checkpoint is not None:
        return section
    if section.architecture != "transformer":
        default = {"layers": 1} if section.architecture == "bilstm" and section.layers is None else {}
        return section.model_copy(update={"hidden_size": section.hidden_size or 128, **default})
    shape = _shape(section, source)
    return section.model_copy(
        update={
            "layers": list(shape.layers),
            "hidden_size": shape.hidden_size,
            "heads": shape.heads,
            "intermediate_size": shape.intermediate_size,
        }
    )


def shrink(model: PreTrainedModel, section: StudentSection) -> PreTrainedModel:
    """A smaller copy of a classifier, as a resolved section describes it, in float32 on the CPU.

    Layers are copied whole; a narrower student gets the part of each weight that `init` says. Random weights come from
    torch's global generator. Raises ModelError if the architecture cannot be cut so.
    """
    assert isinstance(section.layers, list)
    source = find_layers(model)
    if max(section.layers) >= len(source):
        raise ModelError(f"{max(section.layers)} is not among the {len(source)} layers", key="distill.student.layers")
    with quiet():
        student = _empty(model, section)
    if section.init == "random":
        return student
    weights = {
        key.replace(f"{source.path}.{old}.", f"{source.path}.{new}.", 1): tensor
        for old, new in [(old, new) for new, old in enumerate(section.layers)]
        for key, tensor in model.state_dict().items()
        if key.startswith(f"{source.path}.{old}.")
    }
    weights |= {key: tensor for key, tensor in model.state_dict().items() if not key.startswith(f"{source.path}.")}
    target = student.state_dict()
    if any(weights[key].shape != tensor.shape for key, tensor in target.items() if key in weights):
        weights = narrow_weights(weights, student, section)
    missing = sorted(set(target) - set(weights))
    if missing:
        raise ModelError(f"the teacher has no weights for {missing[0]} of the student", key="distill.student")
    student.load_state_dict({key: weights[key].clone() for key in target})
    return student


def require_shape(section: StudentSection, folder: Path) -> StudentSection:
    """`resolve_student` for the classifier or checkpoint in a folder."""
    if section.checkpoint is not None or section.architecture != "transformer":
        return resolve_student(section, PreTrainedConfig())
    return resolve_student(section, encoder_config(folder))


def _shape(section: StudentSection, source: PreTrainedConfig) -> Shape:
    there = [getattr(source, name, None) for name in ("num_hidden_layers", *_widths(source))]
    if not all(isinstance(value, int) for value in there):
        raise RecipeError(
            f"the layers of a {source.model_type} model cannot be told from its configuration",
            "name a checkpoint, cnn or bilstm as the student",
            key="distill.student",
        )
    count, width, heads, inner = (int(value or 0) for value in there)
    layers = _layers(section.layers, count)
    return Shape(layers, *narrower(section, width, heads, inner))


def narrower(section: StudentSection, width: int, heads: int, inner: int) -> tuple[int, int, int]:
    """Width, heads and feed-forward neurons of a student whose source has these. Raises RecipeError if it has not."""
    of_a_head = width // heads
    hidden = section.hidden_size or width
    if hidden > width:
        raise RecipeError(
            f"{hidden} is wider than the teacher's {width}", f"use at most {width}", key="distill.student.hidden_size"
        )
    if section.heads is None and hidden % of_a_head:
        raise RecipeError(
            f"{hidden} cannot be cut into heads of {of_a_head}, as wide as the teacher's",
            f"use a multiple of {of_a_head}, or give distill.student.heads with init: random",
            key="distill.student.hidden_size",
        )
    wanted = section.heads or hidden // of_a_head
    if hidden % wanted:
        raise RecipeError(
            f"{hidden} cannot be cut into {wanted} heads",
            "hidden_size must be a multiple of it",
            key="distill.student.heads",
        )
    if section.init != "random" and hidden // wanted != of_a_head:
        raise RecipeError(
            f"{wanted} heads of {hidden // wanted} cannot start from heads of {of_a_head}",
            f"use {hidden // of_a_head} heads, or init: random" if not hidden % of_a_head else "use init: random",
            key="distill.student.heads",
        )
    intermediate = section.intermediate_size or round(inner * hidden / width)
    if intermediate > inner and section.init != "random":
        raise RecipeError(
            f"{intermediate} is more than the teacher's {inner}",
            f"use at most {inner}, or init: random",
            key="distill.student.intermediate_size",
        )
    return hidden, wanted, intermediate


def _widths(config: PreTrainedConfig) -> tuple[str, str, str]:
    """`_WIDTHS`, with the name that this configuration has for the last."""
    return (*_WIDTHS[:2], next((name for name in _INNER if hasattr(config, name)), _INNER[0]))


def _layers(wanted: int | list[int] | None, count: int) -> tuple[int, ...]:
    """Numbers of layers: those asked for, or that many spread evenly, or by default the first half.

    Lower layers carry most of what a task needs, and go together as they were trained (Sajjad et al. 2022,
    arXiv:2004.03844, section 4); a student of the first ones follows its teacher more closely in benchmarks/LOG.md.
    """
    if isinstance(wanted, list):
        absent = [number for number in wanted if number >= count]
        if absent:
            raise RecipeError(
                f"there is no layer {absent[0]}, the teacher has {count}",
                f"layers are numbered 0 to {count - 1}",
                key="distill.student.layers",
            )
        return tuple(wanted)
    if wanted is None:
        return tuple(range(max(1, count // 2)))
    if wanted > count:
        raise RecipeError(
            f"{wanted} of the teacher's {count} layers", f"use {count} or less", key="distill.student.layers"
        )
    return tuple(spread_evenly(wanted, count))


def last_to_last(number: int, count: int) -> list[int]:
    """For each of `number` layers the one of `count` that ends the same share of the way: for 3 of 6 layers 1, 3, 5."""
    return [(index + 1) * count // number - 1 for index in range(number)]


def _empty(model: PreTrainedModel, section: StudentSection) -> PreTrainedModel:
    """A model of the student's shape and the classifier's kind, its weights random."""
    pooled = isinstance(model, PooledClassifier)
    config = copy.deepcopy(encoder_of(model).config if pooled else model.config)
    _resize(config, section)
    try:
        if not pooled:
            return type(model)(config)
        outer: PooledConfig = copy.deepcopy(model.config)  # type: ignore[assignment]
        outer.encoder = config.to_dict()
        for name in ("kept_heads", "kept_neurons"):
            counts = getattr(outer, name)
            if counts is not None and isinstance(section.layers, list):
                setattr(outer, name, [counts[number] for number in section.layers])
        return PooledClassifier(outer)
    except Exception as error:
        raise ModelError(f"no model of this shape can be made: {first_line(error)}", key="distill.student") from error


def _resize(config: PreTrainedConfig, section: StudentSection) -> None:
    assert isinstance(section.layers, list)
    count = config.num_hidden_layers
    for name, value in list(vars(config).items()):
        if isinstance(value, list) and len(value) == count and name not in ("architectures",):
            setattr(config, name, [value[number] for number in section.layers])  # what differs from layer to layer
    config.num_hidden_layers = len(section.layers)
    for name, wanted in zip(
        _widths(config), (section.hidden_size, section.heads, section.intermediate_size), strict=True
    ):
        setattr(config, name, wanted)


def reorder_labels(model: PreTrainedModel, labels: tuple[str, ...]) -> None:
    """Put the rows of a classifier's last layer, and its label names, in the order of `labels`, which are the same."""
    names = {int(index): str(name) for index, name in (model.config.id2label or {}).items()}
    found = tuple(names[index] for index in sorted(names))
    if found == labels:
        return
    order = [found.index(label) for label in labels]
    layer = [m for m in model.modules() if isinstance(m, nn.Linear) and m.out_features == len(labels)][-1]
    with torch.no_grad():
        layer.weight.copy_(layer.weight[order])
        if layer.bias is not None:
            layer.bias.copy_(layer.bias[order])
    model.config.id2label = dict(enumerate(labels))
    model.config.label2id = {label: index for index, label in enumerate(labels)}
