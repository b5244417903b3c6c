"""The `study` section: a grid of runs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from kit.recipe.section import Name, Section
from kit.recipe.sections.methods import MethodName

_Seed = Annotated[int, Field(ge=0, lt=2**32)]  # as `train.seed`
# Compared unless a study says otherwise: all but `student`, which is the control of `kit distill`.
_COMPARED: tuple[MethodName, ...] = ("finetune", "lora", "probe", "scratch", "tfidf", "distill")


class StudySection(Section):
    """The grid of `kit study`: checkpoints x methods x budgets x seeds."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")] | None = None
    """Name of the study's folder in `runs`; by default `study-` and the name of the recipe file."""
    checkpoints: Annotated[list[Name], Field(min_length=1)] | None = None
    """Pretrained weights to compare; by default `model.checkpoint` alone."""
    methods: Annotated[list[MethodName], Field(min_length=1)] = list(_COMPARED)
    """Methods to compare; of those named by default, translation leaves out what cannot translate. The keys of `train`
    whose defaults depend on the method (learning_rate, epochs, head, contrastive, dropout, freeze_embeddings, average)
    hold for the recipe's own method; the others keep their defaults."""
    budgets: Annotated[list[Annotated[int, Field(ge=2)] | Literal["all"]], Field(min_length=1)] | None = None
    """Labelled examples, or `all`; by default five budgets that double up to `data.budget`."""
    seeds: Annotated[int, Field(ge=1)] | Annotated[list[_Seed], Field(min_length=1)] | None = None
    """How many seeds (0, 1, ...) each cell gets, or which; by default 10 at budgets up to 64, 5 above."""
    keep_models: bool = True
    """Keep the weights of every cell, which a large grid may have no room for."""
    gpus: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of a GPU that a cell needs on a Ray cluster; by default a quarter, a half or all of one, by its weights."""
    max_minutes: Annotated[float, Field(gt=0)] | None = None
    """Start no cell after this time. Cells are run seed by seed, so what is there by then is a whole, coarser study;
    the next start continues."""
