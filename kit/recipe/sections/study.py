"""The `study` section: a grid of runs."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from kit.recipe.section import Name, Section, refuse
from kit.recipe.sections.compression import Step, as_steps
from kit.recipe.sections.methods import MethodName

_Seed = Annotated[int, Field(ge=0, lt=2**32)]  # as `train.seed`
# All methods except `student`, the control of `kit distill`.
_DEFAULT_METHODS: tuple[MethodName, ...] = ("finetune", "lora", "probe", "scratch", "tfidf", "distill")
_KEYS_OF_GRID = {
    "data.budget": "study.budgets",
    "train.seed": "study.seeds",
    "model.checkpoint": "study.checkpoints",
    "model.revision": "study.checkpoints",
    "method": "the key `method` of the variant",
}
_DATA_OF_VARIANTS = ("data.max_length", "data.sampling", "data.validation")
VariantName = Annotated[str, StringConstraints(pattern=r"^([A-Za-z0-9][A-Za-z0-9 ._+-]{0,39})?$")]


class Variant(Section):
    """A named way to a model in a study: a method, or steps on another variant."""

    name: VariantName = ""
    """Name in tables, charts and files: letters, digits, spaces and `. _ + -`. By default the method, or the source
    and the steps."""
    method: MethodName | None = None
    """Method of training, for a variant that is trained."""
    of: VariantName | None = None
    """Variant that this one is made from: the source of `steps`, or the teacher of method distill. A student without
    `of` is taught by the first variant with method finetune."""
    teacher_checkpoint: Name | None = None
    """Checkpoint of the study whose model teaches, for method distill. Each of the other checkpoints is then a student
    that starts from its own weights. By default, the teacher has the student's checkpoint, and the student is a part of
    the teacher."""
    steps: Annotated[list[Step], Field(min_length=1)] | None = None
    """Compression steps, as in `compress.steps`, with the gate of `compress.gate`."""
    set: dict[str, Any] = {}
    """Keys of the recipe that have other values for this variant, such as `{train.epochs: 4}`."""

    @field_validator("steps", mode="before")
    @classmethod
    def _as_steps(cls, value: Any) -> Any:
        """Return the steps that names and short forms stand for."""
        return as_steps(value)

    @model_validator(mode="after")
    def _is_method_or_steps(self) -> Self:
        """Raise ValueError unless the variant is either trained or compressed; fill in the name."""
        steps = self.steps is not None
        refuse({
            "a variant has a method or steps, not both": steps and self.method is not None,
            "a variant needs a method, or steps with `of`": not steps and self.method is None,
            "steps need `of`: the variant to compress": steps and self.of is None,
            "set is for variants with a method; steps have keys of their own: {int8-onnx: {per_channel: false}}": (
                steps and bool(self.set)
            ),
            f"of is for steps and for method distill, not for method {self.method}": (
                not steps and self.of is not None and self.method != "distill"
            ),
            "teacher_checkpoint is for method distill": (
                self.teacher_checkpoint is not None and self.method != "distill"
            ),
            "teacher_checkpoint makes each checkpoint a student; leave distill.student out of set": (
                self.teacher_checkpoint is not None and any(key.startswith("distill.student") for key in self.set)
            ),
            "a variant cannot be made of itself": self.of is not None and self.of == self.name,
        })  # fmt: skip
        if not self.name:
            name = self.method or " ".join([str(self.of), *(step.technique for step in self.steps or [])])
            object.__setattr__(self, "name", name)  # the section is frozen
        return self


class StudySection(Section):
    """The grid of `kit study`: variants x checkpoints x budgets x seeds."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")] | None = None
    """Name of the study's folder in `runs`; by default `study-` and the name of the recipe file."""
    checkpoints: Annotated[list[Name], Field(min_length=1)] | None = None
    """Checkpoints to compare; by default `model.checkpoint` alone."""
    methods: Annotated[list[MethodName], Field(min_length=1)] = list(_DEFAULT_METHODS)
    """Methods to compare; for translation, the default leaves out methods that cannot translate. The keys of `train`
    whose defaults depend on the method (learning_rate, epochs, head, contrastive, dropout, freeze_embeddings, average)
    apply to the recipe's own method; the other methods keep their defaults."""
    variants: Annotated[list[Variant], Field(min_length=1)] | None = None
    """Variants to compare, instead of `methods`: each is the name of a method, or a mapping with the keys of a
    variant."""
    budgets: Annotated[list[Annotated[int, Field(ge=2)] | Literal["all"]], Field(min_length=1)] | None = None
    """Numbers of labelled examples, or `all`; by default five budgets that double up to `data.budget`."""
    seeds: Annotated[int, Field(ge=1)] | Annotated[list[_Seed], Field(min_length=1)] | None = None
    """Number of seeds (0, 1, ...) per variant, checkpoint and budget, or a list of seeds; by default 10 for budgets up
    to 64, otherwise 5."""
    keep_models: bool = True
    """Keep the weights of every cell. A large grid may need more disk space than there is."""
    gpus: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of a GPU that a cell needs on a Ray cluster; by default a quarter, a half or a whole GPU, by the size of
    the weights."""
    max_minutes: Annotated[float, Field(gt=0)] | None = None
    """Start no cell after this many minutes. Cells run seed by seed, so the finished cells are a complete, coarser
    study; the next start continues it."""

    @field_validator("variants", mode="before")
    @classmethod
    def _named_methods(cls, value: Any) -> Any:
        """Return the variants that names of methods stand for."""
        if not isinstance(value, list):
            return value
        return [{"method": variant} if isinstance(variant, str) else variant for variant in value]

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        """Raise ValueError for two lists of variants, and for names that are not unique."""
        counts = Counter(variant.name.lower() for variant in self.variants or [])
        twice = [variant.name for variant in self.variants or [] if counts[variant.name.lower()] > 1]
        # A recipe as plain data has the default methods beside its variants.
        refuse({
            "study.methods and study.variants are both set; write the methods as variants": (
                self.variants is not None and "methods" in self.model_fields_set
                and self.methods != list(_DEFAULT_METHODS)
            ),
            f"study.variants: {len(twice)} variants are named {twice[0] if twice else ''}; rename all but one": (
                bool(twice)
            ),
        })  # fmt: skip
        return self


def refused_in_set(key: str) -> str:
    """Return why a variant cannot set a key; empty for a key that it can set."""
    section = key.partition(".")[0]
    if key in _KEYS_OF_GRID:
        return f"{key} belongs to the grid: use {_KEYS_OF_GRID[key]}"
    if section == "compress":
        return f"{key} has no effect on training: write a variant with `of` and `steps`"
    if section in ("task", "metric", "runs", "study") or (section == "data" and key not in _DATA_OF_VARIANTS):
        return f"{key} is the same for all variants of a study: set it at the top level of the recipe"
    return ""
