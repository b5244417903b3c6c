"""The `distill` section: who teaches, what the student looks like, on which texts and by which losses.

Knows types, ranges and defaults, and which keys of the section contradict each other. Knows nothing of models.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from kit.recipe.section import Name, Section, refuse

_Layers = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
_Weight = Annotated[float, Field(ge=0)]


def _or_text(schema: dict[str, Any]) -> None:
    """Tell editors that a section has a short form."""
    schema["anyOf"] = [{"type": "string"}, {"$ref": schema.pop("$ref")}]


class StudentSection(Section):
    """The student. In short: `layers:0,1`, `layers:3`, `width:192`, `cnn`, `bilstm`, or the name of a checkpoint."""

    architecture: Literal["transformer", "cnn", "bilstm"] = "transformer"
    """A smaller copy of the teacher, or a convolutional or recurrent network over its tokenizer."""
    checkpoint: Name | None = None
    """Other pretrained weights, with their own tokenizer, in place of a copy of the teacher."""
    layers: Annotated[int, Field(ge=1)] | _Layers | None = None
    """Layers of the teacher that are copied: their numbers from 0, or how many, spread evenly; by default the first
    half of them. Of a translator, layers of its decoder. Of a bilstm, how many it has."""
    hidden_size: Annotated[int, Field(ge=2)] | None = None
    """Width of the token vectors (of a cnn its filters, of a bilstm its units); by default the teacher's (128)."""
    heads: Annotated[int, Field(ge=1)] | None = None
    """Attention heads; by default as many as keep the teacher's width of a head."""
    intermediate_size: Annotated[int, Field(ge=2)] | None = None
    """Neurons of a feed-forward layer; by default in the teacher's proportion to the width."""
    init: Literal["neurons", "svd", "random"] = "neurons"
    """Start from the teacher's weights, where a narrower student keeps the most important neurons or the principal
    directions (`svd`) of the token vectors, or from random ones."""

    @model_validator(mode="before")
    @classmethod
    def _in_short(cls, value: Any) -> Any:
        """The sections that the short forms stand for."""
        if isinstance(value, dict) and "width" in value:
            raise ValueError("width is for the short form, width:192; in a section it is called hidden_size")
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
    def _listed(cls, value: Any) -> Any:
        """`0,2,5` is what YAML and command lines make of a list."""
        if isinstance(value, str) and re.fullmatch(r"\s*\d+(\s*,\s*\d+)*\s*,?\s*", value):
            numbers = [int(number) for number in value.split(",") if number.strip()]
            return numbers if "," in value else numbers[0]
        if isinstance(value, str):
            raise ValueError(f"give numbers as in 0,1 (one layer alone: 5,), or how many as in 3; got {value!r}")
        return value

    @field_validator("hidden_size", mode="before")
    @classmethod
    def _number(cls, value: Any) -> Any:
        return int(value) if isinstance(value, str) and value.strip().isdecimal() else value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        """Raises ValueError with one line for every two keys that contradict each other."""
        shape = {key: getattr(self, key) for key in ("layers", "hidden_size", "heads", "intermediate_size")}
        given = [key for key, value in shape.items() if value is not None]
        small = self.architecture != "transformer"
        transformers_only = {"heads", "intermediate_size"} | ({"layers"} if self.architecture == "cnn" else set())
        idle = [key for key in given if key in transformers_only]
        contradictions = {
            f"distill.student.checkpoint has a shape of its own; drop distill.student.{(given or ['layers'])[0]}": (
                self.checkpoint is not None and bool(given)
            ),
            f"distill.student.architecture: {self.architecture} does not start from a checkpoint": (
                small and self.checkpoint is not None
            ),
            f"distill.student.{(idle or [''])[0]}: a {self.architecture} has none": small and bool(idle),
            "distill.student.layers names a layer twice": (
                isinstance(self.layers, list) and len(set(self.layers)) < len(self.layers)
            ),
            "distill.student.layers: of a bilstm give how many": (
                self.architecture == "bilstm" and isinstance(self.layers, list)
            ),
            "distill.student.init: a checkpoint has its own weights; drop it": (
                self.checkpoint is not None and self.init != "neurons"
            ),
        }
        refuse(contradictions)
        return self

    @property
    def words(self) -> str:
        """What it is, for people."""
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
    """Weights of the losses that are added up. See `kit.training.losses` for each and its source."""

    logits: _Weight | None = None
    """Of the softened answers: Kullback-Leibler divergence at `distill.temperature` (Hinton et al. 2015), by default 1.
    Of a translator, of the next token at each place of the lessons (word-level, Kim & Rush 2016), by default 0: its
    student must write with the teacher's tokens."""
    sequence: _Weight | None = None
    """Of the teacher's own translations (sequence-level, Kim & Rush 2016), by default 1; for task translation."""
    mse: _Weight = 0.0
    """Of the logits: mean squared error."""
    labels: _Weight = 0.0
    """Of the true labels, or of references, on the examples that have them."""
    hidden: _Weight = 0.0
    """Of the token vectors of every layer, see `distill.layer_map`: mean squared error (TinyBERT)."""
    embeddings: _Weight = 0.0
    """Of the token vectors before the first layer: mean squared error (TinyBERT)."""
    cosine: _Weight = 0.0
    """Of the directions of the last layer's token vectors (DistilBERT)."""
    relations: _Weight = 0.0
    """Of the last layer's self-attention relations (MiniLM v2)."""

    @property
    def of_tokens(self) -> list[str]:
        """Those in use that compare token vectors: they need the teacher's tokenizer and its layers."""
        return [name for name in ("hidden", "embeddings", "cosine", "relations") if getattr(self, name)]


class AugmentSection(Section):
    """More texts to distil on: copies in which some words are masked (Tang et al. 2019, arXiv:1903.12136)."""

    copies: Annotated[int, Field(ge=0, le=100)] = 0
    """Changed copies of every text."""
    share: Annotated[float, Field(gt=0, lt=1)] = 0.15
    """Share of the words that are replaced."""
    checkpoint: Name | None = None
    """A masked language model that says what stands in place of a masked word; without it, the mask stays."""


class DistillSection(Section):
    """A student that learns from a teacher's answers, used when `method` is distill (student: without the teacher)."""

    teacher: Name | Annotated[list[Name], Field(min_length=1)] | None = None
    """Folder of a run, or a checkpoint with a head for these labels, or several, whose probabilities are averaged; by
    default `model.checkpoint` is fine-tuned on the same budget first."""
    student: Annotated[StudentSection, Field(json_schema_extra=_or_text)] = StudentSection()
    """What the student looks like."""
    losses: LossesSection = LossesSection()
    """What the student is to match, each with its weight."""
    temperature: Annotated[float, Field(gt=0)] | None = None
    """Softens both sides' answers in the loss of logits; by default 2, of a translator 1."""
    layer_map: _Layers | None = None
    """Layer of the teacher that each layer of the student is to match; by default spread evenly, last to last."""
    relation_heads: Annotated[int, Field(ge=1)] | None = None
    """Into how many heads the vectors of self-attention are cut for the loss of relations; by default the teacher's."""
    pool: Annotated[int, Field(ge=0)] | None = None
    """Texts of the pool that are distilled on besides the budget's; all of them, if absent."""
    texts: Name | Annotated[list[Name], Field(min_length=1)] | None = None
    """File(s) with more texts, without labels: one a line (.txt), or tables with the column(s) `data.text`."""
    sentences: Annotated[int, Field(ge=1)] | None = None
    """Take so many sentences of these files' texts in place of the texts, drawn at random from those that are as long
    as the data's texts: for files of longer texts."""
    augment: AugmentSection = AugmentSection()
    """Changed copies of all these texts."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        """Raises ValueError with one line for every two keys that contradict each other."""
        token_losses = self.losses.of_tokens
        first = (token_losses or [""])[0]
        several = isinstance(self.teacher, list) and len(self.teacher) > 1
        losses = self.losses
        taught = losses.logits is None or losses.logits or losses.sequence or losses.mse or token_losses
        contradictions = {
            "distill.losses: the student must match something of the teacher's; give a weight to logits": not taught,
            f"distill.losses.{first}: a {self.student.architecture} has no layers like the teacher's; use logits": (
                bool(token_losses) and self.student.architecture != "transformer"
            ),
            f"distill.losses.{first}: several teachers have no token vectors in common; use logits": (
                bool(token_losses) and several
            ),
            "distill.layer_map is for distill.losses.hidden, which has no weight": (
                self.layer_map is not None and not token_losses  # resolved recipes have it with each of them
            ),
            "distill.relation_heads is for distill.losses.relations, which has no weight": (
                self.relation_heads is not None and not self.losses.relations
            ),
            "distill.sentences are those of distill.texts, which is absent": (
                self.sentences is not None and self.texts is None
            ),
            "distill.augment.checkpoint needs distill.augment.copies": (
                self.augment.checkpoint is not None and not self.augment.copies
            ),
        }
        refuse(contradictions)
        return self

    def resolved(self, translates: bool) -> DistillSection:
        """The section with the weights and the temperature that follow from whether the student translates."""
        losses, temperature = self.losses, self.temperature
        logits = (0.0 if translates else 1.0) if losses.logits is None else losses.logits
        sequence = 1.0 if translates and losses.sequence is None else losses.sequence
        if temperature is None and not translates:
            temperature = 2.0
        elif temperature is None and logits:
            temperature = 1.0
        filled = {"losses": losses.model_copy(update={"logits": logits, "sequence": sequence})}
        return self.model_copy(update={**filled, "temperature": temperature})
