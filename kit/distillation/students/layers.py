"""Students of classifiers: copies with fewer layers or less width that start from the classifier's weights."""

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
from kit.models.checkpoints.tokenizers import quiet
from kit.recipe.sections.distillation import StudentSection

# Keys of configurations that a narrower student changes, after transformers' mapping of names; and all names for the
# width of feed-forward layers.
_WIDTH_KEYS = ("hidden_size", "num_attention_heads", "intermediate_size")
_FEED_FORWARD_KEYS = ("intermediate_size", "hidden_dim", "ffn_dim", "d_ff")


@dataclass(frozen=True)
class Shape:
    """Size of an encoder, with widths as in transformers' configurations.

    Attributes:
        layers: Numbers of the source's layers, from 0.
        hidden_size: Width of token vectors.
        heads: Attention heads.
        intermediate_size: Feed-forward neurons.
    """

    layers: tuple[int, ...]
    hidden_size: int
    heads: int
    intermediate_size: int


def encoder_config(folder: Path) -> PreTrainedConfig:
    """Return the encoder's configuration of a checkpoint or a classifier saved by kit.

    Raises ModelError.
    """
    try:
        with quiet():
            config: PreTrainedConfig = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:
        raise ModelError(f"the configuration in {folder} cannot be read: {first_line(error)}") from error
    return config.encoder_config() if isinstance(config, PooledConfig) else config


def resolve_student(section: StudentSection, source: PreTrainedConfig) -> StudentSection:
    """Return the section of a student with its whole shape filled in.

    Args:
        section: The recipe's section.
        source: Configuration of the encoder that the student is made from.

    Raises:
        RecipeError: The source does not have these layers, or the widths do not fit together.
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
    """Return a smaller copy of a classifier in float32 on the CPU.

    Layers are copied whole. A narrower student gets a part of each weight, selected as set by `init`. Random weights
    come from torch's global generator.

    Args:
        model: The classifier.
        section: Resolved section of the student.

    Raises:
        ModelError: The architecture cannot be made smaller in this way.
    """
    assert isinstance(section.layers, list)
    source = find_layers(model)
    if max(section.layers) >= len(source):
        raise ModelError(f"{max(section.layers)} is not among the {len(source)} layers", key="distill.student.layers")
    with quiet():
        student = _random_student(model, section)
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
        raise ModelError(f"the teacher does not have weights for {missing[0]} of the student", key="distill.student")
    student.load_state_dict({key: weights[key].clone() for key in target})
    return student


def require_shape(section: StudentSection, folder: Path) -> StudentSection:
    """Return the result of `resolve_student` for the classifier or checkpoint in a folder."""
    if section.checkpoint is not None or section.architecture != "transformer":
        return resolve_student(section, PreTrainedConfig())
    return resolve_student(section, encoder_config(folder))


def _shape(section: StudentSection, source: PreTrainedConfig) -> Shape:
    sizes = [getattr(source, name, None) for name in ("num_hidden_layers", *_width_keys(source))]
    if not all(isinstance(size, int) for size in sizes):
        raise RecipeError(
            f"the configuration of a {source.model_type} model does not have the sizes of its layers",
            "name a checkpoint, cnn or bilstm as the student",
            key="distill.student",
        )
    count, width, heads, inner = (int(size or 0) for size in sizes)
    layers = _layers(section.layers, count)
    return Shape(layers, *narrower(section, width, heads, inner=inner))


def narrower(section: StudentSection, width: int, heads: int, inner: int) -> tuple[int, int, int]:
    """Return width, heads and feed-forward neurons of a student.

    Args:
        section: The recipe's section.
        width: Width of the source's token vectors.
        heads: Attention heads of the source.
        inner: Feed-forward neurons of the source.

    Raises:
        RecipeError: The student is larger than its source, or its widths do not fit together.
    """
    head_width = width // heads
    hidden = section.hidden_size or width
    if hidden > width:
        raise RecipeError(
            f"{hidden} is wider than the teacher's {width}", f"use at most {width}", key="distill.student.hidden_size"
        )
    if section.heads is None and hidden % head_width:
        raise RecipeError(
            f"{hidden} cannot be cut into heads of {head_width}, as wide as the teacher's",
            f"use a multiple of {head_width}, or set distill.student.heads with init: random",
            key="distill.student.hidden_size",
        )
    student_heads = section.heads or hidden // head_width
    if hidden % student_heads:
        raise RecipeError(
            f"{hidden} cannot be cut into {student_heads} heads",
            "hidden_size must be a multiple of heads",
            key="distill.student.heads",
        )
    if section.init != "random" and hidden // student_heads != head_width:
        raise RecipeError(
            f"{student_heads} heads of {hidden // student_heads} cannot start from heads of {head_width}",
            f"use {hidden // head_width} heads, or init: random" if not hidden % head_width else "use init: random",
            key="distill.student.heads",
        )
    intermediate = section.intermediate_size or round(inner * hidden / width)
    if intermediate > inner and section.init != "random":
        raise RecipeError(
            f"{intermediate} is more than the teacher's {inner}",
            f"use at most {inner}, or init: random",
            key="distill.student.intermediate_size",
        )
    return hidden, student_heads, intermediate


def _width_keys(config: PreTrainedConfig) -> tuple[str, str, str]:
    """Return `_WIDTH_KEYS` with this configuration's name for the width of feed-forward layers."""
    feed_forward = next((name for name in _FEED_FORWARD_KEYS if hasattr(config, name)), _FEED_FORWARD_KEYS[0])
    return (*_WIDTH_KEYS[:2], feed_forward)


def _layers(wanted: int | list[int] | None, count: int) -> tuple[int, ...]:
    """Return the numbers of a student's layers.

    By default, these are the first half: lower layers have most of the information that a task needs and were trained
    together (Sajjad et al. 2022, arXiv:2004.03844, section 4), and such students follow their teachers more closely
    (benchmarks/LOG.md).

    Args:
        wanted: Numbers of layers from 0, or how many to spread evenly; None for the default.
        count: Layers of the source.

    Raises:
        RecipeError: The source does not have as many layers.
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
            f"{wanted} of the teacher's {count} layers", f"use {count} or fewer", key="distill.student.layers"
        )
    return tuple(spread_evenly(wanted, count))


def last_to_last(number: int, count: int) -> list[int]:
    """Return, for each of `number` layers, the layer of `count` at the same relative depth: 1, 3, 5 for 3 of 6."""
    return [(index + 1) * count // number - 1 for index in range(number)]


def _random_student(model: PreTrainedModel, section: StudentSection) -> PreTrainedModel:
    """Return a model of the classifier's class and the student's shape with random weights."""
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
            setattr(config, name, [value[number] for number in section.layers])  # a setting per layer
    config.num_hidden_layers = len(section.layers)
    sizes = (section.hidden_size, section.heads, section.intermediate_size)
    for name, size in zip(_width_keys(config), sizes, strict=True):
        setattr(config, name, size)


def reorder_labels(model: PreTrainedModel, labels: tuple[str, ...]) -> None:
    """Reorder the rows of a classifier's last layer and its label names.

    Args:
        model: Classifier, which is changed in place.
        labels: The classifier's label names in the new order.
    """
    names = {int(index): str(name) for index, name in (model.config.id2label or {}).items()}
    current = tuple(names[index] for index in sorted(names))
    if current == labels:
        return
    order = [current.index(label) for label in labels]
    layer = [m for m in model.modules() if isinstance(m, nn.Linear) and m.out_features == len(labels)][-1]
    with torch.no_grad():
        layer.weight.copy_(layer.weight[order])
        if layer.bias is not None:
            layer.bias.copy_(layer.bias[order])
    model.config.id2label = dict(enumerate(labels))
    model.config.label2id = {label: index for index, label in enumerate(labels)}
