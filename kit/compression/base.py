"""The Technique interface, and the checks of the kind of model that a technique applies to."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Protocol, TypeVar

from kit.errors import ModelError
from kit.methods import Fitted, Job
from kit.models.kinds.form import Form
from kit.recipe.section import Section
from kit.records.record import Record

StepT = TypeVar("StepT", bound=Section)

_WAY_OUT = {
    Form.HALF: "16 bits come last: compress the run it was made of",
    Form.QUANTIZED: "compress the run it was made of: quantization comes last",
    Form.EARLY_EXIT: "early-exit comes last, because no other step preserves the exits: apply it after this step, or "
    "compress the run it was made of",
    Form.ONNX: "apply this step before onnx",
    Form.QUANTIZED_ONNX: "compress the run it was made of: quantization comes last",
    Form.TORCH: "that step is for translators; int8-onnx makes a classifier smaller and faster",
    Form.TRANSLATOR: "that step is for classifiers; ct2 and int8-onnx make a translator smaller and faster; "
    "vocabulary, int8-torch, nf4-bnb and float16 make its file smaller",
    Form.WARM_TRANSLATOR: "int8-onnx makes it smaller and faster; vocabulary, int8-torch, nf4-bnb and float16 make its "
    "file smaller; ct2 supports students with `distill.student.init: random`",
    Form.CT2: "compress the run it was made of: ct2 comes last",
    Form.TFIDF: "it is small and fast already; compress a run with a checkpoint",
}

_TRANSLATORS = (Form.TRANSLATOR, Form.WARM_TRANSLATOR, Form.CT2)


class Technique(Protocol):
    """A way to compress a model, with settings from a step, its section in `kit.recipe.sections.compression`."""

    @property
    def takes(self) -> tuple[Form, ...]:
        """Kinds of models that the technique applies to."""

    @property
    def gives(self) -> Form:
        """Form of the compressed model; TORCH if the technique preserves the kind, see `form_after`."""

    def require(self, step: Any, source: Record | None) -> None:
        """Check the packages and properties of the model that the step requires.

        Args:
            step: Recipe section of the step.
            source: Record that the chain starts from; None if it is not yet trained.

        Raises:
            ModelError: The step cannot work; with the reason and the way out.
        """

    def variants(self, step: Any) -> list[Any]:
        """Return gentler settings of the step, to be tried in turn if it loses more than the gate allows."""

    def compress(self, step: Any, source: Record, job: Job) -> Fitted:
        """Compress the model of a Record.

        Args:
            step: Recipe section of the step.
            source: Record with a model of one of the kinds in `takes`.
            job: Recipe, task and data of the source. Only texts and labels of its budget and pool are used, never those
                of the test split.
        """


def form_after(technique: Technique, kind: Form) -> Form:
    """Return the kind of the model after a technique is applied to a model of this kind."""
    return kind if technique.gives is Form.TORCH else technique.gives


def works_first(technique: Technique, kind: Form, other: Technique) -> bool:
    """Return True if a technique applies to this kind of model, and `other` to the model that results."""
    return kind in technique.takes and form_after(technique, kind) in other.takes


def attempts(technique: Technique, step: Any, source: Record) -> list[Any]:
    """Return a step, followed by its variants that can work on the source."""
    possible = [step]
    for variant in technique.variants(step):
        with suppress(ModelError):
            technique.require(variant, source)
            possible.append(variant)
    return possible


def changed_steps(step: StepT, changes: list[dict[str, Any]]) -> list[StepT]:
    """Return a copy of the step for each change of its settings; changes without an effect are left out."""
    copies = [step.model_copy(update=change) for change in changes]
    return [copy for copy in copies if copy != step]


def require_form(
    technique: str, kind: Form, allowed: tuple[Form, ...], what: str, *, made_of: str | None = None, way_out: str = ""
) -> None:
    """Raise ModelError, with the way out, unless a step applies to this kind of model.

    Args:
        technique: Name of the step.
        kind: Form of the model.
        allowed: Kinds of models that the step applies to.
        what: Name of the model in the message.
        made_of: Id of the run that the model was compressed from; None if it is not a compressed model.
        way_out: Replaces the usual way out for this kind of model.
    """
    if kind in allowed:
        return
    is_classifier = kind in (Form.TORCH, Form.EARLY_EXIT, Form.TFIDF)
    shown = [kind for kind in allowed if kind not in _TRANSLATORS] if is_classifier else []
    usual = _WAY_OUT.get(kind, "")
    if made_of is not None:
        usual = usual.replace("the run it was made of", f"the run it was made of, {made_of}")
    raise ModelError(
        f"{technique}: {what} is {kind}; this step works on {' or '.join(shown or allowed)}", way_out or usual
    )
