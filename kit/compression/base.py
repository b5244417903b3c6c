"""The Technique interface: make a fitted model smaller or faster.

Knows what a technique is given and what it gives back. Knows nothing of any one technique.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Protocol, TypeVar

from kit.errors import ModelError
from kit.methods import Fitted, Job
from kit.models.checkpoints.checkpoint import resolve_checkpoint
from kit.models.saved_kind import Kind, kind_of
from kit.models.translation.seq2seq import start_of
from kit.recipe import Recipe
from kit.recipe.section import Section
from kit.records.record import Record

StepT = TypeVar("StepT", bound=Section)

_WAY_OUT = {
    Kind.HALF: "16 bits come last: compress the run it was made of",
    Kind.QUANTIZED: "compress the run it was made of: quantization comes last",
    Kind.EARLY_EXIT: "early-exit comes last, for nothing else keeps the places where texts leave: take it after this "
    "step, or compress the run it was made of",
    Kind.ONNX: "take this step before onnx, on a classifier of torch",
    Kind.QUANTIZED_ONNX: "compress the run it was made of: quantization comes last",
    Kind.TORCH: "that step is for translators; int8-onnx makes a classifier smaller and faster",
    Kind.TRANSLATOR: "that step is for classifiers; ct2 and int8-onnx make a translator smaller and faster, "
    "vocabulary, int8-torch, nf4-bnb and float16 its file smaller",
    Kind.WARM_TRANSLATOR: "int8-onnx makes it smaller and faster as it is, vocabulary, int8-torch, nf4-bnb and float16 "
    "its file smaller; ct2 takes students with `distill.student.init: random`",
    Kind.CT2: "compress the run it was made of: ct2 comes last",
    Kind.TFIDF: "it is small and fast already; compress a run with a checkpoint",
}

_TRANSLATORS = (Kind.TRANSLATOR, Kind.WARM_TRANSLATOR, Kind.CT2)


class Technique(Protocol):
    """One way to compress. A step is its section in the recipe, see `kit.recipe.sections.compression`."""

    @property
    def takes(self) -> tuple[Kind, ...]:
        """Kinds of models that it works on."""

    @property
    def gives(self) -> Kind:
        """Kind of the model that comes of it; TORCH where it is of the kind that it was, see `kind_after`."""

    def require(self, step: Any, source: Record | None) -> None:
        """Raise ModelError, with the reason and the way out, for what would keep the step from working.

        source: the Record that the chain starts from; None while it is still to be trained.
        """

    def variants(self, step: Any) -> list[Any]:
        """The same step with other settings, to be tried in turn where it costs more than the gate allows."""

    def compress(self, step: Any, source: Record, job: Job) -> Fitted:
        """The compressed model of a source of a kind that it takes.

        job: the source's recipe, task and data; texts and labels are taken from its budget and pool, never from test.
        """


def foreseen_kind(recipe: Recipe) -> Kind:
    """Kind of the model that a recipe's own run will leave. Raises ModelError for a checkpoint that is missing."""
    if recipe.task != "translation":
        return Kind.TFIDF if recipe.method == "tfidf" else Kind.TORCH
    if recipe.method not in ("finetune", "lora") or recipe.model.checkpoint is None:
        return Kind.TRANSLATOR
    folder = resolve_checkpoint(recipe.model).folder
    warm = start_of(folder) == "encoder" or kind_of(folder) is Kind.WARM_TRANSLATOR
    return Kind.WARM_TRANSLATOR if warm else Kind.TRANSLATOR


def kind_after(technique: Technique, kind: Kind) -> Kind:
    """Kind of the model that a technique leaves of one that is of this kind."""
    return kind if technique.gives is Kind.TORCH else technique.gives


def works_first(technique: Technique, kind: Kind, other: Technique) -> bool:
    """Whether a technique can be taken of this kind, and another one of what it leaves."""
    return kind in technique.takes and kind_after(technique, kind) in other.takes


def attempts(technique: Technique, step: Any, source: Record) -> list[Any]:
    """A step, and its other settings that can work on a source."""
    found = [step]
    for other in technique.variants(step):
        with suppress(ModelError):
            technique.require(other, source)
            found.append(other)
    return found


def others(step: StepT, changes: list[dict[str, Any]]) -> list[StepT]:
    """The step with each of these changes to its settings, but those that it has already."""
    changed = [step.model_copy(update=change) for change in changes]
    return [each for each in changed if each != step]


def require_kind(
    technique: str, found: Kind, taken: tuple[Kind, ...], what: str, *, made_of: str | None = None, way_out: str = ""
) -> None:
    """Raise ModelError, with the way out, unless a step takes models of this kind.

    what: the model's name. made_of: the run that compression made it of. way_out: if it is known better than from that.
    """
    if found in taken:
        return
    of_classifiers = found in (Kind.TORCH, Kind.EARLY_EXIT, Kind.TFIDF)
    alike = [kind for kind in taken if kind not in _TRANSLATORS] if of_classifiers else []
    usual = _WAY_OUT.get(found, "")
    if made_of is not None:
        usual = usual.replace("the run it was made of", f"the run it was made of, {made_of}")
    raise ModelError(
        f"{technique}: {what} is {found}; this step works on {' or '.join(alike or taken)}", way_out or usual
    )
