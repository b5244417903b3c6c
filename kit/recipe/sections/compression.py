"""The `compress` section: which steps make a fitted model smaller and faster, and what they may cost.

Knows types, ranges and defaults. Knows nothing of models.
"""

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
    """What all steps have."""

    @model_serializer(mode="wrap")
    def _named(self, given: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A step is its name, even where only what is no default is asked for."""
        content: dict[str, Any] = given(self)
        return content if "technique" in content else {"technique": self.technique, **content}  # type: ignore[attr-defined]


class VocabularyStep(_Step):
    """Keep the rows of the embedding matrix that the task's texts use, and a tokenizer to match."""

    technique: Literal["vocabulary"] = "vocabulary"
    """Fewer tokens."""
    max_size: Annotated[int, Field(ge=1)] | None = None
    """Most tokens to keep, the most frequent first; by default all that the texts of budget and pool use, and of a
    translator the references of the budget."""


class PruneStep(_Step):
    """Remove the attention heads and feed-forward neurons that matter least, then recover with the model as teacher."""

    technique: Literal["prune"] = "prune"
    """Fewer heads and neurons."""
    heads: Annotated[float, Field(ge=0, lt=1)] = 0.25
    """Share of all attention heads that is removed."""
    neurons: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Share of all feed-forward neurons that is removed."""
    epochs: Annotated[float, Field(ge=0)] = 1.0
    """Passes over budget and pool to recover; 0 leaves the model as pruning left it."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 1.0e-4
    """Peak rate of the recovery."""

    @model_validator(mode="after")
    def _removes(self) -> Self:
        """Raises ValueError if there is nothing to remove."""
        if not self.heads and not self.neurons:
            raise ValueError("prune removes nothing: give heads or neurons a share above 0")
        return self


class EarlyExitStep(_Step):
    """A small classifier behind each block: a text leaves behind the first that is sure enough."""

    technique: Literal["early-exit"] = "early-exit"
    """Fewer blocks for most texts."""
    retained: _Share = 0.99
    """Share of the last classifier's main metric on the validation examples to keep, by a standard error; the lowest
    threshold from which on all do is taken."""
    threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    """Confidence (the largest probability; of several labels, that of the least sure one) above which a text leaves; 1
    lets none leave. By default chosen by `retained`."""


class OnnxStep(_Step):
    """The same weights for ONNX Runtime, in float32."""

    technique: Literal["onnx"] = "onnx"
    """A graph in float32."""


class _Rounding(_Step):
    """What every step that rounds weights for arithmetic in few bits has."""

    aware: Annotated[float, Field(ge=0)] = 0.0
    """Passes over budget and pool in which a classifier learns with its rounding simulated, before it is rounded; 0
    rounds it as it is."""


class Int8OnnxStep(_Rounding):
    """Weights in 8 bits for ONNX Runtime, activations rounded as they come, or by a calibration."""

    technique: Literal["int8-onnx"] = "int8-onnx"
    """A graph in 8 bits."""
    calibration: Literal["dynamic", "static"] = "dynamic"
    """Ranges of activations: of each batch as it comes, or fixed beforehand on texts of the budget."""
    per_channel: bool = True
    """A scale for every column of a weight matrix rather than one for all of it."""
    weights: Literal["int8", "uint8"] = "int8"
    """Signed or unsigned weights."""
    embeddings: Literal["int8", "int4", "float32"] = "int8"
    """How the table of embeddings is stored; int4 has a scale for each 128 numbers of a row."""


class Int4OnnxStep(_Rounding):
    """Weights and the table of embeddings in 4 bits for ONNX Runtime, activations in 8 bits as they come."""

    technique: Literal["int4-onnx"] = "int4-onnx"
    """A graph in 4 bits."""
    block: Literal[16, 32, 64, 128] = 32
    """Weights that share a scale: fewer are more exact, and a larger file."""


class Ct2Step(_Step):
    """A translator for CTranslate2, which only translates, and does that faster."""

    technique: Literal["ct2"] = "ct2"
    """The format of CTranslate2."""
    quantization: Literal["int8", "int8_float32", "int16", "float16", "bfloat16", "float32"] = "int8"
    """How weights are stored and multiplied; a processor without arithmetic of that kind takes the next that it has."""


class Int8TorchStep(_Rounding):
    """Linear layers in 8 bits by torchao."""

    technique: Literal["int8-torch"] = "int8-torch"
    """Linear layers in 8 bits, by torchao."""
    activations: bool = False
    """Round activations too (dynamic), rather than weights alone."""


class BitsAndBytesStep(_Step):
    """Linear layers in 8 bits, or in 4 by nf4, by bitsandbytes."""

    technique: Literal["int8-bnb", "nf4-bnb"]
    """8 bits (LLM.int8), or 4 (nf4)."""


class HalfStep(_Step):
    """Weights stored in 16 bits and computed in float32: half the file, the same speed."""

    technique: Literal["float16", "bfloat16"]
    """The format of the file: float16 rounds finer, bfloat16 never overflows."""


Step = (
    VocabularyStep
    | PruneStep
    | EarlyExitStep
    | OnnxStep
    | Int8OnnxStep
    | Int4OnnxStep
    | Ct2Step
    | Int8TorchStep
    | BitsAndBytesStep
    | HalfStep
)


class GateSection(Section):
    """What a step may cost at most; one that costs more is undone and the chain goes on without it."""

    retained: _Share | None = 0.99
    """Main metric on the validation examples, against the model that the chain starts from; one example may always be
    lost, which is more than this where they are few. Null does not ask."""
    agreement: _Share | None = None
    """Share of texts that no step sees (a fifth of the pool, 1,000 at most) that are answered as by the model that the
    chain starts from. Null does not ask."""
    worst_class: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Largest loss of recall of any class on the validation examples, against the model that the chain starts from:
    0.05 allows a class to fall from 80 to 75 %. One example of each class may always be lost. Null sets no limit; the
    largest loss is reported anyway."""


class CompressSection(Section):
    """Steps that make a fitted model smaller and faster, each a Record of its own, used by `kit compress`."""

    source: Name | None = None
    """Folder of the run to compress; by default the recipe's own run, made first."""
    steps: Annotated[list[Step], Field(min_length=1)] = [VocabularyStep(), Int8OnnxStep()]
    """Techniques in order, each by its name or as {name: {key: value}}."""
    gate: GateSection = GateSection()
    """What a step may cost; null lets every step stay."""

    @field_validator("gate", mode="before")
    @classmethod
    def _open(cls, value: Any) -> Any:
        """`gate: null` asks for nothing."""
        return GateSection(retained=None) if value is None else value

    @field_validator("steps", mode="before")
    @classmethod
    def _in_short(cls, value: Any) -> Any:
        """`int8-onnx` and `{int8-onnx: {per_channel: false}}` for what they stand for."""
        if isinstance(value, str):
            value = [name.strip() for name in value.split(",") if name.strip()]
        if not isinstance(value, list):
            return value
        return [_parsed(step) for step in value]

    @field_validator("steps")
    @classmethod
    def _once(cls, steps: list[Step]) -> list[Step]:
        """Raises ValueError for a second vocabulary, which would find nothing to remove."""
        if sum(isinstance(step, VocabularyStep) for step in steps) > 1:
            raise ValueError("vocabulary is named twice: the second would find nothing left to remove")
        return steps


def _parsed(step: Any) -> Any:
    """Return the section of a step. Raises ValueError, in words, for a technique, a key or a value that cannot be."""
    if isinstance(step, _Step):
        return step
    keys = _keys_of(step)
    name = keys.get("technique")
    if name not in TECHNIQUES:
        raise ValueError(f"there is no technique {name}; there are {', '.join(TECHNIQUES)}")
    try:
        return TECHNIQUES[name].model_validate(keys)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        known = ", ".join(key for key in TECHNIQUES[name].model_fields if key != "technique")
        if first["type"] == "extra_forbidden":
            raise ValueError(f"{name} has no key {key}; it has {known or 'none'}") from None
        if not key:
            raise ValueError(str(first["ctx"]["error"])) from None
        if first["type"] == "value_error":
            raise ValueError(f"{key} of {name}: {first['ctx']['error']}") from None
        raise ValueError(f"{key} of {name} {requirement(first)}, got {str(first['input'])[:_SHOWN]}") from None


def _keys_of(step: Any) -> dict[str, Any]:
    """A step's keys, its technique among them, of any form that a step has."""
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
        raise ValueError(f"{name} takes keys and values, as in {{{name}: {{key: value}}}}, got {keys}")
    return {"technique": name, **(keys or {})}


TECHNIQUES: dict[str, type[Section]] = {
    str(name): kind for kind in get_args(Step) for name in get_args(kind.model_fields["technique"].annotation)
}
"""Sections by the name of their technique."""
