"""The `study` section: a grid of runs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from kit.recipe.section import Name, Section
from kit.recipe.sections.methods import MethodName

_Seed = Annotated[int, Field(ge=0, lt=2**32)]  # as `train.seed`
# All methods except `student`, the control of `kit distill`.
_DEFAULT_METHODS: tuple[MethodName, ...] = ("finetune", "lora", "probe", "scratch", "tfidf", "distill")


class StudySection(Section):
    """The grid of `kit study`: checkpoints x methods x budgets x seeds."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")] | None = None
    """Name of the study's folder in `runs`; by default `study-` and the name of the recipe file."""
    checkpoints: Annotated[list[Name], Field(min_length=1)] | None = None
    """Checkpoints to compare; by default `model.checkpoint` alone."""
    methods: Annotated[list[MethodName], Field(min_length=1)] = list(_DEFAULT_METHODS)
    """Methods to compare; for translation, the default leaves out methods that cannot translate. The keys of `train`
    whose defaults depend on the method (learning_rate, epochs, head, contrastive, dropout, freeze_embeddings, average)
    apply to the recipe's own method; the other methods keep their defaults."""
    budgets: Annotated[list[Annotated[int, Field(ge=2)] | Literal["all"]], Field(min_length=1)] | None = None
    """Numbers of labelled examples, or `all`; by default five budgets that double up to `data.budget`."""
    seeds: Annotated[int, Field(ge=1)] | Annotated[list[_Seed], Field(min_length=1)] | None = None
    """Number of seeds (0, 1, ...) per method, checkpoint and budget, or a list of seeds; by default 10 for budgets up
    to 64, otherwise 5."""
    keep_models: bool = True
    """Keep the weights of every cell. A large grid may need more disk space than there is."""
    gpus: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of a GPU that a cell needs on a Ray cluster; by default a quarter, a half or a whole GPU, by the size of
    the weights."""
    max_minutes: Annotated[float, Field(gt=0)] | None = None
    """Start no cell after this many minutes. Cells run seed by seed, so the finished cells are a complete, coarser
    study; the next start continues it."""
