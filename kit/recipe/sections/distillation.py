"""The `distill` section: teacher, student, losses and texts of a distillation."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from kit.recipe.section import InId, Name, Section, refuse

_Layers = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
_Weight = Annotated[float, Field(ge=0)]


def _or_text(schema: dict[str, Any]) -> None:
    """Allow a string, the short form, for a section in the JSON Schema."""
    schema["anyOf"] = [{"type": "string"}, {"$ref": schema.pop("$ref")}]


class StudentSection(Section):
    """Shape and initial weights of the student.

    Short forms: `layers:0,1`, `layers:3`, `width:192`, `cnn`, `bilstm`, or the name of a checkpoint.
    """

    architecture: Literal["transformer", "cnn", "bilstm"] = "transformer"
    """A smaller copy of the teacher, or a convolutional or recurrent network on the tokens of its tokenizer."""
    checkpoint: Annotated[Name | None, InId(unless=("start",))] = None
    """Other pretrained weights, with their own tokenizer, instead of a copy of the teacher."""
    layers: Annotated[int, Field(ge=1)] | _Layers | None = None
    """Layers of the teacher that are copied: their numbers from 0, or how many, spread evenly; by default the first
    half. For a translation model, the layers of its decoder, by default half of them, spread evenly. For a bilstm, its
    number of layers."""
    hidden_size: Annotated[int, Field(ge=2)] | None = None
    """Width of the token vectors, by default the teacher's; number of filters of a cnn or units of a bilstm, by default
    128."""
    heads: Annotated[int, Field(ge=1)] | None = None
    """Number of attention heads; by default as many as keep the width of the teacher's heads."""
    intermediate_size: Annotated[int, Field(ge=2)] | None = None
    """Number of neurons of a feed-forward layer; by default in the teacher's proportion to the width."""
    init: Literal["neurons", "svd", "random"] = "neurons"
    """Initial weights. `neurons` and `svd`: the weights of the teacher, of which a narrower student keeps the most
    important neurons or the principal directions of the token vectors. `random`: random weights."""

    @model_validator(mode="before")
    @classmethod
    def _in_short(cls, value: Any) -> Any:
        """Return the section that a short form stands for."""
        if isinstance(value, dict) and "width" in value:
            raise ValueError("width belongs to the short form (width:192); in a section the key is hidden_size")
        if not isinstance(value, str):
            return value
        kind, colon, rest = value.strip().partition(":")
        if colon and kind in ("cnn", "bilstm"):
            raise ValueError(
                f"{kind} has no short form with a number; write {{architecture: {kind}, hidden_size: {rest}}}"
            )
        if kind == "layers":
            return {"layers": rest}
        if kind == "width":
            return {"hidden_size": rest}
        return {"architecture": value.strip()} if value.strip() in ("cnn", "bilstm") else {"checkpoint": value}

    @field_validator("layers", mode="before")
    @classmethod
    def _layer_numbers(cls, value: Any) -> Any:
        """Return numbers for text such as `0,2,5`, which YAML does not read as a list."""
        if isinstance(value, str) and re.fullmatch(r"\s*\d+(\s*,\s*\d+)*\s*,?\s*", value):
            numbers = [int(number) for number in value.split(",") if number.strip()]
            return numbers if "," in value else numbers[0]
        if isinstance(value, str):
            raise ValueError(f"must be layer numbers (0,1; a single one: 5,) or a number of layers (3), got {value!r}")
        return value

    @field_validator("hidden_size", mode="before")
    @classmethod
    def _whole_number(cls, value: Any) -> Any:
        return int(value) if isinstance(value, str) and value.strip().isdecimal() else value

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        """Raise ValueError with one line per contradiction between keys."""
        shape = {key: getattr(self, key) for key in ("layers", "hidden_size", "heads", "intermediate_size")}
        shape_keys = [key for key, value in shape.items() if value is not None]
        is_transformer = self.architecture == "transformer"
        transformer_keys = {"heads", "intermediate_size"} | ({"layers"} if self.architecture == "cnn" else set())
        idle = [key for key in shape_keys if key in transformer_keys and not is_transformer]
        contradictions = {
            f"distill.student.checkpoint has its own shape; leave distill.student.{', '.join(shape_keys)} out": (
                self.checkpoint is not None and bool(shape_keys)
            ),
            f"distill.student.architecture: {self.architecture} does not start from a checkpoint": (
                not is_transformer and self.checkpoint is not None
            ),
            f"distill.student.{', '.join(idle)}: not available for a {self.architecture}": bool(idle),
            "distill.student.layers contains a layer twice": (
                isinstance(self.layers, list) and len(set(self.layers)) < len(self.layers)
            ),
            "distill.student.layers: a bilstm needs a number of layers": (
                self.architecture == "bilstm" and isinstance(self.layers, list)
            ),
            "distill.student.init: a checkpoint has its own weights; leave it out": (
                self.checkpoint is not None and self.init != "neurons"
            ),
        }
        refuse(contradictions)
        return self

    @property
    def words(self) -> str:
        """Description for people, such as `layers 0, 1 of width 192`."""
        if self.checkpoint is not None:
            return self.checkpoint
        if self.architecture != "transformer":
            return f"{self.architecture} of width {self.hidden_size}"
        numbers = self.layers if isinstance(self.layers, list) else [self.layers]
        start = " with random weights" if self.init == "random" else ""
        width = f" of width {self.hidden_size}" if self.hidden_size is not None else ""
        neurons = f" and {self.intermediate_size} neurons" if self.intermediate_size is not None else ""
        return f"layers {', '.join(map(str, numbers))}{width}{neurons}{start}"


class LossesSection(Section):
    """Weights of the losses, which are added up; `kit.training.losses` has their definitions and sources."""

    logits: _Weight | None = None
    """Kullback-Leibler divergence between the predictions, softened by `distill.temperature` (Hinton et al. 2015); by
    default 1. For regression, the squared error of the predictions. For translation, the divergence between the
    predictions of each target token (word-level, Kim & Rush 2016); by default 0, because the student then needs the
    teacher's target tokens."""
    sequence: _Weight | None = None
    """Cross-entropy on the teacher's translations (sequence-level, Kim & Rush 2016); by default 1. For task
    translation."""
    mse: _Weight = 0.0
    """Mean squared error of the logits."""
    labels: _Weight = 0.0
    """Loss on the labels, or on the reference translations, of the examples that have them."""
    hidden: _Weight = 0.0
    """Mean squared error of the token vectors after each layer, see `distill.layer_map` (TinyBERT)."""
    embeddings: _Weight = 0.0
    """Mean squared error of the token vectors before the first layer (TinyBERT)."""
    cosine: _Weight = 0.0
    """Cosine distance of the token vectors after the last layer (DistilBERT)."""
    relations: _Weight = 0.0
    """Divergence between the self-attention relations of the last layers (MiniLMv2)."""

    @property
    def of_tokens(self) -> list[str]:
        """Names of the losses in use that compare token vectors, which need the teacher's tokenizer and layers."""
        return [name for name in ("hidden", "embeddings", "cosine", "relations") if getattr(self, name)]


class AugmentSection(Section):
    """Augmented texts to distil on: copies in which some words are masked (Tang et al. 2019, arXiv:1903.12136)."""

    copies: Annotated[int, Field(ge=0, le=100)] = 0
    """Number of augmented copies per text."""
    share: Annotated[float, Field(gt=0, lt=1)] = 0.15
    """Share of the words that are replaced."""
    checkpoint: Name | None = None
    """Masked language model that fills in the masked words; by default the mask token stays."""


class DistillSection(Section):
    """A student that learns from the predictions of a teacher, for method distill; method student is its control."""

    teacher: Annotated[Name | Annotated[list[Name], Field(min_length=1)] | None, InId(unless=("teachers",))] = None
    """Folder of a run, checkpoint with a head for these labels, or a list of them, whose probabilities are averaged; by
    default `model.checkpoint`, fine-tuned on the same budget first."""
    student: Annotated[StudentSection, Field(json_schema_extra=_or_text), InId(("distill", "student"))] = (
        StudentSection()
    )
    """Shape and initial weights of the student."""
    losses: LossesSection = LossesSection()
    """Losses between student and teacher, each with its weight."""
    temperature: Annotated[float, Field(gt=0)] | None = None
    """Temperature that softens the predictions of student and teacher in the loss of logits; by default 2, and 1 for
    translation."""
    layer_map: _Layers | None = None
    """For each layer of the student, the layer of the teacher to match; by default spread evenly, the last to the
    last."""
    relation_heads: Annotated[int, Field(ge=1)] | None = None
    """Number of heads that the vectors of self-attention are split into for the loss of relations; by default the
    number of the teacher's heads."""
    pool: Annotated[Annotated[int, Field(ge=0)] | None, InId(unless=("texts",))] = None
    """Number of texts of the pool to distil on, in addition to those of the budget; by default all."""
    texts: Annotated[Name | Annotated[list[Name], Field(min_length=1)] | None, InId(unless=("texts",))] = None
    """File(s) with more texts, without labels: one text per line (.txt), or tables with the column(s) `data.text`."""
    sentences: Annotated[int, Field(ge=1)] | None = None
    """Number of sentences to distil on instead of the texts in these files, for files with longer texts. The sentences
    are drawn at random from those that are as long as the texts of the data."""
    augment: AugmentSection = AugmentSection()
    """Augmented copies of all these texts."""

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        """Raise ValueError with one line per contradiction between keys."""
        losses, token_losses = self.losses, self.losses.of_tokens
        names = ", ".join(token_losses)
        has_several_teachers = isinstance(self.teacher, list) and len(self.teacher) > 1
        has_teacher_loss = losses.logits is None or losses.logits or losses.sequence or losses.mse or token_losses
        contradictions = {
            "distill.losses: the student must learn from its teacher; give logits a weight": not has_teacher_loss,
            f"distill.losses.{names}: a {self.student.architecture} has no layers like the teacher's; use logits": (
                bool(token_losses) and self.student.architecture != "transformer"
            ),
            f"distill.losses.{names}: several teachers have no token vectors in common; use logits": (
                bool(token_losses) and has_several_teachers
            ),
            "distill.layer_map has no effect: distill.losses.hidden has no weight": (
                self.layer_map is not None and not token_losses  # resolved recipes have it with each of them
            ),
            "distill.relation_heads has no effect: distill.losses.relations has no weight": (
                self.relation_heads is not None and not self.losses.relations
            ),
            "distill.sentences needs distill.texts": (self.sentences is not None and self.texts is None),
            "distill.augment.checkpoint needs distill.augment.copies": (
                self.augment.checkpoint is not None and not self.augment.copies
            ),
        }
        refuse(contradictions)
        return self
