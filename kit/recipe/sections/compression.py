"""The `compress` section: steps that make a fitted model smaller and faster, and limits on their loss of quality."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from kit.recipe.section import Name, Section
from kit.recipe.value_words import requirement

_Share = Annotated[float, Field(gt=0, le=1)]
_SHOWN = 60  # characters of a value in a message


class _Step(Section):
    """A step of compression."""

    @model_serializer(mode="wrap")
    def _named(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Return the content with the technique, even if defaults are excluded."""
        content: dict[str, Any] = serialize(self)
        return content if "technique" in content else {"technique": self.technique, **content}  # type: ignore[attr-defined]


class VocabularyStep(_Step):
    """An embedding matrix with only the tokens that the texts of the task use, and a tokenizer to match."""

    technique: Literal["vocabulary"] = "vocabulary"
    """Removal of unused tokens."""
    max_size: Annotated[int, Field(ge=1)] | None = None
    """Maximum number of tokens to keep, the most frequent first; by default all tokens that training examples and
    pool use, and for translation the references of the training examples."""


class PruneStep(_Step):
    """Removal of the least important attention heads and neurons, and recovery with the whole model as teacher."""

    technique: Literal["prune"] = "prune"
    """Removal of attention heads and neurons."""
    heads: Annotated[float, Field(ge=0, lt=1)] = 0.25
    """Share of the attention heads to remove."""
    neurons: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Share of the feed-forward neurons to remove."""
    epochs: Annotated[float, Field(ge=0)] = 1.0
    """Passes over training examples and pool to recover; 0 skips the recovery."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 1.0e-4
    """Peak learning rate of the recovery."""

    @model_validator(mode="after")
    def _removes(self) -> Self:
        """Raise ValueError if nothing is to be removed."""
        if not self.heads and not self.neurons:
            raise ValueError("prune removes nothing: set heads or neurons to a share above 0")
        return self


class EarlyExitStep(_Step):
    """A small classifier after each block: a text exits at the first classifier that is confident enough."""

    technique: Literal["early-exit"] = "early-exit"
    """Early exit from the encoder for most texts."""
    retained: _Share = 0.99
    """Minimum share of the last classifier's main metric on the validation examples, less one standard error. The
    lowest threshold is chosen from which on all thresholds reach it."""
    threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    """Confidence above which a text exits: the largest probability, or with several labels that of the least certain
    label. With 1, no text exits early. By default chosen by `retained`."""


class GreedyStep(_Step):
    """Greedy decoding of a translation model instead of beam search: the same weights in less time."""

    technique: Literal["greedy"] = "greedy"
    """Greedy decoding."""


class OnnxStep(_Step):
    """A graph for ONNX Runtime with the same weights in float32."""

    technique: Literal["onnx"] = "onnx"
    """ONNX Runtime in float32."""


class _QuantizedStep(_Step):
    """A step that quantizes weights for arithmetic with few bits."""

    aware: Annotated[float, Field(ge=0)] = 0.0
    """Passes over training examples and pool of quantization-aware training of a classifier before it is quantized; 0
    quantizes it as it is."""


class Int8OnnxStep(_QuantizedStep):
    """Weights in 8 bits for ONNX Runtime, with activations quantized dynamically or by calibration."""

    technique: Literal["int8-onnx"] = "int8-onnx"
    """ONNX Runtime in 8 bits."""
    calibration: Literal["dynamic", "static"] = "dynamic"
    """Ranges of activations: `dynamic`, computed for each batch, or `static`, fixed beforehand on training
    examples."""
    per_channel: bool = True
    """Use one scale per column of a weight matrix instead of one scale per matrix."""
    weights: Literal["int8", "uint8"] = "int8"
    """Signed or unsigned weights."""
    embeddings: Literal["int8", "int4", "float32"] = "int8"
    """Format of the embedding matrix; int4 has one scale per 128 numbers of a row."""


class Int4OnnxStep(_QuantizedStep):
    """Weights and embedding matrix in 4 bits for ONNX Runtime, with activations dynamically quantized to 8 bits."""

    technique: Literal["int4-onnx"] = "int4-onnx"
    """ONNX Runtime in 4 bits."""
    block: Literal[16, 32, 64, 128] = 32
    """Number of weights that share a scale: smaller blocks are more exact and make a larger file."""


class Ct2Step(_Step):
    """A translation model for CTranslate2, which supports translation only and decodes faster."""

    technique: Literal["ct2"] = "ct2"
    """CTranslate2."""
    quantization: Literal["int8", "int8_float32", "int16", "float16", "bfloat16", "float32"] = "int8"
    """Format in which weights are stored and multiplied; a processor without that arithmetic uses the next format that
    it supports."""


class Int8TorchStep(_QuantizedStep):
    """Linear layers in 8 bits by torchao."""

    technique: Literal["int8-torch"] = "int8-torch"
    """Linear layers in 8 bits by torchao."""
    activations: bool = False
    """Quantize activations dynamically too, not only weights."""


class BitsAndBytesStep(_Step):
    """Linear layers in 8 bits (LLM.int8) or 4 bits (nf4) by bitsandbytes."""

    technique: Literal["int8-bnb", "nf4-bnb"]
    """Linear layers in 8 bits (LLM.int8) or 4 bits (nf4) by bitsandbytes."""


class HalfStep(_Step):
    """Weights stored in 16 bits and computed in float32: half the file size, the same speed."""

    technique: Literal["float16", "bfloat16"]
    """Format of the file: float16 is more precise, bfloat16 never overflows."""


Step = (
    VocabularyStep
    | PruneStep
    | EarlyExitStep
    | GreedyStep
    | OnnxStep
    | Int8OnnxStep
    | Int4OnnxStep
    | Ct2Step
    | Int8TorchStep
    | BitsAndBytesStep
    | HalfStep
)


class GateSection(Section):
    """Limits on the loss of quality.

    A step that exceeds a limit is undone, and the chain continues without it.
    """

    retained: _Share | None = 0.99
    """Minimum share of the main metric on the validation examples, relative to the model that the chain starts from.
    One example may always be lost, even if that is a larger share. Null sets no limit."""
    agreement: _Share | None = None
    """Minimum share of unseen texts (a fifth of the pool, at most 1,000) with the same prediction as the model that the
    chain starts from. Null sets no limit."""
    worst_class: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Maximum loss of recall of any class on the validation examples, relative to the model that the chain starts from:
    0.05 allows a class to fall from 80 to 75 %. One example per class may always be lost. Null sets no limit; the
    largest loss is reported in any case."""


class CompressSection(Section):
    """Steps that make a fitted model smaller and faster, for `kit compress`; each step gives a Record."""

    source: Name | None = None
    """Folder of the run to compress; by default the run of the recipe, which is trained first."""
    steps: Annotated[list[Step], Field(min_length=1)] = [VocabularyStep(), Int8OnnxStep()]
    """Techniques in order, each by its name or as {name: {key: value}}."""
    gate: GateSection = GateSection()
    """Limits on the loss of quality by a step; null sets no limit."""

    @field_validator("gate", mode="before")
    @classmethod
    def _without_limit(cls, value: Any) -> Any:
        """Return a gate without limits for null."""
        return GateSection(retained=None) if value is None else value

    @field_validator("steps", mode="before")
    @classmethod
    def _steps(cls, value: Any) -> Any:
        """Return the steps that names and short forms stand for."""
        return as_steps(value)

    @field_validator("steps")
    @classmethod
    def _once(cls, steps: list[Step]) -> list[Step]:
        """Raise ValueError for a second vocabulary step, which would have nothing to remove."""
        if sum(isinstance(step, VocabularyStep) for step in steps) > 1:
            raise ValueError("vocabulary is given twice: the second one would have nothing to remove")
        return steps


def as_steps(value: Any) -> Any:
    """Return the steps that names and short forms stand for.

    A short form is a mapping such as `{int8-onnx: {per_channel: false}}`.

    Raises ValueError for an unknown technique or key, and for an invalid value.
    """
    if isinstance(value, str):
        value = [name.strip() for name in value.split(",") if name.strip()]
    if not isinstance(value, list):
        return value
    return [_step(step) for step in value]


def _step(step: Any) -> Any:
    """Return the section of a step.

    Raises ValueError for an unknown technique or key, and for an invalid value.
    """
    if isinstance(step, _Step):
        return step
    keys = _keys_of(step)
    name = keys.get("technique")
    if name not in TECHNIQUES:
        raise ValueError(f"{name} is not a technique; techniques are {', '.join(TECHNIQUES)}")
    try:
        return TECHNIQUES[name].model_validate(keys)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        keys_of_step = ", ".join(key for key in TECHNIQUES[name].model_fields if key != "technique")
        if first["type"] == "extra_forbidden":
            raise ValueError(f"{key} is not a key of {name}; its keys are {keys_of_step or 'none'}") from None
        if not key:
            raise ValueError(str(first["ctx"]["error"])) from None
        if first["type"] == "value_error":
            raise ValueError(f"{key} of {name}: {first['ctx']['error']}") from None
        raise ValueError(f"{key} of {name} {requirement(first)}, got {str(first['input'])[:_SHOWN]}") from None


def _keys_of(step: Any) -> dict[str, Any]:
    """Return the keys of a step, its technique included, from any form that a step can have."""
    if isinstance(step, str):
        return {"technique": step}
    if not isinstance(step, dict):
        raise ValueError(f"a step is a name, or {{name: {{key: value}}}}, got {step}")
    if "technique" in step:
        return step
    if len(step) != 1:
        raise ValueError(f"each step is an item of the list: [{', '.join(f'{{{name}: ...}}' for name in step)}]")
    [(name, keys)] = step.items()
    if keys is not None and not isinstance(keys, dict):
        raise ValueError(f"{name} needs keys with values, as in {{{name}: {{key: value}}}}, got {keys}")
    return {"technique": name, **(keys or {})}


TECHNIQUES: dict[str, type[Section]] = {
    str(name): kind for kind in get_args(Step) for name in get_args(kind.model_fields["technique"].annotation)
}
"""Sections of the steps by technique."""
