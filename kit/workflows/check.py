"""Preview of a run: everything up to training, without training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kit.data.label_words import in_line
from kit.recipe import Recipe
from kit.runs.derived_recipes import teacher_recipe
from kit.runs.estimate import make_trial, passes
from kit.runs.request import LoadedInputs, Request, make_request
from kit.runtime.files import require_writable
from kit.runtime.quantities import percent

if TYPE_CHECKING:
    from kit.data.distillation_texts import TransferSet
    from kit.data.encode import Encoded
    from kit.models.checkpoints.checkpoint import Checkpoint


@dataclass(frozen=True)
class Preview:
    """Preview of a run as (name, value) rows, with warnings of the audit; `finished` if the run exists already."""

    run_id: str
    rows: list[tuple[str, str]]
    warnings: list[str]
    finished: bool


def check(recipe: Recipe, shared: LoadedInputs | None = None) -> Preview:
    """Load and audit the data, draw the budget, check the checkpoint and time a few steps, without training.

    Args:
        recipe: Recipe of the run.
        shared: Data and checkpoints that are already loaded.

    Returns:
        The run in rows for the user, and warnings about the data.

    Raises:
        KitError: For any problem that would keep the run from starting.
    """
    from kit.runtime.file_types import RECORD_FILE

    require_writable(Path(recipe.runs))
    shared = shared or LoadedInputs()
    request = make_request(recipe, shared)
    run_id, data = request.id, request.data
    rows = [("run", run_id), *_data_rows(request)]
    if recipe.method != "tfidf":
        rows += _model_rows(request)
    if "compress" in recipe.model_fields_set:
        steps = ", ".join(step.technique for step in recipe.compress.steps)
        rows.append(("kit compress", f"would then take the steps {steps}"))
    if recipe.method == "distill" and not request.teachers:
        rows += [
            ("before that", _teacher_words(check(teacher_recipe(recipe), shared))),
            ("Record", f"a folder in {recipe.runs}, named once its teacher is there"),
        ]
        return Preview("", rows[1:], data.audit.warnings(), False)
    finished = (Path(recipe.runs) / run_id / RECORD_FILE).is_file()
    rows.append(
        (
            "Record",
            f"{recipe.runs}/{run_id} " + ("(finished: a run would return it)" if finished else "(new)"),
        )
    )
    return Preview(run_id, rows, data.audit.warnings(), finished)


def _teacher_words(teacher: Preview) -> str:
    """Return the id of the teacher's run with its state or estimated time."""
    state = "finished" if teacher.finished else dict(teacher.rows)["estimated time"]
    return f"the teacher, {teacher.run_id} ({state})"


def _data_rows(request: Request) -> list[tuple[str, str]]:
    data = request.data
    budget = len(data.train) + len(data.validation)
    return [
        ("data", data.splits.description),
        ("columns", f"text: {' + '.join(data.splits.text_columns)}; label: {in_line(data.splits.label_columns)}"),
        request.task.targets_row,
        ("budget", f"{budget} labelled examples: {len(data.train)} train, {len(data.validation)} validation"),
        ("pool", f"{len(data.pool)} examples outside the budget"),
        ("test", f"{len(data.test)} examples"),
    ]


def _model_rows(request: Request) -> list[tuple[str, str]]:
    from kit.methods import family_of
    from kit.training.hardware import set_up_hardware

    recipe, checkpoint = request.recipe, request.checkpoint
    hardware = set_up_hardware(recipe.train.precision)
    trial = make_trial(request, hardware)
    plan = trial.plan
    parameters = sum(parameter.numel() for parameter in trial.model.parameters())
    name = checkpoint.name if checkpoint is not None else "none, random weights"
    rows = _distillation_rows(request, request.transfer) if request.transfer and recipe.method == "distill" else []
    rows += [
        ("checkpoint", name),
        ("parameters", f"{parameters / 1e6:.1f} M"),
        *(_code_rows(checkpoint) if checkpoint is not None else []),
        *family_of(recipe).model_rows(recipe),
        ("tokens", _token_words(trial.encoded, "texts", recipe)),
        *(
            []
            if trial.references is None
            else [("tokens to write", _token_words(trial.references, "references", recipe))]
        ),
        (
            "hardware",
            f"{hardware.device}, {hardware.precision}, {hardware.threads} thread{'s' if hardware.threads > 1 else ''}",
        ),
    ]
    if plan is not None:
        steps = f"{plan.steps} steps of {plan.batch_size} examples: {plan.epochs:g} epochs"
        rows.append(("training", f"{steps}, learning rate {plan.learning_rate:g}"))
    if plan is not None and recipe.train.refit:
        rows.append(("then", "once more on the whole budget, validation examples included"))
    span = trial.seconds_a_pass.scaled(passes(request))
    rows.append(("estimated time", span.words + (f"; {span.warning}" if span.warning else "")))
    return rows


def _token_words(encoded: Encoded, what: str, recipe: Recipe) -> str:
    lengths = f"mean {encoded.lengths.mean():.0f}, longest {encoded.lengths.max()}"
    cut = f"{percent(encoded.truncated.mean(), 1)} of the {what} are cut at {recipe.data.max_length}"
    if encoded.truncated.any():
        return f"{lengths} after the cut; {cut} (data.max_length)"
    return f"{lengths}; {cut}"


def _code_rows(checkpoint: Checkpoint) -> list[tuple[str, str]]:
    words = f"runs {checkpoint.code} (model.trust_remote_code)" if checkpoint.code else "may run, none is needed"
    return [("code of its own", words)] if checkpoint.trusted else []


def _distillation_rows(request: Request, transfer: TransferSet) -> list[tuple[str, str]]:
    recipe = request.recipe
    weights = recipe.distill.losses.model_dump()
    first = f"{recipe.model.checkpoint}, fine-tuned on the budget first"
    sizes = f"{transfer.labelled} of the budget, {transfer.pool} of the pool"
    sizes += f", {transfer.extra} of other files" if transfer.extra else ""
    return [
        ("teacher", ", ".join(teacher.name for teacher in request.teachers) or first),
        ("student", recipe.distill.student.words),
        ("losses", ", ".join(f"{weight:g} x {name}" for name, weight in weights.items() if weight)),
        ("transfer set", f"{len(transfer)} texts: {sizes}" + (", and changed copies" if transfer.augmented else "")),
    ]
